"""Dead letters: messages that could not be used, with the reason and the way back to them."""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from streamgauge.config.parts import DeadLetterPayload, StormConfig
from streamgauge.core.batch import IntArray
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.arrow_batches import refused_rows
from streamgauge.formats.messages import Rejected
from streamgauge.io.kafka.client import Source

PREFIX = "__streamgauge.errors."
LARGEST_PAYLOAD = 512 * 1024
LARGEST_KEY = 64 * 1024
STAGE = "decode"

Headers = list[tuple[str, str | bytes | None]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letters(
    sources: Sequence[Source], rejected: Sequence[Rejected], payload: DeadLetterPayload
) -> Iterator[DeadLetter]:
    """Yield a dead letter for each event of a poll that is refused.

    That of a row of an Arrow batch is the same event in JSON under its own id, so that it can be
    mended and sent again without the rest of the batch, which is counted.
    """
    for index, items in groupby(rejected, key=lambda item: item.index):
        source = sources[index]
        for row, one in groupby(items, key=lambda item: item.row is not None):
            if row:
                yield from _letters_of_rows(source, list(one), payload)
            else:
                yield from (dead_letter(source, item, payload) for item in one)


def _letters_of_rows(
    source: Source, rejected: Sequence[Rejected], payload: DeadLetterPayload
) -> Iterator[DeadLetter]:
    rows = [item.row for item in rejected if item.row is not None]
    events = refused_rows(_bytes(source.value()) or b"", rows)
    headers = [(name, value) for name, value in _headers(source) if name != "content-type"]
    headers.append(("content-type", b"application/json"))
    for place, item in enumerate(rejected):
        facts = {"row": str(item.row)}
        if events is None:
            facts["payload.problem"] = "the columns of the batch cannot all be read"
            yield _letter(source, headers, item, payload, (_bytes(source.key()), None), facts)
            continue
        key, value = events[place]
        event = (_bytes(source.key()) if key is None else key, value)
        yield _letter(source, headers, item, payload, event, facts)


def dead_letter(source: Source, rejected: Rejected, payload: DeadLetterPayload) -> DeadLetter:
    """Return the dead letter of a message: key and headers as they were, and where it came from.

    The value is kept, hashed (SHA-256) or left out as configured; one that is too large to write
    again is cut, and its hash stands in a header.
    """
    event = (_bytes(source.key()), _bytes(source.value()))
    return _letter(source, _headers(source), rejected, payload, event, {})


def _headers(source: Source) -> Headers:
    original = source.headers() or ()
    return list(original.items() if isinstance(original, Mapping) else original)


def _letter(
    source: Source,
    headers: Headers,
    rejected: Rejected,
    payload: DeadLetterPayload,
    event: tuple[bytes | None, bytes | None],
    more: Mapping[str, str],
) -> DeadLetter:
    """Return the dead letter of an event, its key and value, with more to say than usual."""
    key, value = event
    facts = {
        "topic": source.topic() or "",
        "partition": str(source.partition()),
        "offset": str(source.offset()),
        "timestamp": str(source.timestamp()[1]),
        "stage": STAGE,
        "reason": rejected.reason.value,
        "field": rejected.field,
        "detail": rejected.detail,
        **more,
    }
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
    if key is not None and len(key) > LARGEST_KEY:
        facts["key.sha256"] = hashlib.sha256(key).hexdigest()
        key = key[:LARGEST_KEY]
    ours = [(PREFIX + name, text.encode()) for name, text in facts.items()]
    return DeadLetter(key, kept, [*headers, *ours])


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


class DeadLetterStormError(StreamgaugeError):
    """So many messages cannot be used that going on would discard a stream."""


@dataclass(slots=True)
class StormWatch:
    """Stops the process before a wrong format or topic turns a whole stream into dead letters.

    The share is taken over the most recent polls that hold at least `min_events` events.
    """

    spec: StormConfig
    _recent: deque[tuple[int, int]] = field(default_factory=deque)
    _total: int = 0
    _bad: int = 0
    _run: int = 0

    def observe(
        self, messages: int, rejected: tuple[Rejected, ...], sizes: IntArray | None = None
    ) -> None:
        """Note a poll of so many `messages`, of one event each unless `sizes (n,)` tells.

        Raises DeadLetterStormError over the limits.
        """
        total = messages if sizes is None else int(sizes.sum())
        if not total:
            return
        bad = len(rejected)
        self._run = self._run_after(total, rejected, sizes)
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

    def _run_after(self, total: int, rejected: tuple[Rejected, ...], sizes: IntArray | None) -> int:
        if len(rejected) == total:
            return self._run + total
        if sizes is None:
            bad = {item.index for item in rejected}
        else:
            begins = (np.cumsum(sizes) - sizes).tolist()
            bad = {begins[item.index] + (item.row or 0) for item in rejected}
        run = 0
        while total - 1 - run in bad:
            run += 1
        return run


def _reason(rejected: tuple[Rejected, ...]) -> str:
    if not rejected:
        return "earlier ones"
    last = rejected[-1]
    return f"{last.reason.value} ({last.field or 'whole message'}: {last.detail})"
