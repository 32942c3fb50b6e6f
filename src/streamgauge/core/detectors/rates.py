"""Rate test: has a share of bad values grown by more than is tolerated?

With k of n values bad and the largest tolerated rate r (reference, tolerance and three standard
errors of the reference), P(K ≥ k) ≤ exp(−n·KL(k/n ‖ r)) (Chernoff), so n·KL ≥ ln(1/α) is a test
of level α for any n, without an approximation.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from scipy.special import rel_entr

from streamgauge.core.batch import FloatArray
from streamgauge.core.bins import CategoricalBins, Special
from streamgauge.core.detectors.distribution import thin_finding
from streamgauge.core.detectors.window import Allowance, Watched, WindowCounts
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.layout import STATUS_OK, Layout, Subject, SubjectKind
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey

NAME: Final = "rate"
CLEAR_LEVEL: Final = 0.05


class Rate(NamedTuple):
    """A watched share: the layout cells that count as bad, and those of all values it is of."""

    subject: Subject
    cells: tuple[int, ...]
    of: slice


def rates(layout: Layout) -> tuple[Rate, ...]:
    """Return the watched rates per feature: missing, wrong type, out of range, unseen and so on."""
    found: list[Rate] = []
    for position, (start, item) in enumerate(layout):
        if item.subject.kind is not SubjectKind.FEATURE:
            continue
        special = start + item.bins.value_bins
        of = layout.cells(position)
        kinds: dict[str, tuple[int, ...]] = {
            "missing": (special + Special.MISSING,),
            "wrong_type": (special + Special.WRONG_TYPE,),
        }
        if isinstance(item.bins, CategoricalBins):
            kinds["unseen"] = (start + item.bins.unseen,)
        else:
            kinds["not_finite"] = tuple(
                special + s
                for s in (Special.NAN, Special.POSITIVE_INFINITY, Special.NEGATIVE_INFINITY)
            )
            kinds["out_of_range"] = (start, special - 1)
        found += [
            Rate(Subject(SubjectKind.DATA_QUALITY, f"{item.subject.name}.{kind}"), cells, of)
            for kind, cells in kinds.items()
        ]
    return tuple(found)


def evidence(bad: FloatArray, n: FloatArray, tolerated: FloatArray) -> FloatArray:
    """Return n·KL(bad/n ‖ tolerated) where the rate is above what is tolerated, else 0 `(R,)`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        q = np.where(n > 0, bad / n, 0.0)
    divergence = rel_entr(q, tolerated) + rel_entr(1.0 - q, 1.0 - tolerated)
    result: FloatArray = np.where(q > tolerated, n * divergence, 0.0)
    return result


@dataclass(slots=True)
class RateTest:
    """Tests the rates of bad values of every row against the reference.

    A row that the reference does not know is held against the reference as a whole.
    """

    reference: Reference
    allowance: Allowance
    tolerance: float
    min_samples: int
    _rates: tuple[Rate, ...] = field(init=False)
    _known: list[tuple[FloatArray, FloatArray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rates = rates(self.reference.layout)
        counts = self.reference.block.counts
        for rate in self._rates:
            m = counts[:, rate.of].sum(axis=1).astype(float)
            with np.errstate(invalid="ignore", divide="ignore"):
                share = np.where(m > 0, counts[:, list(rate.cells)].sum(axis=1) / m, 0.0)
                error = np.where(m > 0, np.sqrt(share * (1 - share) / np.maximum(m, 1)), 0.0)
            tolerated = np.minimum(share + self.tolerance + 3 * error, 1.0)
            self._known.append((share, tolerated))

    def evaluate(self, window: WindowCounts, watched: Watched) -> list[Finding]:
        """Return findings of drift, and one for every watched row and subject."""
        rows = np.flatnonzero(window.counts[:, STATUS_OK] >= self.min_samples)
        tested = {window.keys[i] for i in rows.tolist()}
        mine = {rate.subject for rate in self._rates}
        findings = [
            thin_finding(window, row, subject, NAME, "share")
            for row, subject in sorted(watched)
            if row not in tested and subject in mine
        ]
        if not len(rows) or not self._rates:
            return findings
        at = np.array(
            [self.reference.row(window.keys[i].slice) or 0 for i in rows.tolist()], np.intp
        )
        level = self.allowance.per_look(window.spec.step_ms) / (len(rows) * len(self._rates))
        threshold = float(np.log(1.0 / level))
        for rate, (share, tolerated) in zip(self._rates, self._known, strict=True):
            n = window.counts[rows, rate.of].sum(axis=1)
            bad = window.counts[rows][:, list(rate.cells)].sum(axis=1)
            statistic = evidence(bad.astype(float), n.astype(float), tolerated[at])
            drift = (statistic >= threshold) & (n >= self.min_samples)
            for i, row in enumerate(rows.tolist()):
                key = window.keys[row]
                if drift[i] or (key, rate.subject) in watched:
                    findings.append(
                        self._finding(
                            window, key, rate, bool(drift[i]), float(statistic[i]), threshold,
                            int(bad[i]), int(n[i]), float(share[at[i]]),
                        )
                    )  # fmt: skip
        return findings

    def _finding(
        self,
        window: WindowCounts,
        key: RowKey,
        rate: Rate,
        drift: bool,
        statistic: float,
        threshold: float,
        bad: int,
        n: int,
        before: float,
    ) -> Finding:
        now = bad / n if n else 0.0
        error = 1.96 * float(np.sqrt(now * (1 - now) / max(n, 1)))
        if drift:
            verdict = Verdict.DRIFT
        elif n < self.min_samples:
            verdict = Verdict.THIN
        else:
            clear = statistic < np.log(1.0 / CLEAR_LEVEL)
            verdict = Verdict.CLEAR if clear else Verdict.UNDECIDED
        return Finding(
            model=window.model,
            row=key,
            subject=rate.subject,
            detector=NAME,
            window=window.spec.name,
            verdict=verdict,
            statistic=statistic,
            threshold=threshold,
            effect=Effect("share", now - before, now - before - error, now - before + error),
            samples=n,
            start=window.end - window.spec.length_ms,
            end=window.end,
            detail=f"{before:.2%} to {now:.2%}",
        )
