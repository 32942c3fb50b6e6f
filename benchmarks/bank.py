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
from streamgauge.core.batch import FloatArray
from streamgauge.core.detectors.bank import ALTERNATIVES, gains, largest, update
from streamgauge.core.detectors.e_detectors import BLOCK

SERIES: Final = 40_000
EVENTS: Final = 1000.0
"""Events of a pane."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A pane of all series: counts of both sides and shares tolerated `(series, 2)`."""

    sides: FloatArray
    tolerated: FloatArray
    log_allowance: FloatArray
    log_evidence: FloatArray

    @classmethod
    def random(cls, series: int) -> "Pass":
        """Return a pane in which nothing has changed, after 20 others like it."""
        rng = np.random.default_rng(3)
        share = rng.uniform(0.01, 0.99, series)
        tolerated = np.stack([share, 1.0 - share], axis=-1)
        log_allowance = np.full((series, 2, 1), -np.log(1000.0 * series))
        log_evidence = np.full((series, 2, ALTERNATIVES), -np.inf)
        for _ in range(20):
            present = rng.binomial(int(EVENTS), share).astype(np.float64)
            sides = np.stack([present, EVENTS - present], axis=-1)
            pane = cls(sides, tolerated, log_allowance, log_evidence)
            pane.run()
        return pane

    def run(self) -> FloatArray:
        """Move the evidence on by the pane; returns the largest of each side `(series, 2)`."""
        top = np.empty_like(self.sides)
        for at in range(0, len(top), BLOCK // 2):
            some = slice(at, at + BLOCK // 2)
            gain = gains(self.sides[some], np.array([EVENTS]), self.tolerated[some])
            update(self.log_evidence[some], self.log_allowance[some], gain)
            top[some] = largest(self.log_evidence[some])
        return top


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
    exponents = np.minimum(update_pass.log_evidence - update_pass.log_allowance, 40.0)
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
