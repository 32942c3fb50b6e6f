"""Opening a folder: nobody else has it, and what is in it can be gone on with or is thrown away."""

import fcntl
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from streamgauge.core.joining.store import Space
from streamgauge.io.joining import catalogue
from streamgauge.io.joining.bucket import DiskBucket
from streamgauge.io.joining.catalogue import UnusableError
from streamgauge.io.joining.errors import JoinStoreBusyError, os_failure
from streamgauge.io.joining.run import DamageError, Run

RECORDS: Final = "join-store"
"""The one sub-folder that is thrown away; whatever else is in the folder stays."""
_FORMER: Final = "join-store.rocksdb"
"""That of earlier versions."""
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
    """What a folder holds: buckets with their runs.

    `begun` is the number of runs that were ever begun, `meta` None where nothing was ever flushed.
    """

    origin: Origin
    reason: str = ""
    buckets: Mapping[tuple[Space, int], DiskBucket] = field(default_factory=dict)
    begun: int = 0
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
        _remove(folder / _FORMER)
        try:
            if (folder / _DAMAGED).exists():
                raise UnusableError("it was found damaged")
            if path.exists() and not path.is_dir():
                raise UnusableError("it is no folder")
            return _restored(path, fingerprint)
        except (UnusableError, DamageError) as unusable:
            reason = str(unusable)
        _remove(path)
        (folder / _DAMAGED).unlink(missing_ok=True)
        path.mkdir()
    except OSError as error:
        raise os_failure(folder, error) from error
    return Opened(Origin.REPLACED, reason)


def mark_damaged(folder: Path, reason: str) -> None:
    """See to it that the folder is begun anew when it is opened next."""
    try:
        (folder / _DAMAGED).write_text(f"{reason}\n", encoding="utf-8")
    except OSError as error:
        raise os_failure(folder, error) from error


def _restored(path: Path, fingerprint: str) -> Opened:
    path.mkdir(exist_ok=True)
    found = catalogue.read(path, fingerprint)
    if found is None:
        # Runs without a catalogue: of a first flush that did not come to its end.
        for file in list(path.iterdir()):
            _remove(file)
        return Opened(Origin.NEW)
    buckets = {
        (entry.space, entry.bucket): DiskBucket(
            entry.records, [Run.open(path, run) for run in entry.runs]
        )
        for entry in found.buckets
    }
    # What a crash left between writing runs and the catalogue, or before removing merged ones.
    listed = {run.file for bucket in buckets.values() for run in bucket.runs}
    for file in set(path.iterdir()) - listed - {path / catalogue.NAME}:
        _remove(file)
    return Opened(Origin.KEPT, "", buckets, found.begun, found.meta)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
