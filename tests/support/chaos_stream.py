"""A stream of predictions and labels with every kind of event in it, the same for the same seed.

What each event is called is what should become of it; the ledger keeps it beside where the broker
put the event, and the judge counts again from that.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
import orjson

from streamgauge.core.batch import FloatArray

MODEL: Final = "m"
STEP_MS: Final = 1
"""Event time from one prediction to the next."""
MAX_DELAY_MS: Final = 60_000
PANE_MS: Final = 1_000
PREDICTIONS, LABELS = 0, 1
PARTITIONS: Final = 3

TEN_YEARS_MS: Final = 3_650 * 86_400_000
_LATE_MS: Final = 1_200_000
_LATE_FROM: Final = 30_000
"""No late events before this many: what is late is told by the watermark that the poll before left,
and the first poll, however much it brings, has none."""
_DRIFT_EVERY_MS: Final = 60_000
_DRIFT_MS: Final = (40_000, 55_000)
"""Of every minute of event time, the part in which the model is wrong."""
_BLOCK: Final = 1_000
_BAD: Final[tuple[tuple[str, bytes | None], ...]] = (
    ("bad decode", b'{"prediction_id": "'),
    ("bad decode", b"\xff\xfe\x00"),
    ("bad schema", b'{"model": "m", "timestamp": 1764000000000}'),
    ("bad schema", b"[1, 2]"),
)


class Event(NamedTuple):
    """A message, and what is known of it; `topic` is PREDICTIONS or LABELS."""

    topic: int
    name: str
    """The id that it is about: its key, and what its partition follows."""
    value: bytes | None
    kind: str
    time: int = 0
    version: str = ""
    prediction: int = -1
    x: float | None = None
    c: str = ""

    @property
    def partition(self) -> int:
        """Where it goes: predictions and labels of one id to the same number."""
        return crc32(self.name.encode()) % PARTITIONS


@dataclass(order=True)
class _Due:
    at: int
    number: int
    event: Event = field(compare=False)


class _Made(NamedTuple):
    """A made up prediction."""

    name: str
    time: int
    version: str
    x: float | None
    c: str
    score: float
    truth: int

    def body(self, **changes: Any) -> bytes:
        """Return its message."""
        features = {"c": self.c} if self.x is None else {"x": self.x, "c": self.c}
        body = {
            "prediction_id": self.name,
            "timestamp": self.time,
            "model": MODEL,
            "model_version": self.version,
            "features": features,
            "prediction": int(self.score > 0.5),
            "score": self.score,
        }
        return orjson.dumps({k: v for k, v in {**body, **changes}.items() if v is not None})

    def event(self, kind: str, **changes: Any) -> Event:
        """Return it as an event."""
        about = self.version, int(self.score > 0.5), self.x, self.c
        time = changes.get("timestamp", self.time)
        return Event(PREDICTIONS, self.name, self.body(**changes), kind, time, *about)

    def label(self, kind: str, delay: int, version: int = 1, **changes: Any) -> Event:
        """Return a label of it; an even version has the other truth."""
        time = self.time + delay
        label = self.truth if version % 2 else 1 - self.truth
        body = {"prediction_id": self.name, "timestamp": time, "model": MODEL, "label": label}
        value = orjson.dumps({**body, "label_version": version, **changes})
        return Event(LABELS, self.name, value, kind, time, self.version, label)


def stream(seed: int, start_ms: int) -> Iterator[Event]:
    """Yield events without end, in the order in which they are to be sent."""
    rng = np.random.default_rng(seed)
    due: list[_Due] = []
    for number, made in enumerate(_predictions(rng, start_ms), 1):
        now = start_ms + number * STEP_MS
        while due and due[0].at <= now:
            yield heapq.heappop(due).event
        # One draw in nine decimals is enough for all choices of one prediction.
        choices = rng.random(3)
        later: list[tuple[int, Event]] = []
        yield from _sent(made, number, choices, later)
        for place, (wait, event) in enumerate(later):
            heapq.heappush(due, _Due(now + wait, number * 10 + place, event))


def training(seed: int, count: int, start_ms: int) -> bytes:
    """Return rows of such predictions with their labels, without trouble, as NDJSON."""
    rows = []
    made_up = _predictions(np.random.default_rng(seed), start_ms, drift=False)
    for made in islice(made_up, count):
        row = {
            "timestamp": made.time, "x": made.x, "c": made.c, "score": made.score,
            "prediction": int(made.score > 0.5), "label": made.truth,
        }  # fmt: skip
        rows.append(orjson.dumps(row))
    return b"\n".join(rows) + b"\n"


def _predictions(rng: np.random.Generator, start_ms: int, *, drift: bool = True) -> Iterator[_Made]:
    first = 0
    while True:
        base = start_ms + np.arange(first, first + _BLOCK) * STEP_MS
        times = base + rng.integers(0, PANE_MS, _BLOCK)
        phase = (base - start_ms) % _DRIFT_EVERY_MS
        moved = drift & (phase >= _DRIFT_MS[0]) & (phase < _DRIFT_MS[1])
        x = np.round(rng.normal(1.5 * moved, 1.0), 4)
        missing = rng.random(_BLOCK) < 0.03
        c = rng.choice(["a", "b", "c"], _BLOCK, p=[0.5, 0.3, 0.2])
        score = np.round(np.clip(1 / (1 + np.exp(-x + rng.normal(0, 0.5, _BLOCK))), 0, 1), 4)
        truth = (rng.random(_BLOCK) < np.where(moved, 1 - score, score)).astype(int)
        for i in range(_BLOCK):
            number = first + i
            yield _Made(
                f"p{number}", int(times[i]), str(1 + number % 2),
                None if missing[i] else float(x[i]), str(c[i]), float(score[i]), int(truth[i]),
            )  # fmt: skip
        first += _BLOCK


def _sent(
    made: _Made, number: int, choices: FloatArray, later: list[tuple[int, Event]]
) -> Iterator[Event]:
    """Yield what is sent at once, and note in `later` what follows after how long (ms)."""
    kind, label, more = choices.tolist()
    if kind < 0.004:
        what, value = _BAD[number % len(_BAD)]
        yield Event(PREDICTIONS, made.name, value, what)
        return
    if kind < 0.005:
        yield made.event("bad timestamp", timestamp=made.time + TEN_YEARS_MS)
        return
    if kind < 0.006:
        yield made.event("bad schema", score=1.5)
        return
    if kind < 0.008:
        yield made.event("unknown", model="nobody's")
        return
    if kind < 0.009:
        yield Event(PREDICTIONS, made.name, None, "tombstone")
        return
    if kind < 0.011 and number > _LATE_FROM:
        yield made.event("late", timestamp=made.time - _LATE_MS)
        return
    if kind < 0.03:
        yield made.event("error", status="timeout")
        return
    if kind > 0.99:
        later.append((1 + int(3_000 * more), made.event("duplicate")))
    yield from _labelled(made, label, more, later)


def _labelled(
    made: _Made, label: float, more: float, later: list[tuple[int, Event]]
) -> Iterator[Event]:
    if label < 0.03:
        # The label comes first, and its prediction when a second of event time has passed.
        yield made.label("first", 1)
        later.append((1_000, made.event("good")))
        return
    yield made.event("good")
    delay = PANE_MS + int(20_000 * more * more)
    if label < 0.70:
        later.append((delay, made.label("first", delay)))
        if label < 0.08:
            later.append((delay + 2_000, made.label("correction", delay + 2_000, 2)))
        elif label < 0.11:
            later.append((delay + 2_000, made.label("again", delay + 2_000)))
    elif label < 0.71:
        later.append((delay, made._replace(name=f"nobody-{made.name}").label("orphan", delay)))
    elif label < 0.714:
        delay = 2 * MAX_DELAY_MS
        later.append((delay, made.label("late label", delay)))
    elif label < 0.717:
        later.append((delay, Event(LABELS, made.name, b"{", "bad decode")))
    elif label < 0.719:
        later.append((delay, made.label("unknown", delay, model="nobody's")))
