"""JoinStore: a local, disposable index in which predictions wait for their labels.

What is put is kept in memory until `flush` hands it to a thread of the store's own, which writes
it as sorted runs, one for each bucket, and then the catalogue, together with a value of the
caller's (the input offsets that the store then reflects). The catalogue takes the place of the one
before in one step, so after a crash the store is what it was after the last flush that came to its
end. Nothing in it is the only copy of anything: a folder that cannot be understood is emptied and
begun anew, and the caller, who finds no offsets in it, reads the inputs again.
"""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from streamgauge.core.batch import BoolArray, IntArray
from streamgauge.core.joining.ledger import tally
from streamgauge.core.joining.store import Found, Keys, Records, Space
from streamgauge.core.joining.table import RecordTable
from streamgauge.io.joining.bucket import DiskBucket, Sought
from streamgauge.io.joining.catalogue import BucketEntry
from streamgauge.io.joining.errors import damage, os_failure
from streamgauge.io.joining.kept_rows import KeptRows
from streamgauge.io.joining.opening import RECORDS, Opened, locked, mark_damaged, opened
from streamgauge.io.joining.run import DamageError, Run, bytes_of_row
from streamgauge.io.joining.writing import Flush, Place, StoreWriter, Tables


class _Writing(NamedTuple):
    """A flush under way: the runs that it writes, and what is merged after it."""

    flush: Flush
    written: Future[dict[Place, Run]]
    merged: Future[list[tuple[DiskBucket, Run]]]


class JoinStore:
    """Records on disk: what `streamgauge.core.joining.store.Store` asks for, with `flush`.

    `origin` says whether the store was found, and `reason` why not, "" where there is nothing to
    say. A flush that fails has changed nothing that was flushed before, or put since; any later
    call but `put` may be the one that raises what it met.

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

    def __init__(
        self, folder: Path, fingerprint: str, lock: int, found: Opened, kept: KeptRows | None
    ) -> None:
        self.origin = found.origin
        self.reason = found.reason
        self._folder = folder
        self._path = folder / RECORDS
        self._lock = lock
        self._meta = found.meta
        self._buckets: dict[Place, DiskBucket] = dict(found.buckets)
        self._record_bytes = {
            space: run.entry.record_bytes
            for (space, _), bucket in self._buckets.items()
            for run in bucket.runs
        }
        self._tables = _empty_tables()
        self._spare = _empty_tables()
        self._kept = KeptRows() if kept is None else kept
        self._obsolete: list[Run] = []
        """Runs of the catalogue that is on disk, but not of the next one."""
        self._writer = StoreWriter(self._path, fingerprint, found.begun)
        self._beside = ThreadPoolExecutor(1, "join-store")
        """Where flushes are written: nothing that they have to do with changes meanwhile."""
        self._writing: _Writing | None = None

    @classmethod
    def open(cls, folder: Path, fingerprint: str, kept: KeptRows | None = None) -> Self:
        """Open the store in `folder`, which is made where it is missing.

        `fingerprint` tells stores apart whose records or keys mean something else: a store of
        another one is replaced, like one that is damaged. Stores that one thread uses may share the
        rows that are `kept` in memory. Raises JoinStoreBusyError while another process has the
        folder open, JoinStoreError when it cannot be read or written.
        """
        lock = locked(folder)
        try:
            return cls(folder, fingerprint, lock, opened(folder, fingerprint), kept)
        except BaseException:
            os.close(lock)
            raise

    def meta(self) -> bytes | None:
        """Return what the last flush that is written was given, None where there has been none."""
        return self._meta

    def unflushed(self) -> int:
        """Return about how many bytes wait in memory for the next flush.

        Of a store that is asked again and again, as a loop does, a flush that failed is soon told,
        also where no event comes any more.
        """
        self._take_in()
        return sum(len(table) * table.row_bytes for table in self._tables.values())

    @property
    def nbytes(self) -> int:
        """How many bytes the files take, once all flushes are written."""
        self.settle()
        with os.scandir(self._path) as files:
            return sum(file.stat().st_size for file in files)

    def get(self, space: Space, keys: Keys) -> Found:
        """Return the records of those of the keys that have one; a key may be sought twice.

        Raises JoinStoreDamagedError where a file is not what was written, JoinStoreError where the
        operating system refuses to read it.
        """
        self._take_in()
        found = self._tables[space].get(keys)
        buckets = [(number, b) for (s, number), b in self._buckets.items() if s is space]
        under_way = None if self._writing is None else self._writing.flush.tables[space]
        if len(found.place) == len(keys) or not (buckets or under_way):
            return found
        rest = np.ones(len(keys), np.bool_)
        rest[found.place] = False
        parts = [found] if len(found.place) else []
        places = np.flatnonzero(rest)
        sought = Sought(places, keys.take(places, axis=0))
        if under_way:
            place, *what = under_way.get(sought.keys)
            parts.append(Found(sought.place[place], *what))
            rest[sought.place[place]] = False
            sought = sought.some(np.flatnonzero(rest[sought.place]))
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
        self.settle()
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

        That is begun when the flush before has come to its end, and goes on beside what comes next;
        `settle` waits for it. Raises what the flush before met.
        """
        self.settle()
        listed = {
            place: BucketEntry(*place, bucket.records, tuple(run.entry for run in bucket.runs))
            for place, bucket in self._buckets.items()
        }
        flush = Flush(self._tables, listed, tuple(self._obsolete), meta)
        rows = sum(map(len, self._tables.values()))
        for space, table in self._tables.items():  # as many may come again
            self._spare[space].reserve(len(table))
        self._tables = self._spare
        written = self._beside.submit(self._writer.write, flush)
        buckets = [*self._buckets.values()]
        merged = self._beside.submit(self._merge, written, buckets, rows)
        self._writing = _Writing(flush, written, merged)

    def settle(self) -> None:
        """Wait until the last flush is written.

        Raises JoinStoreError where the operating system refused to, JoinStoreDamagedError where a
        file that was to be merged is not what was written.
        """
        if self._writing is not None:
            wait([self._writing.merged])
            self._take_in()

    def close(self) -> None:
        """Close the files, once the last flush is written; what was not flushed is forgotten.

        Raises as `settle` does.
        """
        try:
            self.settle()
        finally:
            self._beside.shutdown()
            for bucket in self._buckets.values():
                bucket.leave_merge()
            runs = [run for bucket in self._buckets.values() for run in bucket.runs]
            for run in (*runs, *self._obsolete):
                self._kept.forget(run)
            os.close(self._lock)

    def _take_in(self) -> None:
        """Go on with the files of a flush that has come to its end."""
        if self._writing is None or not self._writing.merged.done():
            return
        (flush, written, merged), self._writing = self._writing, None
        with self._told():
            try:
                new = written.result()
            except BaseException:
                self._go_back(flush.tables)
                raise
            self._meta = flush.meta
            for place, run in new.items():
                self._buckets[place].add(run)
            for run in flush.obsolete:
                self._kept.forget(run)
            del self._obsolete[: len(flush.obsolete)]
            for table in flush.tables.values():
                table.clear()
            self._spare = flush.tables
            for bucket, run in merged.result():
                self._obsolete += bucket.replace(run)

    def _merge(
        self, written: Future[dict[Place, Run]], buckets: list[DiskBucket], rows: int
    ) -> list[tuple[DiskBucket, Run]]:
        """Merge what was there before a flush, if that was written."""
        return [] if written.exception() else self._writer.merge(buckets, rows)

    def _go_back(self, tables: Tables) -> None:
        """Let what was not written wait again, below what was put since."""
        for space, table in self._tables.items():
            tables[space].put(*table.rows)
            table.clear()
        self._spare, self._tables = self._tables, tables

    def _bucket(self, space: Space, number: int) -> DiskBucket:
        return self._buckets.setdefault((space, number), DiskBucket())

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


def _empty_tables() -> Tables:
    return {space: RecordTable() for space in Space}


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
