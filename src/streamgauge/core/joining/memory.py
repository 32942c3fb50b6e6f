"""MemoryStore: a store in memory, for tests and for a join that may be lost."""

import numpy as np

from streamgauge.core.batch import BoolArray, IntArray
from streamgauge.core.joining.store import Found, Keys, Records, Space
from streamgauge.core.joining.table import RecordTable


class MemoryStore:
    """A `Store` that forgets everything with its process."""

    def __init__(self) -> None:
        self._tables = {space: RecordTable() for space in Space}

    def get(self, space: Space, keys: Keys) -> Found:
        """Return the records of those of the keys that have one; a key may be sought twice."""
        return self._tables[space].get(keys)

    def put(
        self,
        space: Space,
        buckets: IntArray,
        keys: Keys,
        records: Records,
        *,
        known: bool | BoolArray,
    ) -> None:
        """Write n records to their `buckets (n,)`, in place of what their keys had there."""
        self._tables[space].put(buckets, keys, records, perhaps=known is not False)

    def drop(self, space: Space, bucket: int) -> None:
        """Forget a bucket and all records in it."""
        self._tables[space].drop(bucket)

    def sizes(self, space: Space) -> dict[int, int]:
        """Return how many bytes each bucket takes, buckets ascending."""
        return self._tables[space].sizes()

    def contents(self, space: Space) -> dict[int, dict[bytes, bytes]]:
        """Return a copy of all records by bucket and key, buckets ascending."""
        rows = self._tables[space].rows
        found: dict[int, dict[bytes, bytes]] = {b: {} for b in np.unique(rows.buckets).tolist()}
        columns = (rows.buckets.tolist(), rows.keys, rows.records)
        for bucket, key, record in zip(*columns, strict=True):
            found[bucket][key.tobytes()] = record.tobytes()
        return found
