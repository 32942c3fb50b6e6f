"""Table: records in memory by key, many at once."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.hashing import hashing
from streamgauge.core.joining.ledger import tally
from streamgauge.core.joining.store import KEY_BYTES, Found, Keys, Records, alike

_SMALLEST: Final = 1 << 10
_SLOTS_A_ROW: Final = 4
_SPARE: Final = 8
"""How many times the room that is needed is taken: pages that nothing is written to cost nothing,
while moving what is there costs as much as putting it."""
_FREE: Final = -1


class Rows(NamedTuple):
    """n records with their `keys (n, 2)` and `buckets (n,) int64`."""

    buckets: IntArray
    keys: Keys
    records: Records

    def take(self, index: IntArray | slice | npt.NDArray[np.bool_]) -> "Rows":
        """Return the rows at these places."""
        return Rows(self.buckets[index], self.keys[index], self.records[index])


class RecordTable:
    """Records by key: a hash table with open addressing whose every step is one over all keys.

    Keys are hashes, so their own bits say where to look; of a slot that another key has, the next
    one is looked at. At most a quarter of the slots are taken.
    """

    def __init__(self) -> None:
        self._count = 0
        self._slots = np.full(_SLOTS_A_ROW * _SMALLEST, _FREE, np.int32)
        self._rows = _no_rows()
        """Room for records; the first `_count` are taken."""
        self._per_bucket: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many records there are."""
        return self._count

    @property
    def rows(self) -> Rows:
        """All records, in the order in which their keys came."""
        return self._rows.take(slice(self._count))

    @property
    def row_bytes(self) -> int:
        """How many bytes a record takes with its key; 0 before the first."""
        return self._rows.records.itemsize + KEY_BYTES if self._count else 0

    def count(self, bucket: int) -> int:
        """Return how many records a bucket has."""
        return self._per_bucket.get(bucket, 0)

    def sizes(self) -> dict[int, int]:
        """Return how many bytes each bucket's keys and records take, buckets ascending."""
        size = self.row_bytes
        return {bucket: count * size for bucket, count in sorted(self._per_bucket.items())}

    def get(self, keys: Keys) -> Found:
        """Return the records of those of the keys that have one."""
        row = self._find(keys)
        place = np.flatnonzero(row >= 0)
        row = row[place]
        return Found(place, self._rows.buckets[row], self._rows.records[row])

    def put(self, buckets: IntArray, keys: Keys, records: Records, *, perhaps: bool = True) -> None:
        """Write records, in place of what their keys had; the keys are distinct.

        Of keys that are not `perhaps` here none is.
        """
        if not len(keys):
            return
        records = records.view(f"V{records.dtype.itemsize}")
        if not perhaps:
            self._add(Rows(buckets, keys, records))
            return
        row = self._find(keys)
        known = row >= 0
        if known.any():
            at = row[known]
            assert np.array_equal(self._rows.buckets[at], buckets[known]), "a key in two buckets"
            self._rows.records[at] = records[known]
            buckets, keys, records = buckets[~known], keys[~known], records[~known]
        self._add(Rows(buckets, keys, records))

    def reserve(self, count: int) -> None:
        """Have room in the slots for so many records: while it grows each is entered twice."""
        if _SLOTS_A_ROW * count > len(self._slots):
            self._slots = np.full(_SLOTS_A_ROW << (count - 1).bit_length(), _FREE, np.int32)
            self._enter(0, self._count)

    def drop(self, bucket: int) -> None:
        """Forget a bucket."""
        if bucket in self._per_bucket:
            rows = self.rows
            kept = rows.take(rows.buckets != bucket)
            self.clear()
            self._add(kept)

    def clear(self) -> None:
        """Forget everything; keep the room if a quarter of it was needed this time."""
        if 4 * _SLOTS_A_ROW * self._count < len(self._slots):
            self._rows = _no_rows()
            self._slots = self._slots[: _SLOTS_A_ROW * _SMALLEST].copy()
        self._count = 0
        self._slots.fill(_FREE)
        self._per_bucket.clear()

    def _add(self, new: Rows) -> None:
        """Add records whose keys are not there."""
        first, after = self._count, self._count + len(new.keys)
        if first == after:
            return
        self._make_room(after, new.records.dtype)
        for mine, column in zip(self._rows, new, strict=True):
            mine[first:after] = column
        self._count = after
        self._enter(first, after)
        for bucket, count in tally(new.buckets).items():
            self._per_bucket[bucket] = self._per_bucket.get(bucket, 0) + count

    def _make_room(self, count: int, dtype: np.dtype[np.void]) -> None:
        other = dtype != self._rows.records.dtype
        assert not (other and self._count), "records of two lengths"
        if other or count > len(self._rows.keys):
            room = max(_SMALLEST, _SPARE << (count - 1).bit_length())
            columns = (
                np.empty(room, np.int64),
                np.empty((room, 2), np.uint64),
                np.empty(room, dtype),
            )
            if self._count:
                for column, before in zip(columns, self.rows, strict=True):
                    column[: self._count] = before
            self._rows = Rows(*columns)
        self.reserve(count)

    def _enter(self, first: int, after: int) -> None:
        """Give rows from one up to another, whose keys are in no slot, one each."""
        slots, last = self._slots, len(self._slots) - 1
        compiled = hashing()
        if compiled is not None:
            compiled.enter(slots, self._rows.keys, first, after)
            return
        rows = np.arange(first, after, dtype=np.int32)
        at = self._first_slot(self._rows.keys[rows])
        while len(rows):
            free = slots[at] == _FREE
            slots[at[free]] = rows[free]
            rest = slots[at] != rows  # of several that found one slot free, one has it
            rows, at = rows[rest], (at[rest] + 1) & last

    def _find(self, keys: Keys) -> IntArray:
        """Return each key's row `(n,)`, -1 where it has none."""
        compiled = hashing()
        if compiled is not None and self._count:
            return compiled.find(self._slots, self._rows.keys, keys)
        found = np.full(len(keys), -1, np.int64)
        if not self._count:
            return found
        slots, last = self._slots, len(self._slots) - 1
        table = self._rows.keys
        place, at = np.arange(len(keys)), self._first_slot(keys)
        while len(place):
            row = slots[at]
            taken = row != _FREE
            place, at, row = place[taken], at[taken], row[taken]
            same = alike(table[row], keys[place])
            found[place[same]] = row[same]
            other = ~same
            place, at = place[other], (at[other] + 1) & last
        return found

    def _first_slot(self, keys: Keys) -> IntArray:
        return (keys[:, 1] & np.uint64(len(self._slots) - 1)).astype(np.int64)


def _no_rows() -> Rows:
    return Rows(np.empty(0, np.int64), np.empty((0, 2), np.uint64), np.empty(0, "V0"))
