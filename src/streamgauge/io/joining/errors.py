"""What can go wrong with the join store's folder, in words that say what to do."""

import errno
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


def damage(folder: Path, what: str) -> JoinStoreDamagedError:
    """Return the error for files that are not what was written."""
    return JoinStoreDamagedError(
        f"join store {folder}: {what}; start again: it is built anew from the inputs"
    )
