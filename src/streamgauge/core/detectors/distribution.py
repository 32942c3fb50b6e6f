"""Distribution test: has the shape of a field moved by more than is tolerated?

The likelihood-ratio statistic of the distance groups is tested against the noncentral chi-square
law of the tolerated divergence: with G groups it tends to χ²(G − 1, n_e·δ). The tolerance τ is
total variation, the share of events that may sit in other groups than in the reference; by
Pinsker's inequality the divergence is at least 4·TVD², so δ = 4τ² tolerates no more.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.detectors.window import Allowance, Watched, WindowCounts
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.layout import STATUS_OK, Subject, SubjectKind
from streamgauge.core.likelihood_ratio import ratio_statistic
from streamgauge.core.noncentral import critical_value
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey

NAME: Final = "distribution"
DEVIATIONS: Final = 1.96
"""Standard errors on each side of an effect: a 95 % interval."""
CLEAR_LEVEL: Final = 0.05
"""Below the critical value at this level a watched series counts as clear."""
WATCHED_KINDS: Final = (SubjectKind.FEATURE, SubjectKind.SCORE, SubjectKind.PREDICTION)


class Variation(NamedTuple):
    """Total variation with its 95 % interval `(R, F)`."""

    value: FloatArray
    lower: FloatArray
    upper: FloatArray


def variation(
    current: IntArray, reference: IntArray, dispersion: FloatArray, starts: IntArray
) -> Variation:
    """Return total variation between group counts `(R, G)`, for F fields at once.

    TVD is the probability of the set of groups that gained, less its reference probability; for
    that set fixed it is a difference of two proportions, which gives the standard error.
    """
    n = np.maximum(np.add.reduceat(current, starts, axis=1), 1)
    m = np.maximum(np.add.reduceat(reference, starts, axis=1), 1)
    sizes = np.diff(starts, append=current.shape[1])
    q = current / np.repeat(n, sizes, axis=1)
    p = reference / np.repeat(m, sizes, axis=1)
    gained = q > p
    now = np.add.reduceat(np.where(gained, q, 0.0), starts, axis=1)
    before = np.add.reduceat(np.where(gained, p, 0.0), starts, axis=1)
    variance = now * (1.0 - now) * dispersion / n + before * (1.0 - before) / m
    error = DEVIATIONS * np.sqrt(np.maximum(variance, 0.0))
    value = now - before
    return Variation(value, np.maximum(value - error, 0.0), np.minimum(value + error, 1.0))


class _Fields(NamedTuple):
    """The tested fields side by side: their groups' cells in a row, and the reference's counts."""

    positions: tuple[int, ...]
    subjects: tuple[Subject, ...]
    numbers: dict[Subject, int]
    """Place of each subject in `subjects`."""
    cuts: IntArray
    """Cells at which groups, and what lies between the fields' groups, begin."""
    wanted: IntArray
    """Which of the sums between cuts are groups `(G,)`."""
    starts: IntArray
    """First group of each field `(F,)`."""
    reference: IntArray
    """`(reference rows, G)`."""


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
    _fields: _Fields = field(init=False)
    _dispersion: dict[int, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._fields = _tested_fields(self.reference)

    def evaluate(self, window: WindowCounts, watched: Watched) -> list[Finding]:
        """Return findings of drift, and one for every watched row and subject."""
        fields = self._fields
        known = [self.reference.row(key.slice) for key in window.keys]
        places = np.array([row is not None for row in known], bool)
        rows = np.flatnonzero(places & (window.counts[:, STATUS_OK] >= self.min_samples))
        tested = {window.keys[i]: i for i in rows.tolist()}
        number = fields.numbers
        findings = thin_findings(window, watched, tested, number, NAME, "tvd")
        if not len(rows) or not fields.positions:
            return findings
        at = np.array([known[i] for i in rows.tolist()], np.intp)
        current = np.add.reduceat(window.counts[rows], fields.cuts, axis=1)[:, fields.wanted]
        reference = fields.reference[at]
        phi = self._dispersion_for(window.spec.length_ms)
        test = ratio_statistic(current, reference, phi, fields.starts)
        samples = np.add.reduceat(current, fields.starts, axis=1)
        level = self.allowance.per_look(window.spec.step_ms) / samples.size
        noncentrality = test.effective * 4.0 * self.tolerance**2
        freedom = np.maximum(test.groups - 1.0, 1.0)
        threshold = critical_value(freedom, noncentrality, level)
        clear = critical_value(freedom, noncentrality, CLEAR_LEVEL)
        enough = (samples >= self.min_samples) & (test.groups > 1)
        drift = enough & (test.statistic >= threshold)
        wanted = drift.copy()
        for row, subject in watched:
            if row in tested and subject in number:
                wanted[np.searchsorted(rows, tested[row]), number[subject]] = True
        moved = variation(current, reference, phi, fields.starts)
        # Without the limit that the reference's own size puts on the evidence.
        explains = test.statistic * (samples / phi) / np.maximum(test.effective, 1.0)
        for i, f in np.argwhere(wanted).tolist():
            quiet = bool(test.statistic[i, f] < clear[i, f])
            verdict = settle(bool(drift[i, f]), bool(enough[i, f]), quiet)
            findings.append(
                Finding(
                    model=window.model,
                    row=window.keys[int(rows[i])],
                    subject=fields.subjects[f],
                    detector=NAME,
                    window=window.spec.name,
                    verdict=verdict,
                    statistic=float(test.statistic[i, f]),
                    threshold=float(threshold[i, f]),
                    effect=Effect("tvd", *(float(part[i, f]) for part in moved)),
                    samples=int(samples[i, f]),
                    start=window.end - window.spec.length_ms,
                    end=window.end,
                    explains=float(explains[i, f]),
                )
            )
        return findings

    def watches(self) -> Iterable[tuple[str, Subject]]:
        """Yield what findings can be about."""
        return ((NAME, subject) for subject in self._fields.subjects)

    def _dispersion_for(self, window_ms: int) -> FloatArray:
        if window_ms not in self._dispersion:
            values = self.reference.overdispersion(window_ms)
            self._dispersion[window_ms] = values[list(self._fields.positions)]
        return self._dispersion[window_ms]


def _tested_fields(reference: Reference) -> _Fields:
    layout = reference.layout
    positions: list[int] = []
    cuts, wanted, starts = [0], list[int](), list[int]()
    counts: list[IntArray] = []
    for position, (start, item) in enumerate(layout):
        before = reference.group_counts(position)
        if item.subject.kind not in WATCHED_KINDS or len(item.bins.groups) < 2 or not before.any():
            continue
        if cuts[-1] == start:
            cuts.pop()
        positions.append(position)
        starts.append(len(wanted))
        wanted += range(len(cuts), len(cuts) + len(item.bins.groups))
        cuts += [start + group for group in item.bins.groups]
        cuts.append(start + item.bins.value_bins)
        counts.append(before)
    subjects = tuple(layout.fields[position].subject for position in positions)
    return _Fields(
        tuple(positions),
        subjects,
        {subject: i for i, subject in enumerate(subjects)},
        np.array(cuts, np.intp),
        np.array(wanted, np.intp),
        np.array(starts, np.intp),
        np.concatenate(counts, axis=1) if counts else np.empty((0, 0), np.int64),
    )


def thin_findings(
    window: WindowCounts,
    watched: Watched,
    tested: Container[RowKey],
    subjects: Container[Subject],
    detector: str,
    measure: str,
) -> list[Finding]:
    """Return a finding for every watched row that has too few events to say anything."""
    return [
        Finding(
            model=window.model,
            row=row,
            subject=subject,
            detector=detector,
            window=window.spec.name,
            verdict=Verdict.THIN,
            statistic=0.0,
            threshold=0.0,
            effect=Effect(measure, 0.0, 0.0, 0.0),
            samples=window.samples(row),
            start=window.end - window.spec.length_ms,
            end=window.end,
        )
        for row, subject in watched
        if row not in tested and subject in subjects
    ]


def settle(drift: bool, enough: bool, quiet: bool) -> Verdict:
    """Return the verdict on a tested series."""
    if drift:
        return Verdict.DRIFT
    if not enough:
        return Verdict.THIN
    return Verdict.CLEAR if quiet else Verdict.UNDECIDED
