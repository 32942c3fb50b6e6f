"""What whylogs, Evidently, NannyML and River do with the rows, each in its best settings.

This module is run in the environment of one peer and imports no other: numpy, pandas (not for
River) and the peer. A peer comes with pieces of rows in its own form, made beforehand, and with one
or several settings; the fastest in a first trial is measured.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from benchmarks.peers_rows import CATEGORICAL, NUMERIC, Rows, columns

BATCH: Final = 50_000
LONG_PIECE: Final = 200_000
CHUNKS: Final = (5_000, 10_000, 25_000, 50_000)
SHORT_PIECE: Final = 5_000
TESTS: Final = ("psi", "kl_div", "jensenshannon", "ks")
"""Evidently's tests of numbers; what can judge categories judges them too."""


class Peer(NamedTuple):
    """A peer: pieces of `rows` rows each, and by setting what is done with one of them."""

    rows: int
    pieces: Sequence[Any]
    settings: Mapping[str, Callable[[Any], object]]


def _frames(rows: Rows, size: int) -> list[Any]:
    """Return frames of `size` rows, of features alone."""
    import pandas as pd

    count = len(rows.score) // size
    return [pd.DataFrame(columns(rows.part(i * size, size))) for i in range(count)]


def whylogs(reference: Rows, rows: Rows) -> Peer:
    """Log batches: with all metrics, and with those alone that drift needs.

    Categories are pandas' strings, which whylogs takes without looking at the type of each value.
    """
    del reference
    os.environ["WHYLOGS_NO_ANALYTICS"] = "True"
    import whylogs as why
    from whylogs.core.datatypes import Fractional, String
    from whylogs.core.metrics import StandardMetric
    from whylogs.core.resolvers import MetricSpec, ResolverSpec
    from whylogs.core.schema import DeclarativeSchema

    def needed(kind: type, metric: Any) -> Any:
        return ResolverSpec(column_type=kind, metrics=[MetricSpec(metric.value)])

    few = DeclarativeSchema(
        [
            needed(Fractional, StandardMetric.distribution),
            needed(String, StandardMetric.frequent_items),
        ]
    )
    pieces = [frame.astype(dict.fromkeys(CATEGORICAL, "string")) for frame in _frames(rows, BATCH)]
    return Peer(
        BATCH,
        pieces,
        {
            "all metrics": lambda frame: why.log(pandas=frame).view(),
            "distribution, frequent items": lambda frame: why.log(pandas=frame, schema=few).view(),
        },
    )


def evidently(reference: Rows, rows: Rows) -> Peer:
    """Report each batch's drift against the reference: the preset, or one value a column."""
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=list(NUMERIC), categorical_columns=list(CATEGORICAL)
    )
    known = Dataset.from_pandas(_frames(reference, BATCH)[0], definition)

    def preset(frame: Any) -> object:
        found = Report([DataDriftPreset(num_method="psi", cat_method="psi")])
        return found.run(Dataset.from_pandas(frame, definition), known)

    def values(test: str, words: str) -> Callable[[Any], object]:
        return lambda frame: Report(
            [
                *(ValueDrift(column=name, method=test) for name in NUMERIC),
                *(ValueDrift(column=name, method=words) for name in CATEGORICAL),
            ]
        ).run(Dataset.from_pandas(frame, definition), known)

    settings: dict[str, Callable[[Any], object]] = {}
    for test in TESTS:
        words = "chisquare" if test == "ks" else test
        settings[f"ValueDrift, {test}"] = values(test, words)
    settings["DataDriftPreset, psi"] = preset
    return Peer(BATCH, _frames(rows, BATCH), settings)


def nannyml(reference: Rows, rows: Rows) -> Peer:
    """Calculate univariate Jensen-Shannon drift, in chunks of several sizes."""
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    warnings.filterwarnings("ignore", message="The resulting number of chunks")
    from nannyml import UnivariateDriftCalculator

    known = _frames(reference, BATCH)[0]

    def chunked(size: int) -> Callable[[Any], object]:
        calculator = UnivariateDriftCalculator(
            column_names=[*NUMERIC, *CATEGORICAL],
            continuous_methods=["jensen_shannon"],
            categorical_methods=["jensen_shannon"],
            chunk_size=size,
        )
        calculator.fit(known)
        work: Callable[[Any], object] = calculator.calculate
        return work

    pieces = _frames(rows, LONG_PIECE)
    return Peer(LONG_PIECE, pieces, {f"chunks of {size:,}": chunked(size) for size in CHUNKS})


def river(reference: Rows, rows: Rows) -> Peer:
    """Update ADWIN, mean, variance and median with every number, and count categories.

    Columns of a piece are lists already and are gone through one after the other, which is quicker
    than event by event and does the same.
    """
    del reference
    from river.drift import ADWIN
    from river.stats import Mean, Quantile, Var

    kept: list[tuple[Any, Any, Any, Any]] = [
        (ADWIN(), Mean(), Var(), Quantile(0.5))  # type: ignore[no-untyped-call]
        for _ in NUMERIC
    ]
    counts: list[Counter[str]] = [Counter() for _ in CATEGORICAL]
    drifts = [0]

    def learn(piece: tuple[list[list[float]], list[list[str]]]) -> int:
        numbers, words = piece
        for (adwin, mean, variance, median), column in zip(kept, numbers, strict=True):
            to_adwin, to_mean = adwin.update, mean.update
            to_variance, to_median = variance.update, median.update
            for x in column:
                to_adwin(x)
                to_mean(x)
                to_variance(x)
                to_median(x)
                if adwin.drift_detected:
                    drifts[0] += 1
        for counter, values in zip(counts, words, strict=True):
            counter.update(values)
        return drifts[0]

    pieces = []
    for i in range(len(rows.score) // SHORT_PIECE):
        part = rows.part(i * SHORT_PIECE, SHORT_PIECE)
        words = [part.words(name) for name in CATEGORICAL]
        pieces.append((part.numbers.T.tolist(), words))
        if len(pieces) == LONG_PIECE // SHORT_PIECE:  # lists of numbers are large
            break
    return Peer(SHORT_PIECE, pieces, {"ADWIN, mean, variance, median": learn})


PEERS: Final[Mapping[str, Callable[[Rows, Rows], Peer]]] = {
    "whylogs": whylogs,
    "evidently": evidently,
    "nannyml": nannyml,
    "river": river,
}
