"""Seasonal adjustment: counts as they would be, had they come over the whole week alike.

Of a field with G groups, hours of the week have shares p_h of their own, each as far as the
reference tells it from the whole's p (see `shrunk_hours`). Counts of a period are divided by what
the period's hours are expected to hold more of than the week, f = p_period / p.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.timeline import HOUR_MS, HOURS_OF_WEEK, hour_of_week
from streamgauge.core.zone import Zone

MOST: Final = 10.0
"""Factors are kept within 1/MOST and MOST: a single event must not weigh as much as hundreds."""
_NEVER: Final = 1e15
"""κ where hours do not differ: everything is shrunk to the whole."""


class HourShares(NamedTuple):
    """Shares by hour of the week `(168, Q)`, with their standard errors."""

    share: FloatArray
    error: FloatArray


def shrunk_hours(
    present: IntArray, total: IntArray, share: FloatArray, dispersion: FloatArray
) -> HourShares:
    """Return the hours' shares, shrunk to the whole as far as they may differ by chance.

    p̃ = (N_h p_h + κ p)/(N_h + κ), with κ from how much hours differ beyond chance (the method of
    moments for a beta-binomial law). `present`, `total (168, Q)` are counts, `share (Q,)` the
    whole's, `dispersion (Q,)` is φ.
    """
    own = present / np.maximum(total, 1)
    chance = share * (1.0 - share) * dispersion / np.maximum(total, 1)
    excess = (total * ((own - share) ** 2 - chance)).sum(axis=0)
    excess /= np.maximum(total.sum(axis=0), 1)
    binomial = share * (1.0 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = np.where(excess > 0, np.maximum(binomial / excess - 1.0, 0.0), _NEVER)
    trust = total / np.maximum(total + kappa * dispersion, 1.0)
    shrunk = share + trust * (own - share)
    error = trust * np.sqrt(shrunk * (1.0 - shrunk) * dispersion / np.maximum(total, 1))
    return HourShares(shrunk, error)


@dataclass(frozen=True, slots=True)
class Season:
    """What the hours of a zone's week are expected to hold of a field's groups `(168, G)`."""

    expected: FloatArray
    zone: Zone

    @classmethod
    def of(cls, hours: IntArray, zone: Zone, dispersion: float) -> "Season":
        """Return the season of a reference's counts by hour of the week `(168, G)`.

        `dispersion` is φ.
        """
        total = hours.sum(axis=1, keepdims=True)
        share = hours.sum(axis=0) / max(int(hours.sum()), 1)
        groups = hours.shape[1]
        shares = shrunk_hours(
            hours, np.broadcast_to(total, hours.shape), share, np.full(groups, dispersion)
        ).share
        return cls(total * shares, zone)

    def factors(self, start: int, end: int) -> FloatArray:
        """Return how much more of each group `(G,)` a period `[start, end)` (ms) should hold."""
        hours = min(max(-(-(end - start) // HOUR_MS), 1), HOURS_OF_WEEK)
        times = start + np.arange(hours) * HOUR_MS
        held = self.expected[hour_of_week(times, self.zone)].sum(axis=0)
        whole = self.expected.sum(axis=0)
        if held.sum() <= 0.0:
            return np.ones(len(whole))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (held / held.sum()) / (whole / whole.sum())
        return np.clip(np.where(whole > 0.0, ratio, 1.0), 1.0 / MOST, MOST)
