"""Dispersion of traffic: φ of a model's totals about its profile, as production shows it.

As in `dispersion`, but of events that are expected in blocks of time: with residuals r = n − μ,
d = Σr / Σμ and Pearson's dispersion about the stream's own mean (1 + d)·μ,

    φ = (Σ r²/μ − (Σr)²/Σμ) / ((blocks − 1)·(1 + d))
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from streamgauge.core.detectors.dispersion import (
    DAYS_REMEMBERED,
    FEWEST_DAYS,
    FEWEST_UPDATES,
    UPDATES_REMEMBERED,
    WARM_UP,
)
from streamgauge.core.detectors.kept import numbers_data, put_numbers
from streamgauge.core.detectors.tolerance import DAY_MS
from streamgauge.core.overdispersion import UPPER_QUANTILE
from streamgauge.core.timeline import HOUR_MS

LEAST_EXPECTED: Final = 1.0
"""Blocks in which fewer events are expected go on into the next."""
LEAST_MEAN: Final = 0.05
"""The stream's own mean is taken for no less than this share of the profile's."""


@dataclass(slots=True)
class _Blocks:
    """Blocks of one length, of which `memory` are remembered and `fewest` needed."""

    length_ms: int
    fewest: int
    memory: float
    count: float = 0.0
    _number: int = 0
    _open: tuple[float, float] = (0.0, 0.0)
    """Events and expected events of the block so far."""
    _squares: float = 0.0
    _residuals: float = 0.0
    _expected: float = 0.0

    def add(self, events: float, expected: float, end: int) -> None:
        number = (end - 1) // self.length_ms
        if number > self._number and self._open[1] >= LEAST_EXPECTED:
            self._close()
        self._number = number
        self._open = self._open[0] + events, self._open[1] + expected

    def forget(self) -> None:
        self._open = 0.0, 0.0

    def estimate(self) -> float:
        expected = max(self._expected, LEAST_EXPECTED)
        about = self._squares - self._residuals**2 / expected
        mean = max(1.0 + self._residuals / expected, LEAST_MEAN)
        return about / max(self.count - 1.0, 1.0) / mean

    def _close(self) -> None:
        events, expected = self._open
        keep = 1.0 - 1.0 / self.memory
        self.count = self.count * keep + 1.0
        self._squares = self._squares * keep + (events - expected) ** 2 / expected
        self._residuals = self._residuals * keep + events - expected
        self._expected = self._expected * keep + expected
        self.forget()


@dataclass(slots=True)
class TrafficDispersion:
    """φ: the reference's, NaN where it cannot tell, or what the stream shows if that is more."""

    reference: float
    _hours: _Blocks = field(
        default_factory=lambda: _Blocks(HOUR_MS, FEWEST_UPDATES, UPDATES_REMEMBERED)
    )
    _days: _Blocks = field(default_factory=lambda: _Blocks(DAY_MS, FEWEST_DAYS, DAYS_REMEMBERED))

    def add(self, events: float, expected: float, end: int) -> None:
        """Take in a pane that ended at `end` (ms)."""
        self._hours.add(events, expected, end)
        self._days.add(events, expected, end)

    def forget(self) -> None:
        """Drop the hour and the day that are under way: they hold a fault."""
        self._hours.forget()
        self._days.forget()

    def data(self) -> dict[str, Any]:
        """Return everything by name."""
        return {"hours": numbers_data(self._hours), "days": numbers_data(self._days)}

    def restore(self, data: dict[str, Any]) -> None:
        """Go on as an earlier one."""
        put_numbers(self._hours, data["hours"])
        put_numbers(self._days, data["days"])

    def factor(self) -> float:
        """Return φ, at least 1; +inf where too little is known to judge."""
        unknown = bool(np.isnan(self.reference))
        if unknown and self._hours.count < WARM_UP:
            return float(np.inf)
        phi = 1.0 if unknown else self.reference
        for blocks in (self._hours, self._days):
            if blocks.count >= blocks.fewest:
                spread = np.sqrt(2.0 / max(blocks.count - 1.0, 1.0)) if unknown else 0.0
                phi = max(phi, blocks.estimate() * (1.0 + UPPER_QUANTILE * float(spread)))
        return max(phi, 1.0)
