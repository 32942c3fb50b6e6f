"""How soon a known change is found: NannyML's synthetic car loans, by us and by others.

Half-way through the analysis part five columns change. The table has the number of events from
there to the first alarm of each, alarms before the change, and false alarms in 10,000 panes of 50
events (quick: 2,000) without a change: the part before it in random order. Others' thresholds are
set so that they have one false alarm there over all columns; ours comes from the budget of one in
10,000 panes, without measuring anything, and once more from a budget raised until it would show
more false alarms than that.

NannyML and Evidently are left out where they are not installed. For them, make an environment of
its own: `pip install -e '.[dev]' nannyml evidently 'pandas<3'`.
Run with `python -m benchmarks.car_loan [--quick] [--json]`.
"""

import time
from collections.abc import Callable, Iterator

import pandas as pd

from benchmarks import car_loan_chunks, car_loan_ours, car_loan_river
from benchmarks.car_loan_chunks import Chunked
from benchmarks.car_loan_rate import Outcome, most_sensitive, unchanged
from benchmarks.common import Row, arguments, report
from benchmarks.data.car_loan import CHANGED, read

BUDGETS = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""False alarms in 10,000 panes that our detectors may be told to allow, most first."""
PACKAGES = {
    "NannyML": car_loan_chunks.nannyml_methods,
    "Evidently": car_loan_chunks.evidently_methods,
}


def ours(
    reference: pd.DataFrame, streams: list[pd.DataFrame], analysis: pd.DataFrame
) -> Iterator[Outcome]:
    """Yield what we find by the budget, and with as many false alarms as the others."""
    known = car_loan_ours.profile(reference)
    yield car_loan_ours.outcome(known, streams, analysis)
    budget, _ = most_sensitive(
        BUDGETS, lambda allowed: len(car_loan_ours.records(known, streams, allowed))
    )
    yield car_loan_ours.outcome(known, streams, analysis, budget)


def theirs(
    methods: Callable[[pd.DataFrame], Iterator[Chunked]],
    reference: pd.DataFrame,
    streams: list[pd.DataFrame],
    analysis: pd.DataFrame,
) -> Iterator[Outcome]:
    """Yield what the methods of a package find. Raises ImportError where it is not installed."""
    for method in methods(reference):
        yield car_loan_chunks.calibrated(method, streams, analysis)


def outcomes(panes: int) -> Iterator[Outcome]:
    """Yield what everyone finds."""
    reference, analysis = read()
    streams = list(unchanged(analysis, panes))
    yield from ours(reference, streams, analysis)
    for detector in (car_loan_river.adwin, car_loan_river.page_hinkley, car_loan_river.kswin):
        yield detector(reference, streams, analysis)
    for name, methods in PACKAGES.items():
        try:
            yield from theirs(methods, reference, streams, analysis)
        except ImportError as problem:
            yield Outcome(name, f"no module {problem.name}", 0, {})


def rows(panes: int) -> Iterator[Row]:
    """Yield the table's rows, with the seconds that each method took, calibration included."""
    start = time.perf_counter()
    for found in outcomes(panes):
        delays = {column: found.delay(column) for column in CHANGED}
        yield {
            "method": f"{found.method}, {found.setting}",
            "false alarms": found.false_alarms,
            "early": found.early,
            # Spaces, so that headings may be broken.
            **{c.replace("_", " "): "-" if d is None else d for c, d in delays.items()},
            "seconds": round(time.perf_counter() - start, 1),
        }
        start = time.perf_counter()


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "")
    panes = 2_000 if options.quick else 10_000
    title = f"Events from the change to the first alarm; false alarms in {panes:,} other panes"
    report(title, list(rows(panes)), as_json=options.json)


if __name__ == "__main__":
    main()
