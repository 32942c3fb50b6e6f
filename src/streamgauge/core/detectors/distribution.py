"""Distribution test: has the shape of a field moved by more than is tolerated?

Pearson's statistic n_e·D of the distance groups, D = Σ (q − p)²/p, is tested against the
noncentral chi-square law of the tolerated divergence δ (STATISTICS.md §2): with G groups,
n_e·D → χ²(G − 1, n_e·δ). The tolerance τ is total variation, the share of events that may sit in
other groups than in the reference; by Cauchy–Schwarz D ≥ 4·TVD², so δ = 4τ² tolerates no more.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.stats import norm

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import fold
from streamgauge.core.detectors.window import Allowance, Watched, WindowCounts
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.layout import STATUS_OK, Subject, SubjectKind
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey

NAME: Final = "distribution"
CLEAR_LEVEL: Final = 0.05
"""Below the critical value at this level a watched series counts as clear."""
SPARSE: Final = 5.0
"""Groups that expect fewer events are pooled: the law is not good for them."""
WATCHED_KINDS: Final = (SubjectKind.FEATURE, SubjectKind.SCORE, SubjectKind.PREDICTION)


def critical_value(groups: FloatArray, noncentrality: FloatArray, probability: float) -> FloatArray:
    """Return the upper critical value of χ²(groups − 1, noncentrality).

    Sankaran's normal approximation of a power of the variable (Biometrika 46, 1959), in closed
    form and within a few per cent far in the tail.
    """
    k, c = np.maximum(groups - 1.0, 1.0), noncentrality
    h = 1.0 - 2.0 * (k + c) * (k + 3.0 * c) / (3.0 * (k + 2.0 * c) ** 2)
    p = (k + 2.0 * c) / (k + c) ** 2
    m = (h - 1.0) * (1.0 - 3.0 * h)
    mean = 1.0 + h * p * (h - 1.0 - 0.5 * (2.0 - h) * m * p)
    deviation = h * np.sqrt(2.0 * p) * (1.0 + 0.5 * m * p)
    z = float(norm.isf(probability))
    result: FloatArray = (k + c) * (mean + z * deviation) ** (1.0 / h)
    return result


@dataclass(frozen=True, slots=True)
class Pooled:
    """Test statistics per row: `statistic`, `groups` left after pooling, `effective` n_e."""

    statistic: FloatArray
    groups: FloatArray
    effective: FloatArray


def pooled_statistic(current: IntArray, reference: IntArray, dispersion: float) -> Pooled:
    """Return Pearson's statistic of counts `(R, G)` against a reference `(R, G)`.

    Both sizes are divided by the overdispersion, the current one in full. Groups that expect fewer
    than five events are counted together; what is left sparse even so is measured with a
    denominator of five, which keeps the statistic small.
    """
    n = current.sum(axis=1) / dispersion
    m = reference.sum(axis=1).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = np.where(n + m > 0, n * m / (n + m), 0.0)
        p = reference / m[:, None]
        q = current / current.sum(axis=1)[:, None]
    expected = effective[:, None] * p
    sparse = expected < SPARSE
    difference = effective[:, None] * (q - p)
    with np.errstate(invalid="ignore", divide="ignore"):
        dense = np.where(sparse, 0.0, difference**2 / np.where(sparse, 1.0, expected))
    pooled_expected = np.where(sparse, expected, 0.0).sum(axis=1)
    pooled_difference = np.where(sparse, difference, 0.0).sum(axis=1)
    statistic = dense.sum(axis=1) + pooled_difference**2 / np.maximum(pooled_expected, SPARSE)
    groups = (~sparse).sum(axis=1) + sparse.any(axis=1)
    return Pooled(np.nan_to_num(statistic), groups.astype(float), effective)


def variation_interval(
    current: IntArray, reference: IntArray, dispersion: float, deviations: float = 1.96
) -> tuple[float, float, float]:
    """Return total variation between two count vectors `(G,)` with its interval.

    TVD is the probability of the set of groups that gained, less its reference probability; for
    that set fixed it is a difference of two proportions, which gives the standard error.
    """
    n, m = current.sum() / dispersion, float(reference.sum())
    q, p = current / current.sum(), reference / m
    gained = q > p
    value = float((q - p)[gained].sum())
    a, b = float(q[gained].sum()), float(p[gained].sum())
    error = float(np.sqrt(a * (1 - a) / n + b * (1 - b) / m))
    return value, max(0.0, value - deviations * error), min(1.0, value + deviations * error)


@dataclass(slots=True)
class DistributionTest:
    """Tests every feature, the score and the prediction of every row against the reference.

    Rows that the reference does not know are not tested: another slice's distribution would be
    the wrong measure.
    """

    reference: Reference
    allowance: Allowance
    tolerance: float
    min_samples: int
    _groups: list[tuple[int, Subject, IntArray]] = field(init=False)
    _dispersion: dict[int, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout = self.reference.layout
        self._groups = [
            (i, item.subject, self.reference.group_counts(i))
            for i, item in enumerate(layout.fields)
            if item.subject.kind in WATCHED_KINDS
            and len(item.bins.groups) > 1
            and self.reference.group_counts(i).any()
        ]

    def evaluate(self, window: WindowCounts, watched: Watched) -> list[Finding]:
        """Return findings of drift, and one for every watched row and subject."""
        served = window.counts[:, STATUS_OK]
        known = [self.reference.row(key.slice) for key in window.keys]
        places = np.array([row is not None for row in known], bool)
        rows = np.flatnonzero(places & (served >= self.min_samples))
        findings = self._thin(window, watched, {window.keys[i] for i in rows.tolist()})
        if not len(rows):
            return findings
        at = np.array([known[i] for i in rows.tolist()], np.intp)
        dispersion = self._dispersion_for(window.spec.length_ms)
        level = self.allowance.per_look(window.spec.step_ms) / (len(rows) * len(self._groups))
        delta = 4.0 * self.tolerance**2
        for position, subject, reference in self._groups:
            bins = self.reference.layout.fields[position].bins
            cells = window.counts[rows, self.reference.layout.cells(position)]
            current = fold(cells, bins)
            phi = float(dispersion[position])
            test = pooled_statistic(current, reference[at], phi)
            noncentrality = test.effective * delta
            threshold = critical_value(test.groups, noncentrality, level)
            clear = critical_value(test.groups, noncentrality, CLEAR_LEVEL)
            enough = current.sum(axis=1) >= self.min_samples
            drift = enough & (test.groups > 1) & (test.statistic >= threshold)
            wanted = [
                i
                for i, row in enumerate(rows.tolist())
                if drift[i] or (window.keys[row], subject) in watched
            ]
            for i in wanted:
                if drift[i]:
                    verdict = Verdict.DRIFT
                elif not enough[i]:
                    verdict = Verdict.THIN
                elif test.statistic[i] < clear[i]:
                    verdict = Verdict.CLEAR
                else:
                    verdict = Verdict.UNDECIDED
                effect = (
                    variation_interval(current[i], reference[at[i]], phi)
                    if current[i].any() and reference[at[i]].any()
                    else (0.0, 0.0, 0.0)
                )
                findings.append(
                    Finding(
                        model=window.model,
                        row=window.keys[int(rows[i])],
                        subject=subject,
                        detector=NAME,
                        window=window.spec.name,
                        verdict=verdict,
                        statistic=float(test.statistic[i]),
                        threshold=float(threshold[i]),
                        effect=Effect("tvd", *effect),
                        samples=int(current[i].sum()),
                        start=window.end - window.spec.length_ms,
                        end=window.end,
                    )
                )
        return findings

    def _dispersion_for(self, window_ms: int) -> FloatArray:
        if window_ms not in self._dispersion:
            self._dispersion[window_ms] = self.reference.overdispersion(window_ms)
        return self._dispersion[window_ms]

    def _thin(self, window: WindowCounts, watched: Watched, tested: set[RowKey]) -> list[Finding]:
        mine = {subject for _, subject, _ in self._groups}
        return [
            thin_finding(window, row, subject, NAME, "tvd")
            for row, subject in sorted(watched)
            if row not in tested and subject in mine
        ]


def thin_finding(
    window: WindowCounts, row: RowKey, subject: Subject, detector: str, measure: str
) -> Finding:
    """Return the finding of a watched row that has too few events to say anything."""
    at = window.keys.index(row) if row in window.keys else None
    return Finding(
        model=window.model,
        row=row,
        subject=subject,
        detector=detector,
        window=window.spec.name,
        verdict=Verdict.THIN,
        statistic=0.0,
        threshold=0.0,
        effect=Effect(measure, 0.0, 0.0, 0.0),
        samples=0 if at is None else int(window.counts[at, STATUS_OK]),
        start=window.end - window.spec.length_ms,
        end=window.end,
    )
