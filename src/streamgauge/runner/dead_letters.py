"""Dead letters: messages that could not be used, with the reason and the way back to them."""

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streamgauge.config.parts import DeadLetterPayload, StormConfig
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.messages import Rejected

PREFIX = "__streamgauge.errors."
LARGEST_PAYLOAD = 512 * 1024
LARGEST_KEY = 64 * 1024
STAGE = "decode"

Headers = list[tuple[str, str | bytes | None]]


class Source(Protocol):
    """The message that was read, as the Kafka client gives it."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> str | bytes | None: ...
    def value(self) -> str | bytes | None: ...
    def headers(self) -> Mapping[str, str | bytes | None] | Headers | None: ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(source: Source, rejected: Rejected, payload: DeadLetterPayload) -> DeadLetter:
    """Return the dead letter of a message: key and headers as they were, and where it came from.

    The value is kept, hashed (SHA-256) or left out as configured; one that is too large to write
    again is cut, and its hash stands in a header.
    """
    original = source.headers() or ()
    headers = list(original.items() if isinstance(original, Mapping) else original)
    facts = {
        "topic": source.topic() or "",
        "partition": str(source.partition()),
        "offset": str(source.offset()),
        "timestamp": str(source.timestamp()[1]),
        "stage": STAGE,
        "reason": rejected.reason.value,
        "field": rejected.field,
        "detail": rejected.detail,
    }
    value = _bytes(source.value())
    kept: bytes | None = None
    if value is not None and payload is not DeadLetterPayload.NONE:
        digest = hashlib.sha256(value).hexdigest()
        if payload is DeadLetterPayload.HASH:
            facts["payload.sha256"] = digest
        else:
            kept = value[:LARGEST_PAYLOAD]
            if len(value) > LARGEST_PAYLOAD:
                facts["payload.sha256"] = digest
                facts["payload.bytes"] = str(len(value))
    key = _bytes(source.key())
    if key is not None and len(key) > LARGEST_KEY:
        facts["key.sha256"] = hashlib.sha256(key).hexdigest()
        key = key[:LARGEST_KEY]
    headers += [(PREFIX + name, text.encode()) for name, text in facts.items()]
    return DeadLetter(key, kept, headers)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


class DeadLetterStormError(StreamgaugeError):
    """So many messages cannot be used that going on would discard a stream."""


@dataclass(slots=True)
class StormWatch:
    """Stops the process before a wrong format or topic turns a whole stream into dead letters.

    The share is taken over the most recent polls that hold at least `min_events` messages.
    """

    spec: StormConfig
    _recent: deque[tuple[int, int]] = field(default_factory=deque)
    _total: int = 0
    _bad: int = 0
    _run: int = 0

    def observe(self, total: int, rejected: tuple[Rejected, ...]) -> None:
        """Note a poll of `total` messages. Raises DeadLetterStormError over the limits."""
        if not total:
            return
        bad = len(rejected)
        self._run = self._run_after(total, rejected)
        self._recent.append((total, bad))
        self._total += total
        self._bad += bad
        while self._total - self._recent[0][0] >= self.spec.min_events:
            old_total, old_bad = self._recent.popleft()
            self._total -= old_total
            self._bad -= old_bad
        share = self._bad / self._total
        if self._total >= self.spec.min_events and share > self.spec.ratio:
            raise DeadLetterStormError(
                f"{share:.0%} of the last {self._total:,} events cannot be used, the last because"
                f" of {_reason(rejected)}; stopped before committing the last ones: check the"
                " producers or topics.predictions, or raise events.dead_letter_storm.ratio"
            )
        if self._run >= self.spec.consecutive:
            raise DeadLetterStormError(
                f"{self._run:,} events in a row cannot be used, the last because of"
                f" {_reason(rejected)}; check the producers or topics.predictions, or raise"
                " events.dead_letter_storm.consecutive to go on"
            )

    def _run_after(self, total: int, rejected: tuple[Rejected, ...]) -> int:
        if len(rejected) == total:
            return self._run + total
        bad = {item.index for item in rejected}
        run = 0
        while total - 1 - run in bad:
            run += 1
        return run


def _reason(rejected: tuple[Rejected, ...]) -> str:
    if not rejected:
        return "earlier ones"
    last = rejected[-1]
    return f"{last.reason.value} ({last.field or 'whole message'}: {last.detail})"
