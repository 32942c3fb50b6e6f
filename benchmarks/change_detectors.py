"""Methods that detect a change of a share, for many runs at once: what delays are compared for.

All know the share before the change, look at both sides, and have a statistic that is large where
there is a change; its threshold is not their business.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np
from scipy.special import rel_entr

from streamgauge.core.batch import BoolArray, FloatArray, IntArray
from streamgauge.core.detectors.bank import ALTERNATIVES, gains, mixture, update


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
        self.tolerated = np.array([setting.p, 1.0 - setting.p])
        self.log = np.full((runs, 2, ALTERNATIVES), -np.inf)

    def step(self, counts: IntArray) -> FloatArray:
        """Return the larger side's log of the mixture."""
        gain = gains(_sides(counts, self.n).astype(float), np.array([self.n]), self.tolerated)
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


def _sides(counts: IntArray, n: int) -> IntArray:
    return np.stack([counts, n - counts], axis=-1)


def _standardised(counts: IntArray | FloatArray, setting: Setting) -> FloatArray:
    return (counts / setting.n - setting.p) / setting.sigma
