"""Faults: what the next calls to the broker run into."""

from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """One way for a call to go wrong."""

    NO_REQUEST = "no request"
    """The request is lost."""
    NO_ANSWER = "no answer"
    """The request is carried out, and the answer is lost."""
    DELAYED = "delayed"
    """The request is on its way for long; to end a transaction alone."""
    BROKEN = "broken"
    """The transaction has to be aborted."""
    DOWN = "down"
    """The broker is down."""


@dataclass
class Faults:
    """What is planned by call; each is met as often as it was planned."""

    planned: dict[str, list[Fault]] = field(default_factory=dict)
    down_until: float = 0.0

    def plan(self, call: str, fault: Fault, times: int = 1) -> None:
        """Let the next calls of a name run into a fault."""
        self.planned.setdefault(call, []).extend([fault] * times)

    def clear(self) -> None:
        """Let all be well."""
        self.planned.clear()
        self.down_until = 0.0

    def is_down(self, now: float) -> bool:
        """Tell whether the broker is down."""
        return now < self.down_until

    def next(self, call: str, now: float) -> Fault | None:
        """Return what a call runs into now, of what `_Client` makes of it."""
        if self.is_down(now):
            return Fault.DOWN
        return self._take(call, (Fault.NO_REQUEST, Fault.NO_ANSWER))

    def breaks(self, call: str) -> bool:
        """Tell whether a call ends its transaction."""
        return self._take(call, (Fault.BROKEN,)) is not None

    def delays(self, call: str) -> bool:
        """Tell whether the request to end a transaction is held up."""
        return self._take(call, (Fault.DELAYED,)) is not None

    def silence(self, call: str) -> None:
        """Let a call have no answer for longer than anyone waits."""
        self.planned[call] = [Fault.NO_REQUEST] * 100

    def _take(self, call: str, kinds: tuple[Fault, ...]) -> Fault | None:
        planned = self.planned.get(call)
        if planned and planned[0] in kinds:
            return planned.pop(0)
        return None
