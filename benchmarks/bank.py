"""What the bank of e-detectors costs: one pass over 40,000 series, two sides, eight alternatives.

A pass is what closing a pane takes: the pane's log-likelihood ratios, the update, and the largest
evidence of each side. It is set against one bare `numpy.exp` and one bare `numpy.log1p` over arrays
of that size, which it cannot do without.

Run with `python -m benchmarks.bank [--quick] [--json]`. With `--json` the object has `update_ms`
and `ratio_to_bare_passes`, from medians over repeats that take turns.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.common import Row, arguments, report
from streamgauge.compiled import Single
from streamgauge.core.detectors.bank import ALTERNATIVES
from streamgauge.core.detectors.series import Kind, Series, SeriesTable
from streamgauge.core.detectors.side_bank import Gathered, Moved, SideBank
from streamgauge.core.detectors.sides import Sides
from streamgauge.core.layout import Subject, SubjectKind

SERIES: Final = 40_000
ROWS: Final = 200
EVENTS: Final = 1000.0
"""Events of a pane."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A pane of all series, those of `ROWS` rows, and log E `(rows, K, sides)` so far."""

    bank: SideBank
    gathered: Gathered
    log: Single

    @classmethod
    def random(cls, series: int) -> "Pass":
        """Return a pane in which nothing has changed, after 20 others like it."""
        rng = np.random.default_rng(3)
        each = series // ROWS
        subject = Subject(SubjectKind.FEATURE, "f")
        table = SeriesTable((Series(subject, Kind.ABOVE, 1, 2, 0, 2),) * each)
        shares = np.full((2, 2 * each), -np.log(1000.0 * series))
        bank = SideBank(Sides(table), np.zeros(each, np.int64), shares)
        share = rng.uniform(0.01, 0.99, (ROWS, each))
        largest = (EVENTS * np.concatenate([share, 1.0 - share], axis=1)).astype(np.float32)
        total = np.full(share.shape, EVENTS, np.float32)
        log = np.full((ROWS, ALTERNATIVES, 2 * each), -np.inf, np.float32)
        known, rows = np.ones(ROWS, bool), np.arange(ROWS)
        for _ in range(20):
            present = rng.binomial(int(EVENTS), share).astype(np.float32)
            sums = (present, total, largest)
            gathered = Gathered(rows, *sums, np.ones(share.shape), np.zeros(ROWS), known)
            pane = cls(bank, gathered, log)
            pane.run()
        return pane

    def run(self) -> Moved:
        """Move the evidence on by the pane; returns what rows say."""
        return self.bank.move_on(self.log, self.gathered)


def medians(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return median milliseconds of each piece of work, where the pieces take turns."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            start = perf_counter()
            work()
            times[name].append(1000.0 * (perf_counter() - start))
    return {name: median(found) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    options = arguments("What the bank of e-detectors costs")
    update_pass = Pass.random(SERIES)
    evidence = update_pass.log.astype(np.float64)
    exponents = np.minimum(evidence + np.log(1000.0 * SERIES), 40.0)
    grown, out = np.exp(exponents), np.empty_like(exponents)
    works: dict[str, Callable[[], object]] = {
        "update": update_pass.run,
        "numpy.log1p": lambda: np.log1p(grown, out=out),
        "numpy.exp": lambda: np.exp(exponents, out=out),
    }
    found = medians(works, 15 if options.quick else 101)
    ratio = found["update"] / (found["numpy.log1p"] + found["numpy.exp"])
    rows: list[Row] = [{"pass": name, "median ms": value} for name, value in found.items()]
    if options.json:
        summary = {"update_ms": found["update"], "ratio_to_bare_passes": ratio}
        print(json.dumps({"benchmark": "bank", **summary, "results": rows}))
        return
    report(
        f"{SERIES:,} series × 2 sides × {ALTERNATIVES} alternatives: {ratio:.2f} times bare passes",
        rows,
        as_json=False,
    )


if __name__ == "__main__":
    main()
