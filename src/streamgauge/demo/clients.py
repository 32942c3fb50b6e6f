"""What every Kafka client of the demo is told."""

from typing import Final

QUIET: Final = {"log_level": 0}
"""Nothing from the client's own log: it would be written across the screen. A broker that has gone
shows in our own checks."""
