"""Slices: which groups of events get statistics of their own, and the rows they are counted in."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

MISSING_VALUE: Final = "(missing)"
"""Slice value of events that lack the dimension."""
OVERFLOW_VALUE: Final = "(overflow)"
"""Slice value of events whose own value is past the cap."""
VERSION_DIMENSION: Final = "model_version"
"""Every statistic is kept per model version, so this dimension is always there."""


class RowKey(NamedTuple):
    """What one row of counts is about: a model version, and a slice of it or all of it.

    `slice` is `((dimension, value), ...)`, empty for the whole version.
    """

    version: str
    slice: tuple[tuple[str, str], ...] = ()

    def label(self) -> str:
        """Return the slice as text, e.g. `carrier=UA,origin=EWR`; empty for the whole."""
        return ",".join(f"{dimension}={value}" for dimension, value in self.slice)


@dataclass(frozen=True, slots=True)
class Dimension:
    """One slicing dimension: a categorical feature, a tag, or a numeric feature cut at bounds."""

    name: str
    bounds: tuple[float, ...] = ()
    """Cut points of a numeric feature, ascending; empty for a categorical one."""

    def range_labels(self) -> tuple[str, ...]:
        """Name the ranges of a numeric dimension, e.g. `[500, 1500)`."""
        texts = [f"{bound:g}" for bound in self.bounds]
        return tuple(
            f"[{low}, {high})" for low, high in zip(["-inf", *texts], [*texts, "inf"], strict=True)
        )


@dataclass(frozen=True, slots=True)
class SliceSpec:
    """Dimensions whose combinations are slices: one for single slices, several for crossed ones."""

    dimensions: tuple[Dimension, ...]

    @property
    def name(self) -> str:
        """Return the dimensions' names, joined: `carrier`, `carrier,origin`."""
        return ",".join(dimension.name for dimension in self.dimensions)


@dataclass(slots=True)
class SliceRegistry:
    """Hands out row numbers to (version, slice) keys, up to caps.

    `max_rows` bounds the rows of one slice specification within one version, `max_versions` the
    versions. Past a cap, events go to a row whose values are `(overflow)`, so totals stay right.
    Keys that `reserve` names (those of the reference) come first, whatever arrives first.
    """

    max_rows: int = 1_000
    max_versions: int = 32
    keys: list[RowKey] = field(default_factory=list)
    _rows: dict[RowKey, int] = field(default_factory=dict)
    _used: dict[tuple[str, str], int] = field(default_factory=dict)
    _versions: set[str] = field(default_factory=set)
    _free: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of row numbers ever handed out: the length of arrays over rows."""
        return len(self.keys)
