"""Embedded key-value stores behind one face: tables by bucket, written together, dropped alone.

Each is set up for the join's load: durable against a kill of the process, not against a power cut,
about 128 MiB of cache where it has one of its own, keys sorted before they are written where that
helps. LMDB is no dependency of the package (`pip install lmdb`).
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from streamgauge.io.joining.tables import Tables

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
    """RocksDB as the join store uses it, without the join store's filters."""

    def __init__(self, folder: Path) -> None:
        self._tables = Tables(folder, folder / "rocksdb")
        if "head" not in self._tables.names:
            self._tables.create("head")

    def write(self, records: Mapping[int, Records], meta: bytes) -> None:
        """Write one batch."""
        for bucket in records:
            if str(bucket) not in self._tables.names:
                self._tables.create(str(bucket))
        batch = self._tables.batch()
        for bucket, rows in records.items():
            batch.put(str(bucket), rows.items())
        batch.put("head", [(_META, meta)])
        self._tables.write(batch)

    def find(self, bucket: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Ask one column family."""
        return self._tables.find(str(bucket), keys)

    def drop(self, bucket: int) -> None:
        """Drop a column family."""
        self._tables.drop(str(bucket))


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
