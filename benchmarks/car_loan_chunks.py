"""NannyML and Evidently on the car loans: statistics of chunks of events against the reference.

A series alarms where its statistic is more than k standard deviations above its mean over chunks
without a change; k is the same for all series, and the smallest that keeps the rate.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.car_loan_rate import ALLOWED, Outcome
from benchmarks.data.car_loan import BOOLEAN, CATEGORICAL, NUMERIC, PANE
from streamgauge.core.batch import FloatArray

CONTINUOUS: Final = (*NUMERIC, "score")
CATEGORIES: Final = (*CATEGORICAL, *BOOLEAN)
COLUMNS: Final = (*CONTINUOUS, *CATEGORIES)
CHUNK: Final = 250
"""Events in a chunk. In chunks of 50, a pane, they find less: NannyML's Jensen-Shannon distance the
loan length after 2,100 events, not 350."""
EVIDENTLY_ROWS: Final = 5_000
"""Rows of the reference, evenly spaced, that Evidently gets: it reads all of them every time."""

Measure = Callable[[pd.DataFrame], FloatArray]
"""From a frame to statistics `(chunks, columns)`."""


class Chunked(NamedTuple):
    """A method and what it measures."""

    name: str
    measure: Measure


def calibrated(method: Chunked, streams: list[pd.DataFrame], analysis: pd.DataFrame) -> Outcome:
    """Return what a method finds in the analysis part with as many false alarms as allowed."""
    null = np.concatenate([method.measure(stream) for stream in streams])
    mean, std = null.mean(axis=0), null.std(axis=0)
    height = np.sort(((null - mean) / std).ravel())
    k = float(height[-1 - ALLOWED])
    # Long chunks begin where they like: on average the change falls in the middle of one.
    skipped = (CHUNK - PANE) // 2
    above = (method.measure(analysis[skipped:]) - mean) / std > k
    ends = skipped + (np.arange(len(above)) + 1) * CHUNK
    alarms = {name: ends[above[:, i]].tolist() for i, name in enumerate(COLUMNS)}
    return Outcome(method.name, f"k = {k:.3g}", int((height > k).sum()), alarms)


def nannyml_methods(reference: pd.DataFrame) -> Iterator[Chunked]:
    """Yield NannyML's univariate methods. Raises ImportError where it is not installed."""
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    import nannyml

    pairs = {
        "Jensen-Shannon": ("jensen_shannon", "jensen_shannon"),
        "KS, chi2": ("kolmogorov_smirnov", "chi2"),
        "Wasserstein, L-infinity": ("wasserstein", "l_infinity"),
    }
    for name, (continuous, categorical) in pairs.items():
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=list(COLUMNS),
            treat_as_categorical=list(CATEGORIES),
            continuous_methods=[continuous],
            categorical_methods=[categorical],
            chunk_size=CHUNK,
        )
        calculator.fit(reference[list(COLUMNS)])
        yield Chunked(f"NannyML {name}", _nannyml(calculator, continuous, categorical))


def _nannyml(calculator: Any, continuous: str, categorical: str) -> Measure:
    of = dict.fromkeys(CONTINUOUS, continuous) | dict.fromkeys(CATEGORIES, categorical)

    def measure(frame: pd.DataFrame) -> FloatArray:
        found = calculator.calculate(frame[list(COLUMNS)]).filter(period="analysis").to_df()
        return np.stack([found[name, of[name], "value"] for name in COLUMNS], axis=1)

    return measure


def evidently_methods(reference: pd.DataFrame) -> Iterator[Chunked]:
    """Yield Evidently's default method and PSI. Raises ImportError where it is not installed."""
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    thinned = reference.iloc[:: len(reference) // EVIDENTLY_ROWS]
    kinds = dict.fromkeys(CONTINUOUS, ColumnType.Numerical)
    kinds |= dict.fromkeys(CATEGORIES, ColumnType.Categorical)
    for name, test in {"Wasserstein, Jensen-Shannon": None, "PSI": "psi"}.items():
        tests = {
            column: get_stattest(thinned[column], thinned[column], kind, test)
            for column, kind in kinds.items()
        }
        yield Chunked(f"Evidently {name}", _evidently(thinned, tests, kinds))


def _evidently(reference: pd.DataFrame, tests: dict[str, Any], kinds: dict[str, Any]) -> Measure:
    def measure(frame: pd.DataFrame) -> FloatArray:
        chunks = [frame[begin : begin + CHUNK] for begin in range(0, len(frame), CHUNK)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.array(
                [
                    [tests[c](reference[c], chunk[c], kinds[c], None).drift_score for c in COLUMNS]
                    for chunk in chunks
                ]
            )

    return measure
