"""How often p-values of distances are small when nothing has changed, and what they cost.

Current and reference counts are drawn from one distribution, for typical fields, current sizes n
and reference sizes m; the share of p-values below 5 % and 1 % should be 5 % and 1 %. Where a
distance has only a few possible values no test has that size: `step` is the chance of the value
that stands where the level is passed, and where it is wider than the promised range of rates the
case is `discrete` and does not count as the worst.
Run with `python -m benchmarks.p_values [--quick] [--json]`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from benchmarks.common import Row, arguments, best_seconds, report
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.distances import Measure, distances
from streamgauge.core.null_laws import Evaluation, NullLaws

LEVELS = {0.05: (0.04, 0.06), 0.01: (0.006, 0.014)}
"""Nominal levels and the range of rates that is promised."""
CURRENT = (50, 1000, 100_000)
REFERENCE = (1000, 50_000, 10**7)
NUMERIC = np.array([0.001, 0.009, 0.04, *[0.05] * 18, 0.04, 0.009, 0.001])
CATEGORIES: FloatArray = np.arange(1.0, 17.0) ** -1.3
FIELDS: dict[str, FloatArray] = {
    "numeric, 24 bins": NUMERIC,
    "16 categories": CATEGORIES / CATEGORIES.sum(),
    "missing rate 2 %": np.array([0.98, 0.02]),
}
SPEED_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Case:
    """A rate of false positives, and the chance of the value where the level is passed."""

    field: str
    n: int
    m: int
    measure: str
    level: float
    rate: float
    step: float
    draws: int

    @property
    def discrete(self) -> bool:
        """Whether the distance passes the level in one step that is wider than the range."""
        low, high = LEVELS[self.level]
        return self.step > high - low

    @property
    def kept(self) -> bool:
        """Whether the rate lies in the promised range, give or take two standard errors."""
        low, high = LEVELS[self.level]
        error = 2.0 * float(np.sqrt(self.level * (1.0 - self.level) / self.draws))
        return low - error <= self.rate <= high + error

    @property
    def miss(self) -> float:
        """How far the rate is from the level, as a factor."""
        return float(np.exp(abs(np.log(max(self.rate, 1e-6) / self.level))))


def positions(share: FloatArray) -> FloatArray:
    """Bin positions `(1, B)` of a normal feature with these shares."""
    return np.asarray(stats.norm.ppf(np.cumsum(share) - share / 2))[None, :]


def cases(draws: int) -> list[Case]:
    """Measure every field, size and measure with so many draws each."""
    return [
        case
        for name, share in FIELDS.items()
        for n in CURRENT
        for m in REFERENCE
        for case in _cases(name, share, n, m, draws)
    ]


def _cases(name: str, share: FloatArray, n: int, m: int, draws: int) -> list[Case]:
    rng = np.random.default_rng([n, m, len(share)])
    # A reference far larger than n hardly adds to the noise, and may serve many draws.
    large = m > 100 * n
    references = max(draws // 50, 100) if large else draws
    current = rng.multinomial(n, share, draws)
    reference = rng.multinomial(m, share, references)[np.arange(draws) % references]
    ordered = name.startswith("numeric")
    places = positions(share) if ordered else None
    found = NullLaws().evaluate(current, reference, positions=places, sigma=1.0)
    # Nor does it tell values apart that are the same for all practical purposes.
    still = np.rint(m * share).astype(np.int64)[None, :] if large else reference
    values = distances(current, still, measures=tuple(Measure), positions=places, sigma=1.0)
    return [
        Case(
            field=name,
            n=n,
            m=m,
            measure=measure.value,
            level=level,
            rate=float(np.mean(p_values < level)),
            step=_step(values[measure], level),
            draws=draws,
        )
        for measure, p_values in found.p_value.items()
        for level in LEVELS
    ]


def _step(values: FloatArray, level: float) -> float:
    _, counts = np.unique(np.round(values / values.max(), 9), return_counts=True)
    above = np.cumsum(counts[::-1]) / len(values)
    return float(counts[::-1][np.searchsorted(above, level)] / len(values))


def nested(found: list[Case]) -> dict[str, dict[str, dict[str, float]]]:
    """The rates by measure, n and level, averaged over fields of many bins and reference sizes."""
    rates: dict[str, dict[str, dict[str, float]]] = {}
    for measure in Measure:
        for n in CURRENT:
            for level in LEVELS:
                chosen = [
                    case.rate
                    for case in found
                    if (case.measure, case.n, case.level) == (measure.value, n, level)
                    and not case.discrete
                ]
                if chosen:
                    of_size = rates.setdefault(measure.value, {}).setdefault(str(n), {})
                    of_size[str(level)] = round(float(np.mean(chosen)), 5)
    return rates


def table(found: list[Case]) -> list[Row]:
    """One row for each field, n, m and level, one column for each measure."""
    rows: dict[tuple[str, int, int, float], dict[str, str | int | float]] = {}
    for case in found:
        key = (case.field, case.n, case.m, case.level)
        if key not in rows:
            rows[key] = {
                "field": case.field,
                "n": case.n,
                "m": case.m,
                "level": f"{case.level:.0%}",
            }
            rows[key] |= dict.fromkeys((measure.value for measure in Measure), "")
        mark = "*" if case.discrete else "" if case.kept else "!"
        rows[key][case.measure] = f"{100 * case.rate:.2f}{mark}"
    return list(rows.values())


def speed(repeats: int) -> dict[str, float]:
    """Milliseconds per evaluation of many rows with laws known, and per row to get to know one."""
    rng = np.random.default_rng(1)
    reference = rng.multinomial(50_000, NUMERIC, SPEED_ROWS)
    laws, places = NullLaws(), positions(NUMERIC)
    works: dict[str, Callable[[], Evaluation]] = {}

    def work(current: IntArray, measures: tuple[Measure, ...]) -> Callable[[], Evaluation]:
        return lambda: laws.evaluate(
            current, reference, measures=measures, positions=places, sigma=1.0
        )

    for n in CURRENT:
        current = rng.multinomial(n, NUMERIC, SPEED_ROWS)
        works[f"{SPEED_ROWS} rows of {n} events, all measures"] = work(current, tuple(Measure))
        works[f"{SPEED_ROWS} rows of {n} events, PSI"] = work(current, (Measure.PSI,))
    start = time.perf_counter()
    works[f"{SPEED_ROWS} rows of {CURRENT[-1]} events, all measures"]()
    cold = time.perf_counter() - start
    found = {name: 1000 * value for name, value in best_seconds(works, repeats).items()}
    warm = found[f"{SPEED_ROWS} rows of {CURRENT[-1]} events, all measures"]
    found["one reference row's simulated laws"] = (1000 * cold - warm) / SPEED_ROWS
    return found


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "")
    found = cases(4000 if options.quick else 20_000)
    worst = max((case for case in found if not case.discrete), key=lambda case: case.miss)
    costs = speed(3 if options.quick else 10)
    if options.json:
        print(
            json.dumps(
                {
                    "benchmark": "p_values",
                    "false_positive_rate": nested(found),
                    "worst": asdict(worst),
                    "outside": [asdict(case) for case in found if not (case.kept or case.discrete)],
                    "discrete": [asdict(case) for case in found if case.discrete],
                    "milliseconds": costs,
                    "results": [asdict(case) for case in found],
                }
            )
        )
        return
    report(
        "False positives in %; * only a few values are possible, ! outside 4-6 or 0.6-1.4 %",
        table(found),
        as_json=False,
    )
    report("Cost", [{"what": name, "ms": value} for name, value in costs.items()], as_json=False)
    print(
        f"Worst: {worst.rate:.2%} at {worst.level:.0%} for {worst.measure} of {worst.field}, "
        f"n = {worst.n:,}, m = {worst.m:,}"
    )


if __name__ == "__main__":
    main()
