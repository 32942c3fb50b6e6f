"""Embedded key-value stores behind one face: tables by bucket, written together, dropped alone.

Each is set up for the join's load: durable against a kill of the process, not against a power cut,
about 128 MiB of cache where it has one of its own, keys sorted before they are written where that
helps. LMDB and RocksDB are no dependencies of the package (`pip install lmdb rocksdict`).
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Records = Mapping[bytes, bytes]

_META = b"meta"


class Candidate(Protocol):
    """What the benchmark asks of a store."""

    def write(self, records: Mapping[int, Records], meta: bytes) -> None:
        """Write records by bucket and one small value, all or nothing."""
        ...

    def find(self, bucket: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of every key in a bucket."""
        ...

    def drop(self, bucket: int) -> None:
        """Forget a bucket."""
        ...


class RocksDb:
    """RocksDB: a column family a bucket, one batch through a log that is not synced."""

    def __init__(self, folder: Path) -> None:
        import rocksdict

        self._library: Any = rocksdict
        self._cache = rocksdict.Cache(128 << 20)
        path, options = str(folder / "rocksdb"), self._options()
        names = rocksdict.Rdict.list_cf(path, options) if (folder / "rocksdb").exists() else []
        families = {name: self._options() for name in names if name != "default"}
        self._root: Any = rocksdict.Rdict(path, options, column_families=families)
        self._tables: dict[str, Any] = {
            name: self._root.get_column_family(name) for name in families
        }

    def write(self, records: Mapping[int, Records], meta: bytes) -> None:
        """Write one batch, keys in their order: that is four times as quick."""
        batch = self._library.WriteBatch(raw_mode=True)
        for bucket, rows in records.items():
            name = str(bucket)
            if name not in self._tables:
                self._tables[name] = self._root.create_column_family(name, self._options())
            batch.set_default_column_family(self._root.get_column_family_handle(name))
            for key, value in sorted(rows.items()):
                batch[key] = value
        batch.set_default_column_family(None)
        batch[_META] = meta
        self._root.write(batch)

    def find(self, bucket: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Ask one column family."""
        found: list[bytes | None] = self._tables[str(bucket)].get(list(keys))
        return found

    def drop(self, bucket: int) -> None:
        """Drop a column family."""
        self._tables.pop(str(bucket)).close()
        self._root.drop_column_family(str(bucket))

    def _options(self) -> Any:
        blocks = self._library.BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_bloom_filter(10, block_based=False)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_format_version(5)
        options = self._library.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_compression_type(self._library.DBCompressionType.none())
        options.set_db_write_buffer_size(32 << 20)
        options.set_write_buffer_size(16 << 20)
        options.set_max_total_wal_size(32 << 20)
        options.set_max_background_jobs(2)
        return options


class Lmdb:
    """LMDB: one B+tree a bucket in one memory-mapped file. Imported when it is made."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        # Without sync a kill of the process loses nothing; the map is only a limit.
        self._env: Any = lmdb.open(
            str(folder / "lmdb"), map_size=1 << 40, max_dbs=64, sync=False, metasync=False
        )
        self._tables: dict[int, Any] = {}
        self._head: Any = self._env.open_db(b"head")

    def _table(self, bucket: int) -> Any:
        if bucket not in self._tables:
            self._tables[bucket] = self._env.open_db(b"%d" % bucket)
        return self._tables[bucket]

    def write(self, records: Mapping[int, Records], meta: bytes) -> None:
        """Write one transaction."""
        tables = {bucket: self._table(bucket) for bucket in records}
        with self._env.begin(write=True) as transaction:
            for bucket, rows in records.items():
                with transaction.cursor(tables[bucket]) as cursor:
                    cursor.putmulti(sorted(rows.items()))
            transaction.put(_META, meta, db=self._head)

    def find(self, bucket: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Ask one tree."""
        table = self._table(bucket)
        with self._env.begin() as transaction, transaction.cursor(table) as cursor:
            found = dict(cursor.getmulti(keys))
        return [found.get(key) for key in keys]

    def drop(self, bucket: int) -> None:
        """Delete a tree; the file does not shrink, its pages are used again."""
        table = self._tables.pop(bucket)
        with self._env.begin(write=True) as transaction:
            transaction.drop(table)


class Sqlite:
    """SQLite: one table without row ids a bucket, a write-ahead log, no sync."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "join.sqlite", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "cache_size=-131072", "mmap_size=0"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY, meta BLOB)")

    def write(self, records: Mapping[int, Records], meta: bytes) -> None:
        """Write one transaction."""
        self._db.execute("BEGIN")
        for bucket, rows in records.items():
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS b{bucket}"
                " (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
            self._db.executemany(
                f"INSERT OR REPLACE INTO b{bucket} VALUES (?, ?)", sorted(rows.items())
            )
        self._db.execute("INSERT OR REPLACE INTO head VALUES (1, ?)", (meta,))
        self._db.execute("COMMIT")

    def find(self, bucket: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Ask one table, a thousand keys a statement."""
        found: dict[bytes, bytes] = {}
        for at in range(0, len(keys), 1000):
            some = keys[at : at + 1000]
            places = ",".join("?" * len(some))
            found.update(
                self._db.execute(
                    f"SELECT key, value FROM b{bucket} WHERE key IN ({places})", list(some)
                )
            )
        return [found.get(key) for key in keys]

    def drop(self, bucket: int) -> None:
        """Drop a table; the file does not shrink, its pages are used again."""
        self._db.execute(f"DROP TABLE IF EXISTS b{bucket}")
