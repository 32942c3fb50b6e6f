"""Data files: what lies under the paths that were given, and in which format."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from streamgauge.core.reference import Source
from streamgauge.errors import DataError


class DataFormat(StrEnum):
    """The formats that tables of events are read in."""

    PARQUET = "parquet"
    CSV = "csv"
    NDJSON = "ndjson"


SUFFIXES: Final = {
    ".parquet": DataFormat.PARQUET,
    ".pq": DataFormat.PARQUET,
    ".csv": DataFormat.CSV,
    ".csv.gz": DataFormat.CSV,
    ".tsv": DataFormat.CSV,
    ".tsv.gz": DataFormat.CSV,
    ".ndjson": DataFormat.NDJSON,
    ".ndjson.gz": DataFormat.NDJSON,
    ".jsonl": DataFormat.NDJSON,
    ".jsonl.gz": DataFormat.NDJSON,
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file and its format."""

    path: Path
    format: DataFormat


def find_files(path: Path, format_: DataFormat | None = None) -> tuple[DataFile, ...]:
    """Return the file at a path, or the data files in the folder there, by name.

    The suffix tells the format, unless one is given. Raises DataError where there is nothing.
    """
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p, path))
        files = tuple(
            DataFile(p, found) for p in inside if (found := format_ or _format(p)) is not None
        )
        if not files:
            raise DataError(f"{path}: no data file in this folder ({', '.join(SUFFIXES)})")
        return files
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    found = format_ or _format(path)
    if found is None:
        raise DataError(
            f"{path}: the name tells no format ({', '.join(SUFFIXES)});"
            f" say it with --format {'|'.join(DataFormat)}"
        )
    return (DataFile(path, found),)


def digest(path: Path, files: Sequence[DataFile]) -> tuple[str, int]:
    """Return the SHA-256 of the data at a path and its size in bytes.

    Of a folder it is that of its files' digests and names, in order, as `sha256sum` prints them.
    """
    lines = []
    size = 0
    for file in files:
        with file.path.open("rb") as stream:
            value = hashlib.file_digest(stream, "sha256").hexdigest()
        size += file.path.stat().st_size
        if not path.is_dir():
            return value, size
        lines.append(f"{value}  {file.path.relative_to(path)}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest(), size


def source(path: Path, files: Sequence[DataFile], rows: int) -> Source:
    """Return what a reference says of the data at a path, of which `rows` were counted."""
    value, size = digest(path, files)
    return Source(path.resolve().name, value, rows, size)


def _format(path: Path) -> DataFormat | None:
    name = path.name.lower()
    return next((format_ for suffix, format_ in SUFFIXES.items() if name.endswith(suffix)), None)


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
