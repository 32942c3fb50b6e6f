"""JoinStore: a local, disposable index in which predictions wait for their labels.

What is put is kept in memory until `flush`, which writes it together with a value of the caller's
(the input offsets that the store then reflects) as one batch: after a crash the store is what it
was after some flush, as a rule the last one. Nothing in it is the only copy of anything, so a
folder that cannot be understood is emptied and begun anew, and the caller, who finds no offsets in
it, reads the inputs again.
"""

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final, Self

import numpy as np

from streamgauge.core.joining.store import KEY_BYTES, Space
from streamgauge.io.joining.bucket import BucketEntry, DiskBucket
from streamgauge.io.joining.catalogue import encoded
from streamgauge.io.joining.errors import JoinStoreDamagedError, JoinStoreError
from streamgauge.io.joining.filters import marks
from streamgauge.io.joining.opening import (
    CATALOGUE,
    HEAD,
    META,
    RECORDS,
    Opened,
    locked,
    mark_damaged,
    opened,
)

_RECORD_OVERHEAD: Final = 24
"""Bytes that a record takes beside its key and value, about."""


class JoinStore:
    """Records on disk: what `streamgauge.core.joining.store.Store` asks for, with `flush`.

    `origin` says whether the store was found, and `reason` why not, "" where there is nothing to
    say. After an error the store is closed and opened again, or left.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = JoinStore.open(Path(folder), "flights 1")
    ...     store.put(Space.LABELS, 3, [bytes(16)], [b"a label"])
    ...     store.flush(b"offsets")
    ...     store.close()
    ...     store = JoinStore.open(Path(folder), "flights 1")
    ...     store.origin.value, store.meta(), store.get(Space.LABELS, [bytes(16), bytes(15) + b"x"])
    ...     store.close()
    ('kept', b'offsets', [b'a label', None])
    """

    def __init__(self, folder: Path, fingerprint: str, lock: int, found: Opened) -> None:
        self.origin = found.origin
        self.reason = found.reason
        self._folder = folder
        self._fingerprint = fingerprint
        self._lock = lock
        self._tables = found.tables
        self._made = found.made
        self._meta = found.meta
        self._buckets: dict[Space, dict[int, DiskBucket]] = {space: {} for space in Space}
        for bucket in found.buckets:
            self._buckets[bucket.entry.space][bucket.entry.bucket] = bucket
        self._latest: dict[Space, dict[bytes, bytes]] = {space: {} for space in Space}
        self._waiting: dict[Space, dict[int, list[Sequence[bytes]]]] = {
            space: {} for space in Space
        }
        """The keys in `_latest` by bucket, as they were put: some may be there twice."""
        self._waiting_bytes: dict[Space, dict[int, int]] = {space: {} for space in Space}
        self._dropped: list[str] = []
        self._failed: JoinStoreError | None = None

    @classmethod
    def open(cls, folder: Path, fingerprint: str) -> Self:
        """Open the store in `folder`, which is made where it is missing.

        `fingerprint` tells stores apart whose records or keys mean something else: a store of
        another one is replaced, like one that is damaged. Raises JoinStoreBusyError while another
        process has the folder open, JoinStoreError when it cannot be read or written.
        """
        lock = locked(folder)
        try:
            return cls(folder, fingerprint, lock, opened(folder, fingerprint))
        except BaseException:
            os.close(lock)
            raise

    def meta(self) -> bytes | None:
        """Return what the last flush was given, None where there has been none."""
        return self._meta

    def unflushed(self) -> int:
        """Return about how many bytes wait for the next flush, on disk; in memory it is thrice."""
        return sum(sum(sizes.values()) for sizes in self._waiting_bytes.values())

    @property
    def nbytes(self) -> int:
        """How many bytes the files take."""
        with os.scandir(self._folder / RECORDS) as files:
            return sum(_size(file) for file in files)

    def get(self, space: Space, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of every key, None where there is none."""
        latest, buckets = self._latest[space], self._buckets[space]
        values: list[bytes | None]
        if latest.keys().isdisjoint(keys):  # new predictions
            values, sought, rest = [None] * len(keys), np.arange(len(keys)), keys
        else:
            values = list(map(latest.get, keys))
            if not buckets or None not in values:
                return values
            sought = np.array([i for i, value in enumerate(values) if value is None], np.intp)
            rest = [keys[i] for i in sought.tolist()]
        if not buckets:
            return values
        signs = marks(rest)
        for number in sorted(buckets, reverse=True):
            bucket = buckets[number]
            places = sought[bucket.filter.perhaps(signs)].tolist()
            if places:
                found = self._find(bucket.entry.table, [keys[i] for i in places])
                for i, value in zip(places, found, strict=True):
                    if value is not None:
                        values[i] = value
        return values

    def put(
        self, space: Space, bucket: int, keys: Sequence[bytes], values: Sequence[bytes]
    ) -> None:
        """Write records, in place of what these keys had in this bucket; the keys are distinct."""
        if not keys:
            return
        latest = self._latest[space]
        before = len(latest)
        latest.update(zip(keys, values, strict=True))
        if len(latest) > before:  # else all of them are known, in this bucket
            self._waiting[space].setdefault(bucket, []).append(keys)
        sizes = self._waiting_bytes[space]
        added = sum(map(len, values)) + len(values) * (KEY_BYTES + _RECORD_OVERHEAD)
        sizes[bucket] = sizes.get(bucket, 0) + added

    def drop(self, space: Space, bucket: int) -> None:
        """Forget a bucket and all records in it; its files go with the next flush."""
        latest = self._latest[space]
        for key in chain.from_iterable(self._waiting[space].pop(bucket, ())):
            latest.pop(key, None)
        self._waiting_bytes[space].pop(bucket, None)
        kept = self._buckets[space].pop(bucket, None)
        if kept is not None:
            self._dropped.append(kept.entry.table)

    def sizes(self, space: Space) -> dict[int, int]:
        """Return about how many bytes each bucket takes, on disk and before, buckets ascending."""
        sizes = dict(self._waiting_bytes[space])
        for number, bucket in self._buckets[space].items():
            sizes[number] = sizes.get(number, 0) + self._tables.nbytes(bucket.entry.table)
        return dict(sorted(sizes.items()))

    def flush(self, meta: bytes) -> None:
        """Write what was put and forgotten since the last flush, and `meta`, all or nothing.

        Once it has failed it fails again: filters and tables may differ from then on.
        """
        if self._failed is not None:
            raise self._failed
        try:
            self._write(meta)
        except JoinStoreError as error:
            self._failed = error
            raise
        self._meta = meta
        for space in Space:
            self._waiting[space].clear()
            self._latest[space].clear()
            self._waiting_bytes[space].clear()
        # Only now: had the batch failed, the tables would still be needed. Those that a crash
        # leaves behind here are in no catalogue, and go when the store is opened.
        while self._dropped:
            self._tables.drop(self._dropped.pop())

    def close(self) -> None:
        """Close the files; what was not flushed is forgotten."""
        self._tables.close()
        os.close(self._lock)

    def _write(self, meta: bytes) -> None:
        batch = self._tables.batch()
        for space, waiting in self._waiting.items():
            latest = self._latest[space]
            for number, parts in waiting.items():
                # One bucket, as often, has all records there are.
                keys = list(
                    dict.fromkeys(chain.from_iterable(parts)) if len(waiting) > 1 else latest
                )
                values = list(
                    map(latest.__getitem__, keys) if len(waiting) > 1 else latest.values()
                )
                self._bucket(space, number).write(batch, keys, values)
        entries = (b.entry for buckets in self._buckets.values() for b in buckets.values())
        catalogue = encoded(self._fingerprint, self._made, tuple(entries))
        batch.put(HEAD, [(CATALOGUE, catalogue), (META, meta)])
        self._tables.write(batch)

    def _bucket(self, space: Space, number: int) -> DiskBucket:
        buckets = self._buckets[space]
        if number not in buckets:
            # A number of its own: the bucket may have had a table that is still to be dropped.
            table = f"{space.value}-{number}-{self._made}"
            self._made += 1
            self._tables.create(table)
            expected = max((each.filter.count for each in buckets.values()), default=0)
            entry = BucketEntry(space, number, table, expected=expected)
            buckets[number] = DiskBucket.empty(entry)
        return buckets[number]

    def _find(self, table: str, keys: list[bytes]) -> list[bytes | None]:
        try:
            return self._tables.find(table, keys)
        except JoinStoreDamagedError as error:
            mark_damaged(self._folder, str(error))
            raise


def _size(file: os.DirEntry[str]) -> int:
    try:
        return file.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # compaction removes files at any time
        return 0
