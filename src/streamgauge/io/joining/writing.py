"""Writing: the files of a join store, by whichever thread; one call after the other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamgauge.core.joining.store import Space
from streamgauge.core.joining.table import RecordTable
from streamgauge.io.joining import catalogue
from streamgauge.io.joining.bucket import DiskBucket
from streamgauge.io.joining.catalogue import FORMAT, BucketEntry, Catalogue
from streamgauge.io.joining.merging import Merge
from streamgauge.io.joining.rows import rows_of
from streamgauge.io.joining.run import Run, RunWriter

_MERGED_FOR_EACH: Final = 8
"""Rows that are merged after a flush for each that it wrote.

More than is due: a row is merged twice where its bucket is flushed 90 times, and 5.5 times where
that is 4,096.
"""
Place = tuple[Space, int]
"""Of a bucket."""
Tables = dict[Space, RecordTable]


@dataclass(frozen=True, slots=True)
class Flush:
    """What is to be written: nothing of it changes until that is done.

    `listed` are the buckets with what they have on disk; `obsolete` runs are in none of them any
    more.
    """

    tables: Tables
    listed: Mapping[Place, BucketEntry]
    obsolete: tuple[Run, ...]
    meta: bytes


class StoreWriter:
    """Writes runs and the catalogue of the store in a folder, and merges runs.

    `begun` is how many runs were ever begun there. Errors are those of the operating system, and
    DamageError where what is to be merged is not what was written.
    """

    def __init__(self, path: Path, fingerprint: str, begun: int) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._begun = begun

    def write(self, flush: Flush) -> dict[Place, Run]:
        """Write a run for each bucket that something was put into, then the catalogue.

        Return the runs. What fails leaves all as it was.
        """
        new: dict[Place, Run] = {}
        try:
            for space, table in flush.tables.items():
                self._write_table(space, table, new)
            self._write_catalogue(flush, new)
        except BaseException:
            for run in new.values():
                run.remove()
            raise
        for run in flush.obsolete:
            run.remove()
        return new

    def merge(self, buckets: Iterable[DiskBucket], written: int) -> list[tuple[DiskBucket, Run]]:
        """Merge runs where it is worth it, as is due after so many rows were written.

        Return what came to its end: buckets, and the run in the place of those that were merged.
        """
        rows = _MERGED_FOR_EACH * written
        merged: list[tuple[DiskBucket, Run]] = []
        for bucket in buckets:
            if rows < 0:
                break
            if bucket.merge is None:
                chosen = bucket.to_merge()
                if not chosen:
                    continue
                bucket.merge = Merge(chosen, self._run(chosen[0].entry.record_bytes))
            try:
                while rows >= 0 and not bucket.merge.done:
                    rows -= bucket.merge.step()
                if bucket.merge.done:
                    merged.append((bucket, bucket.merge.finish()))
            except BaseException:
                for left in (bucket, *(done for done, _ in merged)):
                    left.leave_merge()
                raise
        return merged

    def _write_table(self, space: Space, table: RecordTable, written: dict[Place, Run]) -> None:
        buckets, keys, records = table.rows
        numbers = table.sizes()
        for number in numbers:
            mine = buckets == number if len(numbers) > 1 else slice(None)
            writer = self._run(records.itemsize)
            try:
                for rows in rows_of(keys[mine], records[mine]):
                    writer.append(rows)
                written[space, number] = writer.finish()
            except BaseException:
                writer.abandon()
                raise

    def _write_catalogue(self, flush: Flush, new: Mapping[Place, Run]) -> None:
        entries = []
        for place, entry in sorted(flush.listed.items()):
            added = (new[place].entry,) if place in new else ()
            runs = (*entry.runs, *added)
            entries.append(BucketEntry(entry.space, entry.bucket, entry.records, runs))
        made = Catalogue(FORMAT, self._fingerprint, self._begun, tuple(entries), flush.meta)
        catalogue.write(self._path, made)

    def _run(self, record_bytes: int) -> RunWriter:
        self._begun += 1
        return RunWriter(self._path, self._begun, record_bytes)
