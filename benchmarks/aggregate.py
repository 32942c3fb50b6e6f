"""Decoding and aggregation without Kafka: bytes to partials, by slices and by features.

Run with `python -m benchmarks.aggregate [--quick] [--json]`. Events of about 470 bytes with 19
numeric features and a categorical one (also 5 and 100 features), in polls of 10,000, one thread.
With `--json` the object has `events_per_second` (decode and aggregation together, 20 features, five
slice dimensions with some 100 slices) and `ratio_to_orjson`, that rate against orjson into
dictionaries on the same bytes in the same run.
"""

import json
from dataclasses import dataclass

import numpy as np
import orjson

from benchmarks.common import Row, arguments, best_seconds, report
from streamgauge.core.aggregate import Aggregator
from streamgauge.core.batch import EventBatch, FeatureKind, ModelSchema, Task
from streamgauge.core.bins import NumericBins
from streamgauge.core.fitting import fit_categorical, fit_numeric
from streamgauge.core.layout import FeatureSpec, Layout, build_layout
from streamgauge.core.slices import Dimension, SliceRegistry, SliceSpec
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder

START_MS = 1_764_000_000_000
POLL = 10_000
PANE_MS = 10_000
TAGS = ("region", "device", "customer", "plan")


@dataclass(frozen=True, slots=True)
class Case:
    """A stream: its features, and how many slices its dimensions have together."""

    numeric: int
    slices: int

    @property
    def name(self) -> str:
        """Name of the case in the table."""
        return f"{self.numeric + 1} features, {self.slices} slices"


CASES = (Case(19, 0), Case(19, 10), Case(19, 100), Case(19, 2_000), Case(4, 100), Case(99, 100))
NAMED = Case(19, 100)


def schema_of(case: Case) -> ModelSchema:
    """Return the schema of a case's events."""
    numeric = tuple(f"f{i}" for i in range(case.numeric))
    return ModelSchema("m", Task.BINARY, numeric, ("carrier",), (), TAGS)


def bins() -> NumericBins:
    """Return the bins that a profile of the events' numbers would have."""
    sample = np.random.default_rng(1).normal(100, 30, 100_000)
    return fit_numeric(
        sample, minimum=float(sample.min()), maximum=float(sample.max()), mean=100.0, std=30.0
    )


def layout_of(schema: ModelSchema) -> Layout:
    """Return the layout that a profile of the events would have."""
    number = bins()
    features = [FeatureSpec(name, FeatureKind.NUMERIC, number) for name in schema.numeric]
    carriers = fit_categorical({f"c{i}": 1 for i in range(16)})
    features.append(FeatureSpec("carrier", FeatureKind.CATEGORICAL, carriers))
    classes = fit_categorical({"0": 1, "1": 1})
    return build_layout(schema, tuple(features), prediction=classes, label=classes)


def slices_of(case: Case) -> tuple[SliceSpec, ...]:
    """Return five slice dimensions, or none."""
    if not case.slices:
        return ()
    return tuple(SliceSpec((Dimension(name),)) for name in ("carrier", *TAGS))


def messages_of(case: Case) -> RawMessages:
    """Return one poll of events, all of one pane."""
    rng = np.random.default_rng(7)
    numbers = rng.normal(100, 30, (POLL, case.numeric)).round(2).tolist()
    each = max(1, (case.slices - 10) // len(TAGS))
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    for i, row in enumerate(numbers):
        event = {
            "prediction_id": f"p{i:08d}",
            "timestamp": START_MS + i % PANE_MS,
            "model": "m",
            "model_version": "3",
            "features": {f"f{j}": x for j, x in enumerate(row)} | {"carrier": f"c{i % 10}"},
            "prediction": i % 2,
            "score": round(float(rng.random()), 3),
            "tags": {name: f"{name}{int(rng.integers(each))}" for name in TAGS},
            "latency_ms": 12.5,
        }
        keys.append(f"p{i:08d}".encode())
        values.append(json.dumps(event, separators=(",", ":")).encode())
    offsets = np.arange(POLL, dtype=np.int64)
    return RawMessages(values, keys, np.zeros(POLL, np.int32), offsets, START_MS + offsets)


class Work:
    """One case's decoder and aggregator, warmed up."""

    def __init__(self, case: Case) -> None:
        self.messages = messages_of(case)
        self.values = [value for value in self.messages.values if value is not None]
        schema = schema_of(case)
        self.decoder = NativeDecoder([schema])
        self.registry = SliceRegistry(max_slices=10_000)
        self.aggregator = Aggregator(layout_of(schema), slices_of(case), self.registry, PANE_MS)
        self.batch: EventBatch = self.decode()
        self.aggregate()

    def decode(self) -> EventBatch:
        """Decode the poll."""
        decoded = self.decoder.decode(self.messages)
        assert decoded.accepted == POLL
        return decoded.batches[0]

    def aggregate(self) -> None:
        """Aggregate the decoded batch."""
        self.aggregator.aggregate(self.batch)

    def orjson(self) -> None:
        """Decode the poll into dictionaries, for comparison."""
        for value in self.values:
            orjson.loads(value)

    def both(self) -> None:
        """Decode and aggregate."""
        self.aggregator.aggregate(self.decode())


def main() -> None:
    """Measure and print."""
    options = arguments("Decoding and aggregation without Kafka")
    repeats = 5 if options.quick else 25
    rows: list[Row] = []
    named: dict[str, float] = {}
    for case in CASES:
        work = Work(case)
        best = best_seconds(
            {
                "orjson": work.orjson,
                "decode": work.decode,
                "aggregate": work.aggregate,
                "both": work.both,
            },
            repeats,
        )
        rows.append(
            {
                "stream": case.name,
                "rows": len(work.registry),
                "bytes": round(sum(map(len, work.values)) / POLL),
                "decode µs": best["decode"] / POLL * 1e6,
                "aggregate µs": best["aggregate"] / POLL * 1e6,
                "events/s": round(POLL / best["both"]),
                "against orjson": best["orjson"] / best["both"],
            }
        )
        if case == NAMED:
            named = {
                "events_per_second": POLL / best["both"],
                "ratio_to_orjson": best["orjson"] / best["both"],
            }
    if options.json:
        print(json.dumps({"benchmark": "aggregate", **named, "results": rows}))
        return
    report("Decoding and aggregation without Kafka", rows, as_json=False)


if __name__ == "__main__":
    main()
