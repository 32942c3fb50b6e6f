"""Frequent values: the most common of a stream's values in bounded memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class FrequentValues:
    """A Misra–Gries summary that merges (Agarwal et al., Mergeable Summaries, PODS 2012).

    A value's count is low by at most n / (capacity + 1) after n values; none is ever too high.
    """

    capacity: int = 128
    counts: dict[str, int] = field(default_factory=dict)
    additions: int = field(default=0, compare=False)
    """How often counts were added."""

    def add(self, counts: Mapping[str, int]) -> None:
        """Add counted values."""
        self.additions += 1
        for value, count in counts.items():
            self.counts[value] = self.counts.get(value, 0) + count
        if len(self.counts) > self.capacity:
            excess = sorted(self.counts.values(), reverse=True)[self.capacity]
            self.counts = {
                value: count - excess for value, count in self.counts.items() if count > excess
            }

    def top(self, most: int) -> tuple[tuple[str, int], ...]:
        """Return the most frequent values with their counts, ties in alphabetical order."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(ordered[:most])
