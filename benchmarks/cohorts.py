"""Performance of the last day while labels still come in: early, weighted and matured figures.

Every three hours from March to December, on the flight year of the package: a flight is labelled
when it lands, so late flights are labelled late. Windows of a day, steps of an hour, labels are
joined up to 48 hours. Three figures are held against what the same flights showed in the end:
`early` is of the labels so far, as most tools do; `weighted` gives each label the weight of those
like it yet to come; `matured` is of the latest day that has its labels. The last stands there
twice: against the end of its own day, and (`matured, now`) against that of the last day, which is
what the user asks about.

Bias and mean absolute error are in points (hundredths). `held` is the share of final figures in the
95 % interval, `width` its mean width in points; the interval is about the model, not only about
these flights, so it should hold at least 95 %.

    python -m benchmarks.cohorts [--quick] [--json]

`--quick` takes March and April, once in six hours.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np

from benchmarks.common import Row, arguments, report
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.cohorts.arrival import (
    DELAY_BINS,
    Ages,
    delay_bins,
    delay_edges,
    learn_delays,
)
from streamgauge.core.cohorts.figures import (
    WeightedDecisions,
    predicted_classes,
    weighted_decisions,
)
from streamgauge.core.cohorts.maturity import matured
from streamgauge.core.cohorts.weighting import (
    LEAST_SHARE,
    expected_labels,
    final_coverage,
    label_weights,
    labelled_share,
)
from streamgauge.core.performance.decisions import decision_figures
from streamgauge.core.performance.intervals import Estimate, wilson
from streamgauge.demo import dataset

HOUR: Final = 3_600_000
MAX_DELAY: Final = 48 * HOUR
WINDOW: Final = 24
"""Steps of a window."""
KEPT: Final = 14 * 24
"""Steps that the delays are learned from."""
EDGES: Final = delay_edges(MAX_DELAY)
FIGURES: Final = ("accuracy", "precision", "recall", "f1", "label_share", "coverage")


@dataclass(frozen=True, slots=True)
class Flights:
    """All flights, `(n,)` each, ascending in time.

    When they left, the class predicted, the label (−1: never), and the time of the label.
    """

    time: IntArray
    predicted: IntArray
    label: IntArray
    label_time: IntArray


class Figure(NamedTuple):
    """One figure of one moment, with the truth that it is held against."""

    value: float
    lower: float
    upper: float
    truth: float


def flights() -> Flights:
    """Return the flights of the year."""
    table = dataset.read(columns=["timestamp", "prediction", "label", "label_timestamp"])
    time, predicted, label, label_time = (
        column.fill_null(-1).to_numpy().astype(np.int64) for column in table.columns
    )
    return Flights(time, predicted, label, label_time)


def moments(*, quick: bool) -> IntArray:
    """Return the moments (ms) at which figures are taken."""
    start = int(datetime(2013, 3, 1, 5, tzinfo=UTC).timestamp() * 1000)
    end = datetime(2013, 5, 1, 4, tzinfo=UTC) if quick else datetime(2013, 12, 31, 5, tzinfo=UTC)
    every = 6 * HOUR if quick else 3 * HOUR
    return np.arange(start, int(end.timestamp() * 1000), every)


class Cohorts(NamedTuple):
    """What is known at a moment, and what will be: the steps are the hours before it.

    `arrived (T, 4, D)` labels so far by confusion cell and delay, `predicted (T, 2)` predictions by
    class, `final (T, 4)` all labels that there will be.
    """

    arrived: IntArray
    predicted: IntArray
    final: IntArray
    ages: Ages


def cohorts(year: Flights, now: int, kept: int) -> Cohorts:
    """Return the cohorts of `kept` hours before `now` (ms)."""
    start = now - kept * HOUR
    inside = slice(*np.searchsorted(year.time, [start, now]))
    step = (year.time[inside] - start) // HOUR
    predicted, label = year.predicted[inside], year.label[inside]
    delay = year.label_time[inside] - year.time[inside]
    place = step * 4 + label * 2 + predicted
    joined = (label >= 0) & (delay <= MAX_DELAY)
    here = joined & (year.label_time[inside] <= now)
    cells = place[here] * DELAY_BINS + delay_bins(delay[here], EDGES)
    return Cohorts(
        np.bincount(cells, minlength=kept * 4 * DELAY_BINS).reshape(kept, 4, DELAY_BINS),
        np.bincount(step * 2 + predicted, minlength=kept * 2).reshape(kept, 2),
        np.bincount(place[joined], minlength=kept * 4).reshape(kept, 4),
        Ages.of(start + HOUR * np.arange(kept), HOUR, now),
    )


def weighted(known: Cohorts, least: float = LEAST_SHARE) -> tuple[WeightedDecisions, Estimate]:
    """Return the figures of the last window, weighted, and its final coverage."""
    last, group = slice(-WINDOW, None), predicted_classes(2)
    counts = known.arrived.sum(axis=2)
    weights = label_weights(learn_delays(known.arrived, EDGES, known.ages), known.ages, least=least)
    share = labelled_share(counts, known.predicted, group, weights)
    expected = expected_labels(known.predicted[None, last], group, share)
    window = weights.of(last)
    return (
        weighted_decisions(counts[None, last], window, expected),
        final_coverage(counts[None, last], known.predicted[None, last].sum(axis=2), window),
    )


def plain(counts: IntArray) -> dict[str, Estimate]:
    """Return the figures of labels `(T, 4)` as they are."""
    confusion = counts.sum(axis=0).reshape(1, 2, 2)
    share = wilson(confusion[:, 1].sum(axis=1), confusion.sum(axis=(1, 2)))
    return decision_figures(confusion)._asdict() | {"label_share": share}


def figures_at(known: Cohorts, least: float) -> Iterator[tuple[str, str, Figure]]:
    """Yield (figure's name, kind, figure) of one moment."""
    counts, predicted = known.arrived.sum(axis=2), known.predicted.sum(axis=1)
    decisions, coverage = weighted(known, least)
    aged = known.ages.youngest >= MAX_DELAY
    end = int(matured(counts.sum(axis=1)[None], predicted[None], aged, WINDOW).end[0])
    last, day = slice(-WINDOW, None), slice(end - WINDOW, end)
    mature, now = plain(counts[day]), plain(known.final[last])
    total = max(int(predicted[last].sum()), 1)
    nothing = np.full(1, np.nan)
    seen, reached = (np.array([part[last].sum() / total]) for part in (counts, known.final))
    kinds = {
        "early": (plain(counts[last]) | {"coverage": Estimate(seen, nothing, nothing)}, now),
        "weighted": (decisions._asdict() | {"coverage": coverage}, now),
        "matured": (mature, plain(known.final[day])),
        "matured, now": (mature, now),
    }
    now["coverage"] = Estimate(reached, nothing, nothing)
    for kind, (found, truth) in kinds.items():
        for name in FIGURES:
            if name in found:
                value, lower, upper = (float(part[0]) for part in found[name])
                yield name, kind, Figure(value, lower, upper, float(truth[name].value[0]))


def gather(
    *, quick: bool, kept: int = KEPT, least: float = LEAST_SHARE
) -> Mapping[tuple[str, str], FloatArray]:
    """Return the figures `(moments, 4)` by figure and kind: value, limits, truth."""
    year = flights()
    found: dict[tuple[str, str], list[Figure]] = {}
    for now in moments(quick=quick).tolist():
        for name, kind, figure in figures_at(cohorts(year, now, kept), least):
            found.setdefault((name, kind), []).append(figure)
    return {key: np.array(values) for key, values in found.items()}


def summary(name: str, kind: str, figures: FloatArray) -> Row:
    """Return the row of one figure of one kind; moments without a figure are left out."""
    value, lower, upper, truth = figures[np.isfinite(figures[:, [0, 3]]).all(axis=1)].T
    bounded = np.isfinite(lower).any()
    error = 100.0 * (value - truth)
    return {
        "figure": name,
        "kind": kind,
        "moments": len(value),
        "bias": float(error.mean()),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "held": float(((lower <= truth) & (truth <= upper)).mean()) if bounded else "-",
        "width": float(100.0 * (upper - lower).mean()) if bounded else "-",
    }


def rows(*, quick: bool) -> list[Row]:
    """Return the table, by figure and kind."""
    found = gather(quick=quick)
    return [
        summary(*key, found[key]) for key in sorted(found, key=lambda key: FIGURES.index(key[0]))
    ]


def headline(table: list[Row]) -> dict[str, str | int | float]:
    """Return what is asked of the accuracy, by the names that it is asked by; in points."""
    of = {str(row["kind"]): row for row in table if row["figure"] == "accuracy"}
    return {
        "bias_early": of["early"]["bias"],
        "bias_weighted": of["weighted"]["bias"],
        "mae_early": of["early"]["mae"],
        "mae_weighted": of["weighted"]["mae"],
        "coverage_weighted": of["weighted"]["held"],
    }


def main() -> None:
    """Print the table, or one JSON object with the headline and the table."""
    options = arguments("Performance while labels still come in.")
    table = rows(quick=options.quick)
    if options.json:
        print(json.dumps({"benchmark": "cohorts", **headline(table), "results": table}))
        return
    report("Performance while labels still come in", table, as_json=False)


if __name__ == "__main__":
    main()
