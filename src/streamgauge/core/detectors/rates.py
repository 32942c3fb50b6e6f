"""Rate test: has a share of bad values grown by more than is tolerated?

With k of n values bad and the largest tolerated rate r (the reference's upper limit at three
standard errors, and the tolerance), P(K ≥ k) ≤ exp(−n·KL(k/n ‖ r)) (Chernoff), so n·KL ≥ ln(1/α)
is a test of level α for any n, without an approximation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from scipy.special import rel_entr

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import CategoricalBins, Special
from streamgauge.core.detectors.distribution import DEVIATIONS, settle, thin_findings
from streamgauge.core.detectors.window import Allowance, Watched, WindowCounts
from streamgauge.core.findings import Effect, Finding
from streamgauge.core.layout import STATUS_OK, Layout, Subject, SubjectKind
from streamgauge.core.reference import Reference

NAME: Final = "rate"
CLEAR_LEVEL: Final = 0.05
REFERENCE_DEVIATIONS: Final = 3.0
"""Standard errors by which the reference's rates may be too low."""


class Rate(NamedTuple):
    """A watched share: the layout cells that count as bad, and those of all values it is of.

    `special` are the special bins among them, empty where the bad values have value bins.
    """

    subject: Subject
    cells: tuple[int, ...]
    of: slice
    special: tuple[int, ...] = ()

    def split(self, counts: IntArray) -> IntArray:
        """Return bad and other values `(..., 2)` from the field's counts `(..., width)`."""
        bad = counts[..., [cell - self.of.start for cell in self.cells]].sum(axis=-1)
        both: IntArray = np.stack([bad, counts.sum(axis=-1) - bad], axis=-1).astype(np.int64)
        return both


def rates(layout: Layout) -> tuple[Rate, ...]:
    """Return the watched rates per feature: missing, wrong type, out of range, unseen and so on."""
    found: list[Rate] = []
    for position, (start, item) in enumerate(layout):
        if item.subject.kind is not SubjectKind.FEATURE:
            continue
        special = start + item.bins.value_bins
        of = layout.cells(position)
        bad: dict[str, tuple[int, ...]] = {
            "missing": (Special.MISSING,),
            "wrong_type": (Special.WRONG_TYPE,),
        }
        outside: tuple[str, tuple[int, ...]]
        if isinstance(item.bins, CategoricalBins):
            outside = ("unseen", (start + item.bins.unseen,))
        else:
            bad["not_finite"] = (
                Special.NAN,
                Special.POSITIVE_INFINITY,
                Special.NEGATIVE_INFINITY,
            )
            outside = ("out_of_range", (start, special - 1))
        for kind, bins in bad.items():
            subject = Subject(SubjectKind.DATA_QUALITY, f"{item.subject.name}.{kind}")
            found.append(Rate(subject, tuple(special + b for b in bins), of, bins))
        subject = Subject(SubjectKind.DATA_QUALITY, f"{item.subject.name}.{outside[0]}")
        found.append(Rate(subject, outside[1], of))
    return tuple(found)


def evidence(bad: FloatArray, n: FloatArray, tolerated: FloatArray) -> FloatArray:
    """Return n·KL(bad/n ‖ tolerated) where the rate is above what is tolerated, else 0."""
    q = bad / np.maximum(n, 1.0)
    divergence = rel_entr(q, tolerated) + rel_entr(1.0 - q, 1.0 - tolerated)
    result: FloatArray = np.where(q > tolerated, n * divergence, 0.0)
    return result


def upper_limit(bad: FloatArray, n: FloatArray) -> FloatArray:
    """Return how large a rate may be of which a reference holds `bad` among `n`.

    Wilson's limit (Journal of the American Statistical Association 22, 1927) at three standard
    errors: above 0 also where the reference holds none, and 1 where it holds no values at all.
    """
    z2 = REFERENCE_DEVIATIONS**2
    spread = np.sqrt(z2 * (bad * (1.0 - bad / np.maximum(n, 1.0)) + z2 / 4.0))
    limit: FloatArray = (bad + z2 / 2.0 + spread) / (n + z2)
    return limit


class _Shares(NamedTuple):
    """Bad values and all values `(rows, rates)`."""

    bad: FloatArray
    of: FloatArray


@dataclass(slots=True)
class RateTest:
    """Tests the rates of bad values of every row against the reference.

    A row that the reference does not know is held against the reference as a whole.
    """

    reference: Reference
    allowance: Allowance
    tolerance: float
    min_samples: int
    _subjects: tuple[Subject, ...] = field(init=False)
    _numbers: dict[Subject, int] = field(init=False)
    _cells: IntArray = field(init=False)
    _cell_starts: IntArray = field(init=False)
    _fields: IntArray = field(init=False)
    _field_starts: IntArray = field(init=False)
    _share: FloatArray = field(init=False)
    _tolerated: FloatArray = field(init=False)
    _dispersion: dict[int, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout = self.reference.layout
        found = rates(layout)
        self._subjects = tuple(rate.subject for rate in found)
        self._numbers = {subject: i for i, subject in enumerate(self._subjects)}
        self._cells = np.array([cell for rate in found for cell in rate.cells], np.intp)
        sizes = [len(rate.cells) for rate in found]
        self._cell_starts = np.cumsum([0, *sizes])[:-1]
        self._field_starts = np.asarray(layout.starts, np.intp)
        starts = list(layout.starts)
        self._fields = np.array([starts.index(rate.of.start) for rate in found], np.intp)
        known = self._shares(self.reference.block.counts.astype(np.int64))
        self._share = known.bad / np.maximum(known.of, 1.0)
        self._tolerated = np.minimum(upper_limit(known.bad, known.of) + self.tolerance, 1.0)

    def _shares(self, counts: IntArray) -> _Shares:
        bad = np.add.reduceat(counts[:, self._cells], self._cell_starts, axis=1)
        of = np.add.reduceat(counts, self._field_starts, axis=1)[:, self._fields]
        return _Shares(bad.astype(np.float64), of.astype(np.float64))

    def evaluate(self, window: WindowCounts, watched: Watched) -> list[Finding]:
        """Return findings of drift, and one for every watched row and subject."""
        rows = np.flatnonzero(window.counts[:, STATUS_OK] >= self.min_samples)
        tested = {window.keys[i]: i for i in rows.tolist()}
        number = self._numbers
        findings = thin_findings(window, watched, tested, number, NAME, "share")
        if not len(rows) or not self._subjects:
            return findings
        known = [self.reference.row(window.keys[i].slice) for i in rows.tolist()]
        at = np.array([0 if row is None else row for row in known], np.intp)
        shares = self._shares(window.counts[rows])
        phi = self._dispersion_for(window.spec.length_ms)
        statistic = evidence(shares.bad / phi, shares.of / phi, self._tolerated[at])
        level = self.allowance.per_look(window.spec.step_ms) / statistic.size
        threshold = float(np.log(1.0 / level))
        enough = shares.of >= self.min_samples
        drift = enough & (statistic >= threshold)
        wanted = drift.copy()
        for row, subject in watched:
            if row in tested and subject in number:
                wanted[np.searchsorted(rows, tested[row]), number[subject]] = True
        for i, r in np.argwhere(wanted).tolist():
            quiet = bool(statistic[i, r] < np.log(1.0 / CLEAR_LEVEL))
            verdict = settle(bool(drift[i, r]), bool(enough[i, r]), quiet)
            n = float(shares.of[i, r])
            before, now = float(self._share[at[i], r]), float(shares.bad[i, r]) / max(n, 1.0)
            error = DEVIATIONS * float(np.sqrt(now * (1.0 - now) * phi[r] / max(n, 1.0)))
            grown = now - before
            findings.append(
                Finding(
                    model=window.model,
                    row=window.keys[int(rows[i])],
                    subject=self._subjects[r],
                    detector=NAME,
                    window=window.spec.name,
                    verdict=verdict,
                    statistic=float(statistic[i, r]),
                    threshold=threshold,
                    effect=Effect(
                        "share",
                        grown,
                        max(grown - error, -before),
                        min(grown + error, 1.0 - before),
                    ),
                    samples=int(n),
                    start=window.end - window.spec.length_ms,
                    end=window.end,
                    detail=f"{before:.2%} to {now:.2%}",
                )
            )
        return findings

    def watches(self) -> Iterable[tuple[str, Subject]]:
        """Yield what findings can be about."""
        return ((NAME, subject) for subject in self._subjects)

    def _dispersion_for(self, window_ms: int) -> FloatArray:
        if window_ms not in self._dispersion:
            self._dispersion[window_ms] = np.array(
                [
                    self.reference.rate_overdispersion(rate.of.start, rate.special, window_ms)
                    for rate in rates(self.reference.layout)
                ]
            )
        return self._dispersion[window_ms]
