"""Opening a folder: nobody else has it, and what is in it can be gone on with or is thrown away."""

import fcntl
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from streamgauge.io.joining.bucket import DiskBucket
from streamgauge.io.joining.catalogue import UnusableError, decoded
from streamgauge.io.joining.errors import (
    JoinStoreBusyError,
    JoinStoreDamagedError,
    os_failure,
)
from streamgauge.io.joining.tables import Tables

HEAD: Final = "head"
CATALOGUE: Final = b"catalogue"
META: Final = b"meta"
RECORDS: Final = "join-store.rocksdb"
"""The one sub-folder that is thrown away; whatever else is in the folder stays."""
_LOCK: Final = "in-use"
_DAMAGED: Final = "damaged"


class Origin(StrEnum):
    """Where the content of a store that was opened comes from."""

    NEW = "new"
    """There was none."""
    KEPT = "kept"
    """It was there."""
    REPLACED = "replaced"
    """There was one, and it was thrown away."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a folder holds: tables, and what the catalogue among them says, restored.

    `made` is the number of tables that were ever made, `meta` None where nothing was ever flushed.
    """

    tables: Tables
    origin: Origin
    reason: str = ""
    buckets: Sequence[DiskBucket] = ()
    made: int = 0
    meta: bytes | None = None


def locked(folder: Path) -> int:
    """Make the folder where it is missing and lock it; return the lock, a file to close.

    Raises JoinStoreBusyError while another process has it, JoinStoreError where it cannot be made.
    """
    lock = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if lock is not None:
            os.close(lock)
        if isinstance(error, BlockingIOError):
            raise JoinStoreBusyError(
                f"join store {folder}: another process has it open; end that one, or give each its"
                " own folder"
            ) from error
        raise os_failure(folder, error) from error
    return lock


def opened(folder: Path, fingerprint: str) -> Opened:
    """Open what a locked folder holds; begin anew where that cannot be gone on with.

    Raises JoinStoreError where the operating system refuses something.
    """
    path = folder / RECORDS
    try:
        if (folder / _DAMAGED).exists():
            raise UnusableError("it was found damaged")
        if path.exists() and not path.is_dir():
            raise UnusableError("it is no folder")
        return _restored(folder, fingerprint)
    except (UnusableError, JoinStoreDamagedError) as unusable:
        reason = str(unusable)
    try:
        _remove(path)
        (folder / _DAMAGED).unlink(missing_ok=True)
    except OSError as error:
        raise os_failure(folder, error) from error
    tables = Tables(folder, path)
    tables.create(HEAD)
    return Opened(tables, Origin.REPLACED, reason)


def mark_damaged(folder: Path, reason: str) -> None:
    """See to it that the folder is begun anew when it is opened next."""
    try:
        (folder / _DAMAGED).write_text(f"{reason}\n", encoding="utf-8")
    except OSError as error:
        raise os_failure(folder, error) from error


def _restored(folder: Path, fingerprint: str) -> Opened:
    tables = Tables(folder, folder / RECORDS)
    try:
        return _read(tables, fingerprint)
    except BaseException:
        tables.close()
        raise


def _read(tables: Tables, fingerprint: str) -> Opened:
    names = tables.names
    if not names:
        tables.create(HEAD)
        return Opened(tables, Origin.NEW)
    if HEAD not in names:
        raise UnusableError("it has no catalogue")
    head, meta = tables.find(HEAD, [CATALOGUE, META])
    buckets: list[DiskBucket] = []
    made = 0
    if head is not None:
        catalogue = decoded(head, fingerprint)
        made = catalogue.made
        if meta is None or not names.issuperset(entry.table for entry in catalogue.buckets):
            raise UnusableError("parts of it are missing")
        try:
            buckets = [DiskBucket.restored(entry, tables) for entry in catalogue.buckets]
        except ValueError as error:
            raise UnusableError(str(error)) from error
    # What a crash left between a write and the tables that it made or forgot.
    for name in names - {HEAD} - {bucket.entry.table for bucket in buckets}:
        tables.drop(name)
    origin = Origin.NEW if meta is None else Origin.KEPT
    return Opened(tables, origin, "", buckets, made, meta)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
