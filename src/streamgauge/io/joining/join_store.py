"""JoinStore: a local, disposable index in which predictions wait for their labels.

What is put is kept in memory until `flush`, which writes it as sorted runs, one for each bucket,
and then the catalogue, together with a value of the caller's (the input offsets that the store then
reflects). The catalogue takes the place of the one before in one step, so after a crash the store
is what it was after the last flush. Nothing in it is the only copy of anything: a folder that
cannot be understood is emptied and begun anew, and the caller, who finds no offsets in it, reads
the inputs again.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import numpy as np

from streamgauge.core.batch import BoolArray, IntArray
from streamgauge.core.joining.ledger import tally
from streamgauge.core.joining.store import Found, Keys, Records, Space
from streamgauge.core.joining.table import RecordTable
from streamgauge.io.joining import catalogue
from streamgauge.io.joining.bucket import DiskBucket, Sought
from streamgauge.io.joining.catalogue import FORMAT, BucketEntry, Catalogue
from streamgauge.io.joining.errors import damage, os_failure
from streamgauge.io.joining.kept_rows import KeptRows
from streamgauge.io.joining.merging import Merge
from streamgauge.io.joining.opening import RECORDS, Opened, locked, mark_damaged, opened
from streamgauge.io.joining.rows import rows_of
from streamgauge.io.joining.run import DamageError, Run, RunWriter, bytes_of_row

_MERGED_FOR_EACH: Final = 8
"""Rows that are merged after a flush for each that it wrote.

More than is due: a row is merged twice where its bucket is flushed 90 times, and 5.5 times where
that is 4,096.
"""
_Place = tuple[Space, int]


class JoinStore:
    """Records on disk: what `streamgauge.core.joining.store.Store` asks for, with `flush`.

    `origin` says whether the store was found, and `reason` why not, "" where there is nothing to
    say. A flush that fails has changed nothing that was flushed before, or put since.

    >>> import tempfile
    >>> key, label = np.array([[1, 2]], np.uint64), np.array([b"a label"], "V7")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = JoinStore.open(Path(folder), "flights 1")
    ...     store.put(Space.LABELS, np.array([3]), key, label)
    ...     store.flush(b"offsets")
    ...     store.close()
    ...     store = JoinStore.open(Path(folder), "flights 1")
    ...     store.origin.value, store.meta(), store.get(Space.LABELS, key).records.tolist()
    ...     store.close()
    ('kept', b'offsets', [b'a label'])
    """

    def __init__(self, folder: Path, fingerprint: str, lock: int, found: Opened) -> None:
        self.origin = found.origin
        self.reason = found.reason
        self._folder = folder
        self._path = folder / RECORDS
        self._fingerprint = fingerprint
        self._lock = lock
        self._meta = found.meta
        self._begun = found.begun
        self._buckets: dict[_Place, DiskBucket] = dict(found.buckets)
        self._record_bytes = {
            space: run.entry.record_bytes
            for (space, _), bucket in self._buckets.items()
            for run in bucket.runs
        }
        self._tables = {space: RecordTable() for space in Space}
        self._kept = KeptRows()
        self._obsolete: list[Run] = []
        """Runs of the catalogue that is on disk, but not of the next one."""

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
        """Return about how many bytes wait in memory for the next flush."""
        return sum(len(table) * table.row_bytes for table in self._tables.values())

    @property
    def nbytes(self) -> int:
        """How many bytes the files take."""
        with os.scandir(self._path) as files:
            return sum(file.stat().st_size for file in files)

    def get(self, space: Space, keys: Keys) -> Found:
        """Return the records of those of the keys that have one; a key may be sought twice.

        Raises JoinStoreDamagedError where a file is not what was written, JoinStoreError where the
        operating system refuses to read it.
        """
        found = self._tables[space].get(keys)
        buckets = [(number, b) for (s, number), b in self._buckets.items() if s is space]
        if not buckets or len(found.place) == len(keys):
            return found
        rest = np.ones(len(keys), np.bool_)
        rest[found.place] = False
        parts = [found] if len(found.place) else []
        places = np.flatnonzero(rest)
        sought = Sought(places, keys.take(places, axis=0))
        with self._told():
            for number, bucket in sorted(buckets, key=lambda each: -each[0]):
                some = bucket.find(sought, self._kept)
                for place, records in some:
                    parts.append(Found(place, np.full(len(place), number), records))
                    rest[place] = False
                if some:
                    sought = sought.some(np.flatnonzero(rest[sought.place]))
        return _in_order(parts, len(keys)) if parts else found

    def put(
        self,
        space: Space,
        buckets: IntArray,
        keys: Keys,
        records: Records,
        *,
        known: bool | BoolArray,
    ) -> None:
        """Write n records to their `buckets (n,)`, in place of what their keys had there.

        The keys are distinct. `known` says whether they had a record, of all or of each.
        """
        self._tables[space].put(buckets, keys, records, perhaps=known is not False)
        self._record_bytes[space] = records.itemsize
        new = buckets[~np.broadcast_to(known, len(keys))]
        for number, count in tally(new).items():
            self._bucket(space, number).records += count

    def drop(self, space: Space, bucket: int) -> None:
        """Forget a bucket and all records in it; its files go with the next flush."""
        self._tables[space].drop(bucket)
        kept = self._buckets.pop((space, bucket), None)
        if kept is not None:
            kept.leave_merge()
            self._obsolete += kept.runs

    def sizes(self, space: Space) -> dict[int, int]:
        """Return how many bytes each bucket's keys and records take, buckets ascending.

        That is what the files of a bucket take once its runs are merged; until then they also hold
        what was replaced.
        """
        each = bytes_of_row(self._record_bytes.get(space, 0))
        return {
            number: bucket.records * each
            for (its_space, number), bucket in sorted(self._buckets.items())
            if its_space is space
        }

    def flush(self, meta: bytes) -> None:
        """Write what was put and forgotten since the last flush, and `meta`, all or nothing.

        Raises JoinStoreError where the operating system refuses to.
        """
        with self._told():
            new: dict[_Place, Run] = {}
            try:
                self._write_tables(new)
                self._write_catalogue(new, meta)
            except BaseException:
                for run in new.values():
                    run.remove()
                raise
            self._meta = meta
            for place, run in new.items():
                self._buckets[place].add(run)
            for table in self._tables.values():
                table.clear()
            while self._obsolete:
                run = self._obsolete.pop()
                self._kept.forget(run)
                run.remove()
            self._merge(_MERGED_FOR_EACH * sum(run.entry.rows for run in new.values()))

    def close(self) -> None:
        """Close the files; what was not flushed is forgotten."""
        for bucket in self._buckets.values():
            bucket.leave_merge()
        os.close(self._lock)

    def _write_tables(self, written: dict[_Place, Run]) -> None:
        """Write a run for each bucket that something was put into."""
        for space, table in self._tables.items():
            buckets, keys, records = table.rows
            numbers = table.sizes()
            for number in numbers:
                mine = buckets == number if len(numbers) > 1 else slice(None)
                writer = self._writer(records.itemsize)
                try:
                    for rows in rows_of(keys[mine], records[mine]):
                        writer.append(rows)
                    written[space, number] = writer.finish()
                except BaseException:
                    writer.abandon()
                    raise

    def _write_catalogue(self, new: dict[_Place, Run], meta: bytes) -> None:
        entries = []
        for (space, number), bucket in sorted(self._buckets.items()):
            runs = [*bucket.runs, *filter(None, [new.get((space, number))])]
            listed = tuple(run.entry for run in runs)
            entries.append(BucketEntry(space, number, bucket.records, listed))
        catalogue.write(
            self._path,
            Catalogue(FORMAT, self._fingerprint, self._begun, tuple(entries), meta),
        )

    def _merge(self, rows: int) -> None:
        """Merge runs, of so many rows and a part more, where it is worth it."""
        for bucket in self._buckets.values():
            while rows >= 0:
                chosen = bucket.to_merge()
                if chosen:
                    writer = self._writer(chosen[0].entry.record_bytes)
                    bucket.merge = Merge(chosen, writer)
                if bucket.merge is None:
                    break
                try:
                    rows -= bucket.merge.step()
                    if bucket.merge.done:
                        self._obsolete += bucket.replace(bucket.merge.finish())
                except BaseException:
                    bucket.leave_merge()
                    raise

    def _bucket(self, space: Space, number: int) -> DiskBucket:
        return self._buckets.setdefault((space, number), DiskBucket())

    def _writer(self, record_bytes: int) -> RunWriter:
        self._begun += 1
        return RunWriter(self._path, self._begun, record_bytes)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what goes wrong with files by its remedy."""
        try:
            yield
        except DamageError as error:
            told = damage(self._folder, str(error))
            mark_damaged(self._folder, str(told))
            raise told from error
        except OSError as error:
            raise os_failure(self._folder, error) from error


def _in_order(parts: list[Found], keys: int) -> Found:
    """Return all that was found of so many keys, by place."""
    if len(parts) == 1 and (np.diff(parts[0].place) > 0).all():
        return parts[0]
    place = np.concatenate([part.place for part in parts])
    which = np.full(keys, -1)
    which[place] = np.arange(len(place))
    order = which[which >= 0]
    bucket = np.concatenate([part.bucket for part in parts])
    records = np.concatenate([part.records for part in parts])
    return Found(place[order], bucket[order], records[order])
