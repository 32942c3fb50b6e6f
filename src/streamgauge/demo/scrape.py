"""A scrape: what the monitor said on `/metrics`."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

_SERIES: Final = re.compile(r"^(\w+)(?:{.*})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer in Prometheus' text format: the sum of each metric's series."""

    totals: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Add up the series of an answer by metric."""
        totals: defaultdict[str, float] = defaultdict(float)
        for name, value in _SERIES.findall(text):
            totals[name] += float(value)
        return cls(totals)

    def total(self, name: str) -> float:
        """Return the sum of a metric's series, 0 where it has none."""
        return self.totals.get(name, 0.0)
