"""What can go wrong with the join store's folder, in words that say what to do."""

import errno
import os
from pathlib import Path
from typing import Final

from streamgauge.errors import StreamgaugeError


class JoinStoreError(StreamgaugeError):
    """The join store's folder cannot be read or written, and trying again would not help."""


class JoinStoreBusyError(JoinStoreError):
    """Another process has the join store open."""


class JoinStoreDamagedError(JoinStoreError):
    """What the join store holds cannot be read any more; opened next, it begins anew."""


_REMEDIES: Final = {
    errno.ENOSPC: "free some space or move the folder to another disk",
    errno.EDQUOT: "raise this user's quota or move the folder to another disk",
    errno.EACCES: "let this user read and write the folder",
    errno.EPERM: "let this user read and write the folder",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.ENOTDIR: "choose a path whose parents are folders",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (sysctl fs.file-max)",
    errno.EIO: "check the disk, or choose a folder on another one",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
}
"""Causes outside the store, by error number: nothing is thrown away for them."""


def os_failure(folder: Path, error: OSError) -> JoinStoreError:
    """Return an error that names the folder and, where it is known, the remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "choose another folder")
    return JoinStoreError(f"join store {folder}: {error.strerror or error}; {remedy}")


def failure(folder: Path, doing: str, error: Exception) -> JoinStoreError:
    """Return the error for what the library said, which has no types: causes are read off its text.

    What the operating system refused is told with its remedy. Everything else (checksums, missing
    files, records that are no records) is damage.
    """
    text = " ".join(str(error).split())
    if "/LOCK: " in text:
        return JoinStoreBusyError(f"join store {folder}: {doing}: {text}; end what has it open")
    for number, remedy in _REMEDIES.items():
        if os.strerror(number) in text:
            return JoinStoreError(f"join store {folder}: {doing}: {text}; {remedy}")
    return JoinStoreDamagedError(
        f"join store {folder}: {doing}: {text}; start again: it is built anew from the inputs"
    )
