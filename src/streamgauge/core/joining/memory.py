"""MemoryStore: a store in dictionaries, for tests and for a join that may be lost."""

from collections.abc import Sequence
from itertools import repeat

from streamgauge.core.joining.store import KEY_BYTES, Space


class _Shelf:
    """The records of one space, by key alone and by bucket."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.buckets: dict[int, dict[bytes, bytes]] = {}
        self.sizes: dict[int, int] = {}


class MemoryStore:
    """A `Store` that forgets everything with its process.

    A bucket's size is that of its keys and values alone.
    """

    def __init__(self) -> None:
        self._shelves = {space: _Shelf() for space in Space}

    def get(self, space: Space, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of every key, None where there is none."""
        return list(map(self._shelves[space].records.get, keys))

    def put(
        self, space: Space, bucket: int, keys: Sequence[bytes], values: Sequence[bytes]
    ) -> None:
        """Write records, in place of what these keys had in this bucket; the keys are distinct."""
        assert len(keys) == len(values)
        if not keys:
            return
        shelf = self._shelves[space]
        held = shelf.buckets.setdefault(bucket, {})
        before = len(held)
        grown = sum(map(len, values)) - sum(map(len, map(held.get, keys, repeat(b""))))
        held.update(zip(keys, values, strict=True))
        shelf.records.update(zip(keys, values, strict=True))
        assert sum(map(len, shelf.buckets.values())) == len(shelf.records), "a key in two buckets"
        grown += KEY_BYTES * (len(held) - before)
        shelf.sizes[bucket] = shelf.sizes.get(bucket, 0) + grown

    def drop(self, space: Space, bucket: int) -> None:
        """Forget a bucket and all records in it."""
        shelf = self._shelves[space]
        for key in shelf.buckets.pop(bucket, ()):
            del shelf.records[key]
        shelf.sizes.pop(bucket, None)

    def sizes(self, space: Space) -> dict[int, int]:
        """Return how many bytes each bucket takes, buckets ascending."""
        return dict(sorted(self._shelves[space].sizes.items()))

    def contents(self, space: Space) -> dict[int, dict[bytes, bytes]]:
        """Return a copy of all records by bucket and key, buckets ascending."""
        buckets = self._shelves[space].buckets
        return {bucket: dict(buckets[bucket]) for bucket in sorted(buckets)}
