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
from typing import Final, NamedTuple, Protocol

import numpy as np
from scipy.special import rel_entr

from benchmarks.common import Row, arguments, report
from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.detectors.bank import ALTERNATIVES, Ratios, mixture, ratios, update

RUN_LENGTH: Final = 1000
"""Mean number of panes to a false alarm, of every method."""
SHIFTS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Changes in standard deviations of a pane's share."""
WARM_UP: Final = 100
"""Panes before the change."""


class Setting(NamedTuple):
    """Panes of `n` events with share `p`."""

    n: int
    p: float

    @property
    def sigma(self) -> float:
        """Standard deviation of a pane's share."""
        return float(np.sqrt(self.p * (1.0 - self.p) / self.n))

    def __str__(self) -> str:
        return f"n = {self.n}, p = {self.p}"


SETTINGS: Final = (Setting(100, 0.5), Setting(1000, 0.1))


class Detector(Protocol):
    """State of one method over R runs at once."""

    def step(self, counts: IntArray) -> FloatArray:
        """Take in the next pane's counts `(R,)`; returns statistics, large where p changed."""

    def keep(self, chosen: BoolArray) -> None:
        """Go on with chosen runs `(R,)` alone."""


class Bank:
    """Mixture of e-detectors with an allowance of 1 a pane, so that E is the usual M."""

    def __init__(self, setting: Setting, runs: int) -> None:
        self.n = setting.n
        self.ratios: Ratios = ratios(np.array([setting.p, 1.0 - setting.p]))
        self.log = np.full((runs, 2, ALTERNATIVES), -np.inf)

    def step(self, counts: IntArray) -> FloatArray:
        """Return the larger side's log of the mixture."""
        sides = _sides(counts, self.n)[..., None]
        gain = sides * self.ratios.present + (self.n - sides) * self.ratios.absent
        update(self.log, np.zeros(()), gain)
        largest: FloatArray = mixture(self.log).max(axis=-1)
        return largest

    def keep(self, chosen: BoolArray) -> None:
        """Go on with chosen runs alone."""
        self.log = self.log[chosen]


class Glr:
    """Exact likelihood ratio: max over τ of N·KL(share since τ, p) with N the events since τ.

    For a rise to q the sum of log-likelihoods is linear in τ and the count up to τ, so the best τ
    of any q is a corner of the lower convex hull of these points; corners from which the share is
    below p are of no use. Falls are rises of 1 − x. Hulls are kept as stacks, one a run and side.
    """

    def __init__(self, setting: Setting, runs: int) -> None:
        self.n, self.p = setting
        self.time = 0
        self.level = np.zeros(2 * runs)
        """Counts in excess of the expectation, of rises and falls in turns."""
        self.size = np.ones(2 * runs, np.intp)
        self.times = np.zeros((2 * runs, 8))
        self.levels = np.zeros((2 * runs, 8))
        self.slopes = np.zeros((2 * runs, 8))
        """Of the hull to the left of the corner; 0 at the first."""

    def step(self, counts: IntArray) -> FloatArray:
        """Return the larger side's log-likelihood ratio."""
        self.time += 1
        expected = self.n * np.array([self.p, 1.0 - self.p])
        self.level += (_sides(counts, self.n) - expected).ravel()
        row, slot = np.nonzero(np.arange(self.times.shape[1]) < self.size[:, None])
        events = self.n * (self.time - self.times[row, slot])
        base = np.where(row % 2, 1.0 - self.p, self.p)
        share = base + np.maximum(self.level[row] - self.levels[row, slot], 0.0) / events
        share = np.minimum(share, 1.0)
        value = events * (rel_entr(share, base) + rel_entr(1.0 - share, 1.0 - base))
        # Every run has a corner, and rows ascend.
        best = np.maximum.reduceat(value, np.cumsum(self.size) - self.size)
        self._add()
        largest: FloatArray = best.reshape(-1, 2).max(axis=-1)
        return largest

    def _add(self) -> None:
        rows = np.arange(len(self.level))
        slope = np.zeros(len(rows))
        left = rows
        while len(left):
            top = self.size[left] - 1
            rise = self.level[left] - self.levels[left, top]
            slope[left] = rise / (self.time - self.times[left, top])
            left = left[slope[left] <= self.slopes[left, top]]
            self.size[left] -= 1
            slope[left] = 0.0
            left = left[self.size[left] > 0]
        if self.size.max() == self.times.shape[1]:
            for name in ("times", "levels", "slopes"):
                setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, 8))))
        self.times[rows, self.size] = self.time
        self.levels[rows, self.size] = self.level
        self.slopes[rows, self.size] = slope
        self.size += 1

    def keep(self, chosen: BoolArray) -> None:
        """Go on with chosen runs alone."""
        both = np.repeat(chosen, 2)
        for name in ("level", "size", "times", "levels", "slopes"):
            setattr(self, name, getattr(self, name)[both])


class Cusum:
    """W ← max(W, 0) + log-likelihood ratio of a share that is 1 σ larger."""

    def __init__(self, setting: Setting, runs: int) -> None:
        self.n = setting.n
        p = np.array([setting.p, 1.0 - setting.p])
        q = p + setting.sigma
        self.present, self.absent = np.log(q / p), np.log((1.0 - q) / (1.0 - p))
        self.sums = np.zeros((runs, 2))

    def step(self, counts: IntArray) -> FloatArray:
        """Return the larger side's W."""
        sides = _sides(counts, self.n)
        np.maximum(self.sums, 0.0, out=self.sums)
        self.sums += sides * self.present + (self.n - sides) * self.absent
        largest: FloatArray = self.sums.max(axis=-1)
        return largest

    def keep(self, chosen: BoolArray) -> None:
        """Go on with chosen runs alone."""
        self.sums = self.sums[chosen]


class Ewma:
    """Z ← 0.9·Z + 0.1·z, where z is the pane's standardised share."""

    WEIGHT: Final = 0.1

    def __init__(self, setting: Setting, runs: int) -> None:
        self.setting = setting
        self.average = np.zeros(runs)

    def step(self, counts: IntArray) -> FloatArray:
        """Return |Z|."""
        self.average += self.WEIGHT * (_standardised(counts, self.setting) - self.average)
        return np.abs(self.average)

    def keep(self, chosen: BoolArray) -> None:
        """Go on with chosen runs alone."""
        self.average = self.average[chosen]


class Pane:
    """|z| of the pane alone; the count is spread over its unit, for any run length."""

    def __init__(self, setting: Setting, runs: int) -> None:
        self.setting = setting
        self.rng = np.random.default_rng(runs)

    def step(self, counts: IntArray) -> FloatArray:
        """Return |z|."""
        return np.abs(
            _standardised(counts + self.rng.uniform(-0.5, 0.5, len(counts)), self.setting)
        )

    def keep(self, chosen: BoolArray) -> None:
        """Nothing is kept from pane to pane."""


METHODS: Final[Mapping[str, Callable[[Setting, int], Detector]]] = {
    "bank": Bank,
    "GLR": Glr,
    "CUSUM": Cusum,
    "EWMA": Ewma,
    "pane": Pane,
}


def _sides(counts: IntArray, n: int) -> IntArray:
    return np.stack([counts, n - counts], axis=-1)


def _standardised(counts: IntArray | FloatArray, setting: Setting) -> FloatArray:
    return (counts / setting.n - setting.p) / setting.sigma


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
    method: Callable[[Setting, int], Detector],
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


def threshold_of(
    method: Callable[[Setting, int], Detector], setting: Setting, runs: int, *, seed: int
) -> float:
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
    method: Callable[[Setting, int], Detector],
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
