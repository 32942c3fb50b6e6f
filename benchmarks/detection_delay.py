"""How soon changes of a share are detected, by methods that all raise equally many false alarms.

Panes of n events have a share p until it rises by a multiple of σ, the standard deviation of a
pane's share. The threshold of each method is set by simulation such that without a change the mean
run length to an alarm is 1,000 panes, and verified on fresh runs. A delay is the number of panes
from the change to the alarm, where the change comes after 100 panes without an alarm. The methods
see the same panes; p is known to all of them, and they look at both sides.

- bank: the mixture of e-detectors, nothing tolerated;
- GLR: generalised likelihood ratio over all times and sizes of the change, computed exactly;
- CUSUM: tuned for a change by 1 σ;
- EWMA: moving average with weight 0.1;
- pane: each pane on its own, ties broken at random.

Run with `python -m benchmarks.detection_delay [--quick] [--json]`. With `--json` the object has
`delay_ratio_to_glr` (the bank's mean delay by the GLR's) by change in σ, for n = 100 and p = 0.5;
all settings, delays and run lengths are in `results`. `--quick` leaves the other setting out.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.change_detectors import Bank, Cusum, Detector, Ewma, Glr, Pane, Setting
from benchmarks.common import Row, arguments, report
from streamgauge.core.batch import FloatArray, IntArray

RUN_LENGTH: Final = 1000
"""Mean number of panes to a false alarm, of every method."""
SHIFTS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Changes in standard deviations of a pane's share."""
WARM_UP: Final = 100
"""Panes before the change."""
SETTINGS: Final = (Setting(100, 0.5), Setting(1000, 0.1))
Method = Callable[[Setting, int], Detector]
METHODS: Final[Mapping[str, Method]] = {
    "bank": Bank,
    "GLR": Glr,
    "CUSUM": Cusum,
    "EWMA": Ewma,
    "pane": Pane,
}


@dataclass(frozen=True, slots=True)
class Records:
    """Every time that a run's statistic was larger than ever before, in order of time."""

    run: IntArray
    pane: IntArray
    value: FloatArray

    def lengths(self, threshold: float) -> IntArray:
        """Return the runs' lengths up to the first alarm with this threshold."""
        over = self.value >= threshold
        _, first = np.unique(self.run[over], return_index=True)
        lengths: IntArray = self.pane[over][first]
        return lengths


def null_records(
    method: Method,
    setting: Setting,
    runs: int,
    *,
    seed: int,
    cap: float = np.inf,
    panes: int = 10**9,
) -> Records:
    """Follow runs without a change until each has reached `cap`, or for so many panes."""
    rng = np.random.default_rng(seed)
    detector = method(setting, runs)
    active, best = np.arange(runs), np.full(runs, -np.inf)
    found: list[tuple[IntArray, IntArray, FloatArray]] = []
    pane = 0
    while len(active) and pane < panes:
        pane += 1
        value = detector.step(rng.binomial(setting.n, setting.p, len(active)))
        up = value > best
        best[up] = value[up]
        found.append((active[up], np.full(int(up.sum()), pane), value[up]))
        going = best < cap
        # Runs that are over are harmless; leaving them out one by one is slow.
        if going.mean() < 0.95 or not going.any():
            detector.keep(going)
            active, best = active[going], best[going]
    return Records(*(np.concatenate(column) for column in zip(*found, strict=True)))


def threshold_of(method: Method, setting: Setting, runs: int, *, seed: int) -> float:
    """Return the threshold with which the mean of simulated run lengths is `RUN_LENGTH`."""
    pilot = null_records(method, setting, 400, seed=seed, panes=RUN_LENGTH)
    largest = np.full(400, -np.inf)
    np.maximum.at(largest, pilot.run, pilot.value)
    # A run lasts for 1,000 panes with chance 1/e if that is its mean length; 0.55 is well above.
    low, high = np.quantile(largest, (0.2, 0.55)).tolist()
    records = null_records(method, setting, runs, seed=seed + 1, cap=high)
    for _ in range(40):
        middle = (low + high) / 2
        if records.lengths(middle).mean() < RUN_LENGTH:
            low = middle
        else:
            high = middle
    return float(high)


def delays_of(
    method: Method,
    setting: Setting,
    threshold: float,
    shift: float,
    runs: int,
) -> FloatArray:
    """Return delays in panes `(runs,)`, NaN of runs with an alarm before the change."""
    rng = np.random.default_rng([setting.n, round(100 * shift)])
    detector = method(setting, runs)
    quiet = np.ones(runs, bool)
    for _ in range(WARM_UP):
        quiet &= detector.step(rng.binomial(setting.n, setting.p, runs)) < threshold
    detector.keep(quiet)
    active = np.flatnonzero(quiet)
    delays = np.full(runs, np.nan)
    pane = 0
    while len(active):
        pane += 1
        counts = rng.binomial(setting.n, setting.p + shift * setting.sigma, runs)
        going = detector.step(counts[active]) < threshold
        delays[active[~going]] = pane
        if not going.all():
            detector.keep(going)
            active = active[going]
    return delays


@dataclass(frozen=True, slots=True)
class Result:
    """What one method does in one setting: run lengths without a change, and delays."""

    method: str
    setting: Setting
    threshold: float
    lengths: IntArray
    """Of fresh runs, to the first alarm."""
    delays: Mapping[float, FloatArray]
    """By change in σ, NaN where an alarm came before it."""

    @classmethod
    def of(cls, name: str, setting: Setting, runs: int) -> "Result":
        """Calibrate a method, verify it, and measure its delays."""
        method = METHODS[name]
        threshold = threshold_of(method, setting, runs, seed=11)
        fresh = null_records(method, setting, runs, seed=13, cap=threshold)
        delays = {shift: delays_of(method, setting, threshold, shift, runs) for shift in SHIFTS}
        return cls(name, setting, threshold, fresh.lengths(threshold), delays)

    @property
    def run_length(self) -> float:
        """Mean run length."""
        return float(self.lengths.mean())

    @property
    def run_length_margin(self) -> float:
        """Half the width of its 95 % confidence interval."""
        return float(1.96 * self.lengths.std() / np.sqrt(len(self.lengths)))

    def delay(self, shift: float) -> float:
        """Mean delay in panes."""
        return float(np.nanmean(self.delays[shift]))

    def ratio(self, other: "Result", shift: float) -> tuple[float, float]:
        """Return this mean delay by another's, and its standard error with these thresholds."""
        ratio = self.delay(shift) / other.delay(shift)
        # The methods see the same panes, so most of the noise is common.
        residual = self.delays[shift] - ratio * other.delays[shift]
        known = np.isfinite(residual)
        error = np.std(residual[known]) / np.sqrt(known.sum()) / other.delay(shift)
        return ratio, float(error)

    def row(self) -> dict[str, object]:
        """Return the result for programs."""
        return {
            **self.setting._asdict(),
            "method": self.method,
            "threshold": self.threshold,
            "run_length": self.run_length,
            "run_length_margin": self.run_length_margin,
            "delays": {str(shift): self.delay(shift) for shift in SHIFTS},
        }


def table(found: Mapping[str, Result]) -> list[Row]:
    """One row a method, one column a change; the ratio of bank to GLR and its standard error."""
    rows: list[Row] = [
        {
            "method": name,
            "run length": f"{result.run_length:.0f} ± {result.run_length_margin:.0f}",
            **{f"{shift} σ": f"{result.delay(shift):.2f}" for shift in SHIFTS},
        }
        for name, result in found.items()
    ]
    cells = {f"{shift} σ": f"{found['bank'].ratio(found['GLR'], shift)[0]:.3f}" for shift in SHIFTS}
    errors = {
        f"{shift} σ": f"{found['bank'].ratio(found['GLR'], shift)[1]:.3f}" for shift in SHIFTS
    }
    return [
        *rows,
        {"method": "bank / GLR", "run length": "", **cells},
        {"method": "(its error)", "run length": "", **errors},
    ]


def main() -> None:
    """Run the benchmark."""
    options = arguments("How soon changes of a share are detected")
    runs = 300 if options.quick else 6000
    found = {
        setting: {name: Result.of(name, setting, runs) for name in METHODS}
        for setting in (SETTINGS[:1] if options.quick else SETTINGS)
    }
    if not options.json:
        for setting, results in found.items():
            report(f"Mean delay in panes, {setting}", table(results), as_json=False)
        return
    named = found[SETTINGS[0]]
    compared = {shift: named["bank"].ratio(named["GLR"], shift) for shift in SHIFTS}
    print(
        json.dumps(
            {
                "benchmark": "detection_delay",
                "delay_ratio_to_glr": {str(shift): ratio for shift, (ratio, _) in compared.items()},
                "standard_error": {str(shift): error for shift, (_, error) in compared.items()},
                "results": [one.row() for results in found.values() for one in results.values()],
            }
        )
    )


if __name__ == "__main__":
    main()
