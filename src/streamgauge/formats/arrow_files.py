"""Parquet and CSV files as frames."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from streamgauge.errors import DataError
from streamgauge.formats.arrow_column import ArrowColumn, column_type
from streamgauge.formats.frames import ColumnType, Frame, ReadAgain, parse_number

FRAME_ROWS: Final = 65_536
BLOCK_BYTES: Final = 8 << 20
"""CSV text converted at a time; the first block tells the columns' types."""

_DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())
_CONVERSION: Final = re.compile(
    r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to [^:]+: invalid value '(.*)'",
    re.DOTALL,
)
_INDEX_COLUMN: Final = re.compile(r"__index_level_\d+__|Unnamed: \d+|")
"""Names that pandas gives to the row numbers it writes."""


@dataclass(slots=True)
class ArrowOptions:
    """How Arrow files are read, and what was learned of CSV columns on the way.

    `texts` are read as text and `numbers` as numbers whatever they look like; `exact` keep whole
    numbers whole.
    """

    ignored: frozenset[str]
    texts: frozenset[str]
    numbers: frozenset[str]
    exact: frozenset[str]
    nan_is_missing: bool
    names: set[str]
    """All columns seen, whether read or not."""
    types: dict[str, Any] = field(default_factory=dict)
    """Arrow types of CSV columns."""
    notes: dict[str, str] = field(default_factory=dict)
    """What readers should know of a column."""


def parquet_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file. Raises DataError if it is none."""
    return int(_open_parquet(path).metadata.num_rows)


def parquet_frames(path: Path, options: ArrowOptions) -> Iterator[Frame]:
    """Yield a Parquet file's rows. Raises DataError for files that are damaged or none."""
    schema = _open_parquet(path).schema_arrow
    names = _wanted(schema, path, options)
    texts = [f.name for f in schema if column_type(f.type) is ColumnType.TEXT]
    file = _open_parquet(path, texts)
    # pandas writes NaN for missing values, and has no other.
    nan_is_missing = options.nan_is_missing or schema.pandas_metadata is not None
    row = 1
    try:
        for batch in file.iter_batches(FRAME_ROWS, columns=names):
            yield _frame(batch, path, row, nan_is_missing=nan_is_missing)
            row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read after row {row - 1:,}: {error}") from error


def _open_parquet(path: Path, texts: list[str] | None = None) -> Any:
    try:
        return pa_parquet.ParquetFile(
            path, read_dictionary=texts, pre_buffer=False, buffer_size=1 << 18
        )
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is no readable Parquet file: {error}") from error


def csv_frames(path: Path, options: ArrowOptions) -> Iterator[Frame]:
    """Yield a CSV file's rows.

    Raises ReadAgain when a column turns out to hold other values than its type allows; the types
    in `options` are wider then. Raises DataError for files that cannot be read.
    """
    delimiter = _delimiter(path)
    try:
        # Without types nothing can fail to convert: this reader only tells names and looks.
        looks = _open_csv(path, delimiter, {}, []).schema
    except pa.ArrowInvalid as error:
        raise _unreadable(path, str(error)) from error
    names = _wanted(looks, path, options)
    for item in looks:
        if pa.types.is_binary(item.type):
            raise _unreadable(path, f"column {item.name!r} holds bytes that are not UTF8")
        options.types.setdefault(item.name, _reading_type(item, options))
    types = {name: options.types[name] for name in names}
    row = 1
    try:
        for batch in _open_csv(path, delimiter, types, names):
            for start in range(0, batch.num_rows, FRAME_ROWS):
                part = batch.slice(start, FRAME_ROWS)
                yield _frame(part, path, row, nan_is_missing=options.nan_is_missing)
                row += part.num_rows
    except pa.ArrowException as error:
        _widen(str(error), looks.names, path, options)
        raise ReadAgain from error


def _delimiter(path: Path) -> str:
    """Return the sign that the first line is most likely cut by."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            line = bytes(stream.read(1 << 16)).partition(b"\n")[0]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    counts = {sign: line.count(sign.encode()) for sign in ",;\t|"}
    return max(counts, key=lambda sign: counts[sign])


def _open_csv(path: Path, delimiter: str, types: dict[str, Any], names: list[str]) -> Any:
    return pa_csv.open_csv(
        pa.input_stream(str(path), compression="detect"),
        pa_csv.ReadOptions(block_size=BLOCK_BYTES),
        pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True, include_columns=names),
    )


def _reading_type(item: Any, options: ArrowOptions) -> Any:
    """Return the type to read a CSV column with, from what its first block looks like."""
    if item.name in options.texts:
        return _DICTIONARY
    if item.name in options.numbers:
        return pa.float64()
    if pa.types.is_integer(item.type) and item.name not in options.exact:
        return pa.float64()
    return _DICTIONARY if pa.types.is_string(item.type) else item.type


def _widen(message: str, names: list[str], path: Path, options: ArrowOptions) -> None:
    """Let a column's type hold the value that an error message complains about."""
    found = _CONVERSION.search(message)
    if found is None:
        raise _unreadable(path, message)
    index, row, value = found.groups()
    name = names[int(index)]
    known = options.types[name]
    if known == _DICTIONARY:
        raise _unreadable(path, message)
    if (pa.types.is_null(known) or pa.types.is_integer(known)) and parse_number(value) is not None:
        options.types[name] = pa.float64()
        return
    options.types[name] = _DICTIONARY
    if name not in options.numbers and not pa.types.is_null(known):
        place = f" in row {int(row) - 1:,}" if row else ""
        options.notes[name] = f"read as text: holds {value!r}{place}; --numeric to count it wrong"


def _unreadable(path: Path, message: str) -> DataError:
    if "Empty CSV file" in message:
        return DataError(f"{path}: is empty; the first line must name the columns")
    if "UTF8" in message:
        return DataError(f"{path}: is not in UTF-8 ({message}); convert it, for example with iconv")
    message = message.removeprefix("CSV parse error: ").replace("\n", " ")
    return DataError(f"{path}: cannot be read as CSV: {message}")


def _wanted(schema: Any, path: Path, options: ArrowOptions) -> list[str]:
    """Return the columns to read, and note those that cannot be used."""
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise DataError(f"{path}: two columns are named {twice[0]!r}; rename one of them")
    options.names.update(schema.names)
    wanted = []
    for item in schema:
        if item.name in options.ignored:
            continue
        if _INDEX_COLUMN.fullmatch(item.name):
            options.notes[item.name or "(no name)"] = "row numbers: not counted"
        elif column_type(item.type) is ColumnType.OTHER:
            options.notes[item.name] = f"{item.type}: not counted"
        else:
            wanted.append(item.name)
    return wanted


def _frame(batch: Any, path: Path, row: int, *, nan_is_missing: bool) -> Frame:
    columns = {
        name: ArrowColumn(array, nan_is_missing=nan_is_missing)
        for name, array in zip(batch.schema.names, batch.columns, strict=True)
    }
    return Frame(columns, batch.num_rows, path.name, row)
