"""A bucket on disk: a table with its records, and beside them what its filter is made of again."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self

import msgspec
import numpy as np

from streamgauge.core.joining.store import KEY_BYTES, Space
from streamgauge.io.joining.filters import Filter, Segment, marks_of
from streamgauge.io.joining.tables import Batch, Tables

_SAVE_EVERY: Final = 1 << 17
"""New keys after which segments are saved whole: what a start has to add key by key stays small."""
_LENGTHS: Final = 4
"""Lengths of records that are sorted apart: those of predictions have two."""
_KEY: Final = np.dtype(f"V{KEY_BYTES}")


class BucketEntry(msgspec.Struct, frozen=True):
    """What the catalogue says of a bucket.

    `segments` are the numbers of keys in the saved segments; the keys added since are listed in
    `lists[0]` up to, not including, `lists[1]`. `expected` is what its filter was made for.
    """

    space: Space
    bucket: int
    table: str
    segments: tuple[int, ...] = ()
    lists: tuple[int, int] = (0, 0)
    expected: int = 0


class DiskBucket:
    """One bucket's table and filter. Keys of what is no record are not KEY_BYTES long."""

    def __init__(self, entry: BucketEntry, filter_: Filter) -> None:
        self.entry = entry
        self.filter = filter_
        self._unsaved = filter_.count - sum(entry.segments)

    @classmethod
    def empty(cls, entry: BucketEntry) -> Self:
        """Return a bucket whose table has just been made."""
        return cls(entry, Filter(expected=entry.expected))

    @classmethod
    def restored(cls, entry: BucketEntry, tables: Tables) -> Self:
        """Return the bucket that the catalogue describes.

        Raises ValueError where its table does not hold what the catalogue says.
        """
        names = [*_segment_names(range(len(entry.segments))), *_list_names(range(*entry.lists))]
        found = tables.find(entry.table, names)
        parts = [part for part in found if part is not None]
        if len(parts) < len(names):
            raise ValueError(f"table {entry.table} lacks parts of its filter")
        saved = parts[: len(entry.segments)]
        segments = map(Segment.restored, saved, entry.segments)
        filter_ = Filter(list(segments), entry.expected)
        # As they were added, so that segments are what they were: a key that was taken for one of
        # the filter's is in no list, and its marks are those of others in the same segment.
        for part in parts[len(entry.segments) :]:
            filter_.add(marks_of(part))
        return cls(entry, filter_)

    def write(self, batch: Batch, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Put records into the batch, and what their keys change in the filter.

        The keys are distinct.
        """
        table, together = self.entry.table, b"".join(keys)
        for ordered in _in_order(keys, values, together):
            batch.put(table, ordered)
        new = self.filter.add(marks_of(together))
        added = np.frombuffer(together, _KEY)[new]
        self._unsaved += len(added)
        if self._unsaved >= _SAVE_EVERY:
            self._save(batch)
        elif len(added):
            first, after = self.entry.lists
            (name,) = _list_names([after])
            batch.put(table, [(name, added.tobytes())])
            self.entry = msgspec.structs.replace(self.entry, lists=(first, after + 1))

    def _save(self, batch: Batch) -> None:
        table, segments = self.entry.table, self.filter.segments
        changed = range(max(0, len(self.entry.segments) - 1), len(segments))
        parts = [segments[i].data for i in changed]
        batch.put(table, zip(_segment_names(changed), parts, strict=True))
        first, after = self.entry.lists
        batch.delete(table, _list_names(range(first, after)))
        counts = tuple(segment.count for segment in segments)
        self.entry = msgspec.structs.replace(self.entry, segments=counts, lists=(after, after))
        self._unsaved = 0


def _in_order(
    keys: Sequence[bytes], values: Sequence[bytes], together: bytes
) -> Iterator[Iterable[tuple[bytes, bytes]]]:
    """Yield the records (key, value) in runs whose keys ascend; `together` are the keys.

    In their order a table takes them in a quarter of the time; the first half of a key tells it.
    """
    halves = np.frombuffer(together, ">u8")[:: KEY_BYTES // 8].astype(np.uint64)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    some = set(lengths.tolist())
    if len(some) > _LENGTHS or 0 in some:
        yield [(keys[i], values[i]) for i in np.argsort(halves).tolist()]
        return
    # Objects that were made long ago are slow to visit in any order but theirs: those of one length
    # are put together, sorted as an array, and cut again.
    table = np.frombuffer(together, _KEY)
    for length in sorted(some):
        mine = np.flatnonzero(lengths == length)
        those = values if len(some) == 1 else list(map(values.__getitem__, mine.tolist()))
        order = np.argsort(halves[mine])
        sorted_values = np.frombuffer(b"".join(those), f"V{length}")[order].tolist()
        yield zip(table[mine[order]].tolist(), sorted_values, strict=True)


def _segment_names(numbers: range) -> Iterator[bytes]:
    return (b"segment-%d" % number for number in numbers)


def _list_names(numbers: range | list[int]) -> Iterator[bytes]:
    return (b"keys-%d" % number for number in numbers)
