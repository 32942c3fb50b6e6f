"""How much state of one model a checkpoint takes, and how long taking and restoring it lasts.

Run with `python -m benchmarks.checkpoints [--quick] [--json]`. A model with 20 numeric features and
200 slices, windows of 5m, 1h and 1d, panes of 10 s with some thousand events each, and a checkpoint
every 5 s. Bytes are those of the packed parts. Means are over the checkpoints after the first third
of the run; one in 32 holds a snapshot of the detectors and is the largest. Restoring is shown for
the state at the end.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import Row, arguments, report
from streamgauge.core.batch import (
    Categories,
    EventBatch,
    FeatureKind,
    ModelSchema,
    NumericFaults,
    Task,
)
from streamgauge.core.detectors.specs import Spending
from streamgauge.core.engine import ModelEngine
from streamgauge.core.fitting import fit_categorical, fit_numeric
from streamgauge.core.layout import FeatureSpec, build_layout
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.core.windows import WindowSpec
from streamgauge.formats.plain_data import pack, unpack

T0 = 1_764_000_000_000
PANE_MS = 10_000
MINUTE = 60_000
DAY = 1_440 * MINUTE
SLICES, FEATURES = 200, 20
SCHEMA = ModelSchema("m", Task.BINARY, tuple(f"f{i}" for i in range(FEATURES)), ("origin",))
SPEC = ModelSpec(
    app="a",
    model="m",
    slices=(SliceSpec((Dimension("origin"),)),),
    windows=(
        WindowSpec("5m", 5 * MINUTE, PANE_MS),
        WindowSpec("1h", 60 * MINUTE, MINUTE),
        WindowSpec("1d", DAY, 30 * MINUTE),
    ),
    pane_ms=PANE_MS,
    grace_ms=0,
    tolerance=0.02,
    min_samples=100,
    spending=Spending(1.0, 7 * DAY),
)
ORIGINS = tuple(f"O{i:03d}" for i in range(SLICES))


def batch(rng: np.random.Generator, n: int, start: int, length: int) -> EventBatch:
    """Draw events of a time; the traffic of slices falls with their number, twentyfold."""
    weights = 1.0 / np.arange(10, SLICES + 10)
    origin = rng.choice(SLICES, n, p=weights / weights.sum()).astype(np.int32)
    score = rng.beta(2, 5, n)
    zeros = np.zeros(n, np.int32)
    return EventBatch(
        schema=SCHEMA,
        timestamp=np.sort(start + rng.integers(0, length, n)),
        partition=zeros,
        version=Categories(zeros, ("1",)),
        ok=np.ones(n, bool),
        numeric=rng.lognormal(3, 0.5, (FEATURES, n)),
        faults=NumericFaults.none(),
        categorical=(Categories(origin, ORIGINS),),
        tags=(),
        prediction=Categories((score > 0.5).astype(np.int32), ("0", "1")),
        score=score,
        latency=rng.exponential(0.02, n),
    )


def known(rng: np.random.Generator) -> Reference:
    """Return the reference of a day of such events."""
    past = batch(rng, 100_000, T0 - DAY, DAY)
    features = []
    for name, values in zip(SCHEMA.numeric, past.numeric, strict=True):
        low, high = float(values.min()), float(values.max())
        mean, std = float(values.mean()), float(values.std())
        bins = fit_numeric(values, minimum=low, maximum=high, mean=mean, std=std)
        features.append(FeatureSpec(name, FeatureKind.NUMERIC, bins))
    origins = fit_categorical(dict.fromkeys(ORIGINS, 1))
    features.append(FeatureSpec("origin", FeatureKind.CATEGORICAL, origins))
    classes = fit_categorical({"0": 1, "1": 1})
    layout = build_layout(SCHEMA, tuple(features), prediction=classes, label=classes)
    builder = ReferenceBuilder(layout, SPEC.slices)
    builder.add(past)
    return builder.finish()


@dataclass(frozen=True, slots=True)
class Written:
    """What one checkpoint wrote: packed bytes by kind of part, parts, bytes before, seconds."""

    size: dict[str, int]
    parts: int
    raw: int
    take_s: float
    pack_s: float

    @property
    def total(self) -> int:
        """Packed bytes of all parts."""
        return sum(self.size.values())


class Checkpoints:
    """The checkpoints of one engine, and what they have left."""

    def __init__(self, engine: ModelEngine) -> None:
        self._engine = engine
        self._tokens: dict[str, object] = {}
        self.kept: dict[str, bytes] = {}

    def write(self) -> Written:
        """Pack the parts that changed."""
        size: dict[str, int] = {}
        raw, parts, packing = 0, 0, 0.0
        tokens: dict[str, object] = {}
        began = time.perf_counter()
        for part in self._engine.parts():
            tokens[part.key] = part.token
            if part.key in self._tokens and self._tokens[part.key] == part.token:
                continue
            data = part.data()
            before = time.perf_counter()
            packed = pack(data)
            packing += time.perf_counter() - before
            levels = part.key.split("/")
            kind = "/".join(levels[: 3 if levels[:2] == ["track", "window"] else 2])
            size[kind] = size.get(kind, 0) + len(packed)
            parts, raw = parts + 1, raw + _raw(data)
            self.kept[part.key] = packed
        taking = time.perf_counter() - began - packing
        self.kept = {key: self.kept[key] for key in tokens}
        self._tokens = tokens
        return Written(size, parts, raw, taking, packing)


def _raw(data: Any) -> int:
    if isinstance(data, dict):
        return sum(map(_raw, data.values()))
    if isinstance(data, list):
        return sum(map(_raw, data))
    return int(data.nbytes) if isinstance(data, np.ndarray) else 8


def _row(
    what: str, parts: float | str, packed: float, raw: float | str, work: float | str, pack_s: float
) -> Row:
    return {
        "what": what,
        "parts": parts,
        "kB packed": packed / 1e3,
        "kB raw": raw if isinstance(raw, str) else raw / 1e3,
        "ms take or restore": work if isinstance(work, str) else 1e3 * work,
        "ms pack or unpack": 1e3 * pack_s if pack_s else "",
    }


def _of(what: str, written: list[Written]) -> Row:
    def mean(values: list[float]) -> float:
        return float(np.mean(values))

    return _row(
        what,
        mean([each.parts for each in written]),
        mean([each.total for each in written]),
        mean([each.raw for each in written]),
        mean([each.take_s for each in written]),
        mean([each.pack_s for each in written]),
    )


def main() -> None:
    """Measure and print."""
    options = arguments("State of one model at checkpoints")
    panes, events = (24, 1_500) if options.quick else (200, 3_000)
    rng = np.random.default_rng(1)
    reference = known(rng)
    engine = ModelEngine(SPEC, reference.layout, reference, "r")
    checkpoints = Checkpoints(engine)
    found: list[Written] = []
    working = 0.0
    for half in range(2 * panes):
        start = T0 + half * PANE_MS // 2
        drawn = batch(rng, events // 2, start, PANE_MS // 2)
        began = time.perf_counter()
        engine.add(drawn)
        engine.advance(start)
        working += time.perf_counter() - began
        found.append(checkpoints.write())
    steady = found[len(found) // 3 :]
    began = time.perf_counter()
    data = {key: unpack(packed) for key, packed in checkpoints.kept.items()}
    unpacked = time.perf_counter() - began
    again = ModelEngine(SPEC, reference.layout, reference, "r")
    began = time.perf_counter()
    again.restore(data)
    restored = time.perf_counter() - began
    told = sum(key.startswith("detection/calls") for key in data)
    size = sum(map(len, checkpoints.kept.values()))
    rows = [
        _of("checkpoint, mean", steady),
        _of("checkpoint, largest", [max(steady, key=lambda each: each.total)]),
        _row(f"restore, {told} panes told again", len(data), size, _raw(data), restored, unpacked),
    ]
    for kind in sorted({kind for each in steady for kind in each.size}):
        mean = float(np.mean([each.size.get(kind, 0) for each in steady]))
        rows.append(_row(f"  of the mean: {kind}", "", mean, "", "", 0.0))
    share = sum(each.take_s + each.pack_s for each in found) / (len(found) * PANE_MS / 2_000)
    title = f"state, {SLICES} slices, {FEATURES} features; checkpoints take {share:.1%} of the time"
    title += f", the engine {working / (panes * PANE_MS / 1_000):.1%}"
    report(title, rows, as_json=options.json)


if __name__ == "__main__":
    main()
