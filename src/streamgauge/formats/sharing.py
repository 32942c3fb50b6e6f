"""Sharing: how many of a poll's messages another thread decodes, so that both are done at once."""

from dataclasses import dataclass
from typing import Final

LEAST: Final = 2_000
"""Fewer messages than this are decoded sooner than they are shared out."""
FIRST: Final = 0.3
MOST: Final = 0.7
LONGEST_PAUSE: Final = 256
_WEIGHT: Final = 0.2
"""Of the last poll in the running mean."""


@dataclass(slots=True)
class Sharing:
    """Goes by how fast both have been, and after a part was declined waits twice as long as before.

    What it says is a matter of speed alone: whoever decodes a message, the result is the same.
    """

    share: float = FIRST
    _pause: int = 1
    _waiting: int = 0

    def given(self, messages: int) -> int:
        """Return how many of these messages to give away."""
        if messages < LEAST:
            return 0
        if self._waiting:
            self._waiting -= 1
            return 0
        return int(messages * self.share)

    def done(self, own: float, other: float) -> None:
        """Note the messages a second of this thread and of the other."""
        self._pause = 1
        best = min(other / (own + other), MOST)
        self.share += _WEIGHT * (best - self.share)

    def declined(self) -> None:
        """Note that a part was declined, which had to be decoded by one as well as by the other."""
        self._waiting = self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
