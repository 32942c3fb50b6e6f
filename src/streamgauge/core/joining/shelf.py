"""Shelf: the records of one space, in buckets of event time, within their bytes."""

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.joining.ledger import NEVER, Ledger, tally
from streamgauge.core.joining.records import Records, as_bytes
from streamgauge.core.joining.store import Space, Store

FULL: Final = 0.6
"""Share of its bytes that the newest bucket may take before no new ids but later ones are let in.

Records grow when a label comes, by less than half with their keys; the rest is for that.
"""
_T = TypeVar("_T")


class Shelf:
    """Writes and forgets the records of one space; the ledger hears of what is forgotten."""

    def __init__(self, space: Space, cap: int, store: Store, ledger: Ledger) -> None:
        self._space = space
        self._cap = cap
        self._store = store
        self._ledger = ledger

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of every key, None where there is none."""
        return self._store.get(self._space, keys)

    def write(self, bucket: int, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Write records to one bucket."""
        self._store.put(self._space, bucket, keys, values)

    def put(self, buckets: IntArray, keys: Sequence[bytes], records: Records) -> None:
        """Write records, each to its bucket."""
        if not len(buckets):
            return
        if buckets.min() == buckets.max():
            self.write(int(buckets[0]), keys, as_bytes(records))
            return
        order = np.argsort(buckets, kind="stable")
        keys, values = pick(keys, order), as_bytes(records[order])
        start = 0
        for bucket, count in tally(buckets).items():
            end = start + count
            self.write(bucket, keys[start:end], values[start:end])
            start = end

    def full_up_to(self) -> int:
        """Return the newest bucket if it alone leaves no room for new ids, else one before all."""
        sizes = self._store.sizes(self._space)
        newest = max(sizes, default=NEVER)
        return newest if sizes.get(newest, 0) > FULL * self._cap else NEVER

    def make_room(self) -> None:
        """Drop the oldest buckets until the rest stays within its bytes."""
        sizes = self._store.sizes(self._space)
        total = sum(sizes.values())
        for bucket in sorted(sizes):
            if total <= self._cap:
                return
            self.drop_before(bucket + 1)
            total -= sizes[bucket]

    def drop_before(self, first: int) -> None:
        """Drop all buckets before this one."""
        for bucket in list(self._store.sizes(self._space)):
            if bucket < first:
                self._store.drop(self._space, bucket)
        self._ledger.drop_before(self._space, first)


def pick(values: Sequence[_T], places: IntArray) -> list[_T]:
    """Return the values at these places."""
    return list(map(values.__getitem__, places.tolist()))
