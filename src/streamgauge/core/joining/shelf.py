"""Shelf: the records of one space, in buckets of event time, within their bytes."""

from typing import Final

import numpy as np

from streamgauge.core.batch import BoolArray, IntArray
from streamgauge.core.joining.ledger import NEVER, Ledger
from streamgauge.core.joining.store import Found, Keys, Records, Space, Store
from streamgauge.errors import DataError

FULL: Final = 0.6
"""Share of its bytes that the newest bucket may take before no new ids but later ones are let in.

A call may bring any number; the rest is for that.
"""


class Shelf:
    """Reads, writes and forgets the records of one space; the ledger hears of what is forgotten."""

    def __init__(
        self, space: Space, cap: int, record: np.dtype[np.void], store: Store, ledger: Ledger
    ) -> None:
        self._space = space
        self._cap = cap
        self._record = record
        self._store = store
        self._ledger = ledger

    def get(self, keys: Keys) -> Found:
        """Return the records of those of the keys that have one.

        Raises:
            DataError: the records of the store are others.
        """
        found = self._store.get(self._space, keys)
        if not len(found.place):
            return found._replace(records=np.empty(0, self._record))
        if found.records.itemsize != self._record.itemsize:
            raise DataError(
                "join store: its records have another length; remove the store, it is built again "
                "from the inputs"
            )
        return found._replace(records=found.records.view(self._record))

    def put(
        self, buckets: IntArray, keys: Keys, records: Records, *, known: bool | BoolArray
    ) -> None:
        """Write records, each to its bucket, of distinct keys that are `known` or not."""
        assert records.dtype == self._record
        if len(keys):
            self._store.put(self._space, buckets, keys, records, known=known)

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
