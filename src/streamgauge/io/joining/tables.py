"""Tables: RocksDB as sorted tables in a folder, written together and dropped one by one.

A table is a column family: it has files of its own, so dropping it costs a few unlinks. Bytes that
are written reach the operating system before `write` returns, not the disk: they outlive a kill of
this process, and what a power cut takes is the latest batches as a whole. Memory is bounded here:
one cache for blocks, indexes and RocksDB's own filters, one limit for what is not yet in sorted
files, both over all tables; no file is mapped into memory.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rocksdict import (
    BlockBasedOptions,
    Cache,
    ColumnFamily,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    WriteBatch,
)

from streamgauge.io.joining.errors import failure

_DEFAULT: Final = "default"
_CACHE_BYTES: Final = 128 << 20
_UNSORTED_BYTES: Final = 32 << 20
_TABLE_UNSORTED_BYTES: Final = 16 << 20
_LOG_BYTES: Final = 32 << 20
_BLOOM_BITS: Final = 10


class Batch:
    """What one write changes, in any number of tables."""

    def __init__(self, handles: Mapping[str, ColumnFamily]) -> None:
        self._handles = handles
        self.raw = WriteBatch(raw_mode=True)

    def put(self, table: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Write records (key, value) in place of what the table has for these keys."""
        raw = self.raw
        raw.set_default_column_family(self._handles[table])
        for key, value in records:
            raw[key] = value
        # A batch that outlives the tables, in a traceback say, must not keep their files open.
        raw.set_default_column_family(None)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        """Delete records."""
        handle = self._handles[table]
        for key in keys:
            self.raw.delete(key, handle)


class Tables:
    """The tables in one folder; `folder` is named in errors, the files are in `path`.

    Whatever is done raises JoinStoreError where the operating system refuses, and
    JoinStoreDamagedError where files are not what was written.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder = folder
        self._failed = False
        self._cache = Cache(_CACHE_BYTES)
        options = self._options()
        names = [_DEFAULT]
        with self._told("opening it"):
            if (path / "CURRENT").exists():
                names = Rdict.list_cf(str(path), options)
            self._root = Rdict(
                str(path),
                options,
                column_families={name: self._options() for name in names if name != _DEFAULT},
            )
            self._tables = {name: self._root.get_column_family(name) for name in names}
            self._handles = {name: self._root.get_column_family_handle(name) for name in names}

    @property
    def names(self) -> frozenset[str]:
        """Names of the tables there are."""
        return frozenset(self._tables) - {_DEFAULT}

    def create(self, name: str) -> None:
        """Make an empty table."""
        with self._told("making a table"):
            self._tables[name] = self._root.create_column_family(name, self._options())
            self._handles[name] = self._root.get_column_family_handle(name)

    def drop(self, name: str) -> None:
        """Remove a table and everything in it."""
        # Files go once nobody holds the table.
        del self._handles[name]
        self._tables.pop(name).close()
        with self._told("dropping a table"):
            self._root.drop_column_family(name)

    def find(self, name: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of every key, None where there is none."""
        table = self._tables[name]
        with self._told("reading"):
            values: list[bytes | None] | None = table.get(list(keys))
        assert values is not None
        return values

    def batch(self) -> Batch:
        """Return an empty batch."""
        return Batch(self._handles)

    def write(self, batch: Batch) -> None:
        """Write a batch, all of it or nothing."""
        self._failed = True
        with self._told("writing"):
            self._root.write(batch.raw)
        self._failed = False

    def nbytes(self, name: str) -> int:
        """Return about how many bytes a table takes: its files and what is not yet in one."""
        table = self._tables[name]
        with self._told("reading sizes"):
            parts = (
                table.property_int_value("rocksdb.live-sst-files-size"),
                table.property_int_value("rocksdb.size-all-mem-tables"),
            )
        return sum(part or 0 for part in parts)

    def close(self) -> None:
        """Close the files; what was written stays."""
        self._handles.clear()
        for table in (*self._tables.values(), self._root):
            # After a write that failed, each of them fails to write once more; that was told then.
            with contextlib.suppress(Exception) if self._failed else self._told("closing it"):
                table.close()
        self._tables.clear()

    def _options(self) -> Options:
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_bloom_filter(_BLOOM_BITS, block_based=False)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
        blocks.set_format_version(5)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        # No filters over the last level, nine tenths of the keys: who asks knows nearly always that
        # the key is there, and the filters that are left stay in the cache.
        options.set_optimize_filters_for_hits(True)
        options.set_compression_type(DBCompressionType.none())  # records are packed, keys random
        options.set_bottommost_compression_type(DBCompressionType.none())
        options.set_db_write_buffer_size(_UNSORTED_BYTES)
        options.set_write_buffer_size(_TABLE_UNSORTED_BYTES)
        options.set_arena_block_size(64 << 10)  # what sizes are rounded up to
        options.set_max_total_wal_size(_LOG_BYTES)
        # Batches after a damaged one are left out: the meta value says what is missing.
        options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
        options.set_max_background_jobs(2)
        options.set_stats_dump_period_sec(0)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(1 << 20)
        return options

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the library raises nothing more exact
            raise failure(self._folder, doing, error) from error
