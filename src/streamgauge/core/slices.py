"""Slices: which groups of events get statistics of their own, and the rows they are counted in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from streamgauge.core.state import Kept, Part, needed, reading
from streamgauge.errors import StateError

MISSING_VALUE: Final = "(missing)"
"""Slice value of events that lack the dimension."""
OVERFLOW_VALUE: Final = "(overflow)"
"""Slice value of events whose own value is past the cap."""
VERSION_DIMENSION: Final = "model_version"
"""Every statistic is kept per model version, so this dimension is always there."""
KEYS_PER_PART: Final = 256
"""Keys that are kept together."""


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

    `max_slices` bounds the slices of one specification within one version, `max_versions` the
    versions. Past a cap, events go to a row whose values are `(overflow)`, so totals stay right.
    Slices in `reserved` (those of the reference) always get a row, whatever arrives first.
    """

    max_slices: int = 1_000
    max_versions: int = 32
    reserved: frozenset[tuple[tuple[str, str], ...]] = frozenset()
    keys: list[RowKey] = field(default_factory=list)
    _rows: dict[RowKey, int] = field(default_factory=dict)
    _used: dict[tuple[str, str], int] = field(default_factory=dict)
    _versions: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        """Return how many rows there are: the length of arrays over rows."""
        return len(self.keys)

    def row(self, key: RowKey) -> int:
        """Return the row of a key, a new one if there is room, else the overflow row."""
        row = self._rows.get(key)
        return self._admit(key) if row is None else row

    def find(self, key: RowKey) -> int | None:
        """Return the row of a key that has one."""
        return self._rows.get(key)

    def readmit(self, key: RowKey) -> None:
        """Give a key the next row, in the order in which an earlier registry handed them out."""
        self._versions.add(key.version)
        overflown = any(value == OVERFLOW_VALUE for _, value in key.slice)
        if key.slice and key.slice not in self.reserved and not overflown:
            group = (key.version, ",".join(dimension for dimension, _ in key.slice))
            self._used[group] = self._used.get(group, 0) + 1
        self._append(key)

    def readmit_all(self, data: list[Any]) -> None:
        """Give all keys of `keys_data` the next rows."""
        for version, pairs in data:
            self.readmit(RowKey(version, tuple((d, value) for d, value in pairs)))

    def _append(self, key: RowKey) -> None:
        self._rows[key] = len(self.keys)
        self.keys.append(key)

    def parts(self) -> Iterator[Part]:
        """Yield the keys in the order of their rows, and how much of the caps is used."""
        for start in range(0, len(self.keys), KEYS_PER_PART):
            some = self.keys[start : start + KEYS_PER_PART]
            yield Part(f"keys/{start // KEYS_PER_PART}", len(some), partial(keys_data, some))
        used = [[*group, count] for group, count in self._used.items()]
        yield Part("used", len(self.keys), lambda: used)

    def restore(self, kept: Kept) -> None:
        """Take back the parts.

        Keys that are there already (those of a join's store, which may be behind) have to be the
        first of them.
        """
        there, self.keys = self.keys, []
        self._rows, self._versions = {}, set()
        for number in range(len(kept) - 1):
            name = f"keys/{number}"
            data = needed(kept, name)
            with reading(name):
                for version, pairs in data:
                    self._versions.add(version)
                    self._append(RowKey(version, tuple((d, value) for d, value in pairs)))
        used = needed(kept, "used")
        with reading("used"):
            self._used = {(version, names): count for version, names, count in used}
        if self.keys[: len(there)] != there:
            raise StateError("keys/0", "has other rows than the join store; remove that")

    def _admit(self, key: RowKey) -> int:
        version, values = key
        if version not in self._versions:
            if len(self._versions) >= self.max_versions:
                version = OVERFLOW_VALUE
            self._versions.add(version)
        if values and values not in self.reserved:
            group = (version, ",".join(dimension for dimension, _ in values))
            used = self._used.get(group, 0)
            if used >= self.max_slices:
                values = tuple((dimension, OVERFLOW_VALUE) for dimension, _ in values)
            elif RowKey(version, values) not in self._rows:
                self._used[group] = used + 1
        admitted = RowKey(version, values)
        row = self._rows.get(admitted)
        if row is None:
            row = self._rows[admitted] = len(self.keys)
            self.keys.append(admitted)
        return row


def keys_data(keys: list[RowKey]) -> list[Any]:
    """Return keys as plain data, which `SliceRegistry.readmit_all` takes back."""
    return [[key.version, [list(pair) for pair in key.slice]] for key in keys]
