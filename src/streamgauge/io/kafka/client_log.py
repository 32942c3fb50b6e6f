"""Client log: what the Kafka client tells of itself, in our log and not over and over.

While a broker is gone the client writes a line each 50 ms, to standard error and in a form of its
own. Here each thing that it says is told once, and again after a while with how often it came.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import Final

AGAIN_S: Final = 30.0
"""The same is told again after so long."""
MOST: Final = 256
"""Things that are remembered; past them all are told anew."""
_VARYING: Final = re.compile(r"\d+|\(after .*?\)")
"""What differs between two lines that say the same: counts, ports, times."""


class Sparing(logging.Filter):
    """Lets through what has not been said within the last `AGAIN_S`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}
        """When something was told last, and how often it has come since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to tell; note in the record how often it came meanwhile."""
        text = record.getMessage()
        said, now = _VARYING.sub("", text), self._clock()
        when, since = self._told.get(said, (None, 0))
        if when is not None and now - when < AGAIN_S:
            self._told[said] = when, since + 1
            return False
        if len(self._told) >= MOST:
            self._told.clear()
        self._told[said] = now, 0
        if since:
            record.msg, record.args = f"{text} (and {since} times more before)", ()
        return True


def client_logger() -> logging.Logger:
    """Return what a client of the Kafka library is given as its `logger`."""
    logger = logging.getLogger("streamgauge.kafka.client")
    if not any(isinstance(each, Sparing) for each in logger.filters):
        logger.addFilter(Sparing())
    return logger
