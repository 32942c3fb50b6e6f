"""Alerts a week over a year of real flights: in ordinary weeks, and in weeks with events.

The reference is every other ordinary week of 2013; the monitor watches the whole year, with the
hour-of-week profile of the reference and without it. An alert in an ordinary week that the
reference does not hold is taken for a false one, although some will be true: nobody wrote down all
that happened. The budget is one false alarm a week. Alerts that fire at the same moment (weather
that is missing is missing in four features) are counted one by one, and as one moment too.

    python -m benchmarks.flights [--quick] [--json]

`--quick` watches January to April alone.
"""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final

import numpy as np
import pyarrow.compute as pc

from benchmarks.common import Row, arguments, report
from streamgauge.config.zones import zone
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.batch import Categories, EventBatch, FeatureKind, ModelSchema, Task
from streamgauge.core.detectors.specs import Spending
from streamgauge.core.engine import ModelEngine
from streamgauge.core.fitting import fit_categorical, fit_groups, fit_numeric
from streamgauge.core.layout import FeatureSpec, Layout, build_layout, score_bins
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.core.windows import WindowSpec
from streamgauge.demo import dataset
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder

HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
MONDAY: Final = int(datetime(2012, 12, 31, 5, tzinfo=UTC).timestamp() * 1000)
"""The Monday that the first week begins with, midnight in New York."""
SLICES: Final = (SliceSpec((Dimension("carrier"),)), SliceSpec((Dimension("origin"),)))
NAMED: Final = {
    "New Year": ("01-01", "01-07"),
    "blizzard of 8 February": ("02-07", "02-13"),
    "storm of 6 March": ("03-05", "03-10"),
    "daylight saving begins": ("03-10", "03-17"),
    "controllers on furlough": ("04-21", "04-29"),
    "storms of June and July": ("06-23", "07-15"),
    "Labor Day": ("08-29", "09-04"),
    "our fault in distance": ("10-08", "10-22"),
    "daylight saving ends": ("11-03", "11-10"),
    "Thanksgiving": ("11-25", "12-03"),
    "December": ("12-03", "12-31"),
}
"""First day and the day after the last, of 2013."""


ORDINARY: Final = "ordinary, watched"
LEARNED: Final = "ordinary, in the reference"


def kind(week: int) -> str:
    """Return what kind a week is of: the first named event that it touches, or an ordinary one."""
    start = (MONDAY - 5 * HOUR) // DAY + 7 * week
    for name, (first, end) in NAMED.items():
        if start < _day(end) and _day(first) < start + 7:
            return name
    return ORDINARY if week % 2 else LEARNED


def week_kind(time_ms: int) -> str:
    """Return what kind the week of an event time is of."""
    return kind((time_ms - MONDAY) // WEEK)


def _day(text: str) -> int:
    return date.fromisoformat(f"2013-{text}").toordinal() - date(1970, 1, 1).toordinal()


def schema() -> ModelSchema:
    """Return what the model's events hold."""
    return ModelSchema(
        dataset.MODEL,
        Task.BINARY,
        tuple(dataset.NUMERIC_FEATURES),
        tuple(dataset.CATEGORICAL_FEATURES),
        tuple(dataset.BOOLEAN_FEATURES),
    )


def read_week(decoder: NativeDecoder, week: int) -> EventBatch | None:
    """Return the predictions of a week, all under one version; None where there are none."""
    table = dataset.read(MONDAY + week * WEEK, MONDAY + (week + 1) * WEEK)
    if not table.num_rows:
        return None
    keys, values = zip(*dataset.prediction_events(table), strict=True)
    n = len(keys)
    unknown = np.full(n, -1, np.int64)
    messages = RawMessages(values, keys, np.zeros(n, np.int32), np.arange(n), unknown)
    [batch] = decoder.decode(messages).batches
    return replace(batch, version=Categories(np.zeros(n, np.int32), ("1",)))


def layout() -> Layout:
    """Return the layout that fits the training data."""
    table = dataset.training_table()
    features = []
    for name in dataset.NUMERIC_FEATURES:
        x = table[name].drop_null().to_numpy().astype(float)
        bins = fit_numeric(x, minimum=x.min(), maximum=x.max(), mean=x.mean(), std=x.std())
        features.append(FeatureSpec(name, FeatureKind.NUMERIC, bins))
    for name in dataset.CATEGORICAL_FEATURES:
        counted = pc.value_counts(table[name].drop_null()).to_pylist()
        categories = fit_categorical({item["values"]: item["counts"] for item in counted})
        features.append(FeatureSpec(name, FeatureKind.CATEGORICAL, categories))
    for name in dataset.BOOLEAN_FEATURES:
        flags = fit_categorical({"true": 1, "false": 1})
        features.append(FeatureSpec(name, FeatureKind.BOOLEAN, flags))
    score = score_bins()
    counts = np.bincount(score.assign(table["score"].to_numpy()), minlength=score.value_bins)
    classes = fit_categorical({"0": 2, "1": 1})
    return build_layout(
        schema(),
        tuple(features),
        prediction=classes,
        label=classes,
        score=score_bins(fit_groups(counts)),
    )


def learn(events: dict[int, EventBatch], known: Layout) -> Reference:
    """Return the reference of every other ordinary week."""
    builder = ReferenceBuilder(known, SLICES, zone=zone("America/New_York"))
    for week, batch in events.items():
        if kind(week) == LEARNED:
            builder.add(batch)
    return builder.finish()


def watch(events: dict[int, EventBatch], known: Layout, reference: Reference) -> list[AlertRecord]:
    """Return the first revisions of all alerts."""
    spec = ModelSpec(
        app="benchmark",
        model=dataset.MODEL,
        slices=SLICES,
        windows=(WindowSpec("1d", DAY, HOUR), WindowSpec("7d", WEEK, 3 * HOUR)),
        pane_ms=HOUR,
        grace_ms=HOUR,
        tolerance=0.02,
        min_samples=30,
        spending=Spending(1.0, WEEK),
        policy=AlertPolicy(expire_after=3 * WEEK, resolve_after=12 * HOUR),
    )
    engine = ModelEngine(spec, known, reference, "weeks")
    fired: list[AlertRecord] = []
    for batch in events.values():
        engine.add(batch)
        fired += engine.advance(int(batch.timestamp.max()) - HOUR // 2)
    return [record for record in fired if record.revision == 1]


def main() -> None:
    options = arguments("Alerts a week over a year of real flights.")
    decoder = NativeDecoder([schema()])
    read = {week: read_week(decoder, week) for week in range(17 if options.quick else 53)}
    events = {week: batch for week, batch in read.items() if batch is not None}
    kinds = Counter(kind(week) for week in events)
    known = layout()
    reference = learn(events, known)
    variants = {"profile": reference, "no profile": replace(reference, hour_of_week=None)}
    found = {name: watch(events, known, variant) for name, variant in variants.items()}
    rates: dict[str, dict[str, float]] = {
        column: {each: counts[each] / number for each, number in kinds.items()}
        for name, alerts in found.items()
        for column, counts in (
            (f"alerts, {name}", Counter(week_kind(alert.starts_at) for alert in alerts)),
            (f"moments, {name}", Counter(week_kind(at) for at in {a.starts_at for a in alerts})),
        )
    }
    if options.json:
        ordinary = {column: by_kind.get(ORDINARY, 0.0) for column, by_kind in rates.items()}
        result = {"benchmark": "flights", "ordinary_week": ordinary, "per_week": rates}
        print(json.dumps(result))
        return
    rows: list[Row] = [
        {"weeks": each, "number": number, **{column: rates[column][each] for column in rates}}
        for each, number in sorted(
            kinds.items(), key=lambda item: item[0] not in (ORDINARY, LEARNED)
        )
    ]
    report("Per week over the flights of 2013; the budget is one alert", rows, as_json=False)


if __name__ == "__main__":
    main()
