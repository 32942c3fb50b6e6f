"""Tables: training or validation data in files, read as frames as often as asked."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamgauge.errors import DataError
from streamgauge.formats.data_files import DataFile, DataFormat, find_files
from streamgauge.formats.event_time import TimestampUnit
from streamgauge.formats.frames import Frame
from streamgauge.formats.json_frames import ndjson_frames

if TYPE_CHECKING:  # pyarrow is optional
    from streamgauge.formats.arrow_files import ArrowOptions


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the columns of a table are, where their names and types do not tell.

    `numeric` and `categorical` force the kind of features, `ignored` columns are not read, `tags`
    are slice keys that are no features. `model` picks the events of one model out of several.
    """

    prediction: str = "prediction"
    score: str = "score"
    label: str = "label"
    timestamp: str = "timestamp"
    label_timestamp: str = "label_timestamp"
    numeric: frozenset[str] = frozenset()
    categorical: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    timestamp_unit: TimestampUnit = "ms"
    nan_is_missing: bool = False
    model: str | None = None


class Table:
    """The data at some paths: files, or folders of files, that hold the same columns.

    `notes` are remarks on columns that came up while reading, by name; `names` are the columns seen
    so far, read or not. Raises DataError for paths
    without data and for formats that need an optional package which is not there.
    """

    def __init__(
        self, paths: Sequence[Path], options: TableOptions, format_: DataFormat | None = None
    ) -> None:
        self.options = options
        self.notes: dict[str, str] = {}
        self.names: set[str] = set()
        self.files: dict[Path, tuple[DataFile, ...]] = {
            path: find_files(path, format_) for path in paths
        }
        self._all = [file for files in self.files.values() for file in files]
        if any(file.format is not DataFormat.NDJSON for file in self._all):
            self._arrow = _arrow_options(options, self.notes, self.names)

    @property
    def has_header(self) -> bool:
        """Tell whether every file names all its columns at its start."""
        return all(file.format is not DataFormat.NDJSON for file in self._all)

    def known_rows(self) -> int | None:
        """Return the number of rows, if the files tell it."""
        if any(file.format is not DataFormat.PARQUET for file in self._all):
            return None
        from streamgauge.formats.arrow_files import parquet_rows

        return sum(parquet_rows(file.path) for file in self._all)

    def frames(self) -> Generator[tuple[Path, Frame], None, None]:
        """Yield all rows in the order of the paths and files, each with the path it belongs to.

        Raises ReadAgain where the reading has to begin anew.
        """
        names: list[str] | None = None
        for path, files in self.files.items():
            for file in files:
                for frame in self._file_frames(file):
                    if file.format is not DataFormat.NDJSON:
                        found = list(frame.columns)
                        _check_columns(names or found, found, self._all[0], file)
                        names = names or found
                    yield path, frame

    def _file_frames(self, file: DataFile) -> Iterator[Frame]:
        if file.format is DataFormat.NDJSON:
            return ndjson_frames(file.path, self.options.ignored, self.names)
        from streamgauge.formats.arrow_files import csv_frames, parquet_frames

        read = parquet_frames if file.format is DataFormat.PARQUET else csv_frames
        return read(file.path, self._arrow)


def _arrow_options(options: TableOptions, notes: dict[str, str], names: set[str]) -> "ArrowOptions":
    try:
        from streamgauge.formats.arrow_files import ArrowOptions
    except ModuleNotFoundError as error:
        raise DataError(
            "reading Parquet and CSV needs pyarrow; install it with"
            " `pip install 'streamgauge[profile]'`, or give NDJSON"
        ) from error
    times = (options.timestamp, options.label_timestamp)
    exact = {options.prediction, options.label, *times, *options.tags}
    return ArrowOptions(
        ignored=options.ignored,
        texts=options.categorical,
        numbers=options.numeric,
        exact=frozenset(exact),
        nan_is_missing=options.nan_is_missing,
        names=names,
        notes=notes,
    )


def _check_columns(
    known: Sequence[str], found: Sequence[str], first: DataFile, file: DataFile
) -> None:
    missing = [name for name in known if name not in found]
    new = [name for name in found if name not in known]
    if missing:
        raise DataError(f"{file.path}: lacks the column {missing[0]!r} that {first.path} has")
    if new:
        raise DataError(
            f"{file.path}: has the column {new[0]!r} that {first.path} lacks; leave it out with"
            f" --ignore {new[0]}"
        )
