"""Arrow IPC streams as columns: checked in full, and never larger than agreed."""

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from pyarrow import lib

from streamgauge.core.batch import BoolArray
from streamgauge.formats.arrow_cells import Cells
from streamgauge.formats.arrow_sizes import message_size
from streamgauge.formats.checks import RejectedError
from streamgauge.formats.messages import DeadLetterReason

_UNBOUNDED: Final = frozenset(
    {
        lib.Type_STRING_VIEW,
        lib.Type_BINARY_VIEW,
        lib.Type_LIST_VIEW,
        lib.Type_LARGE_LIST_VIEW,
        lib.Type_RUN_END_ENCODED,
        lib.Type_SPARSE_UNION,
        lib.Type_DENSE_UNION,
    }
)
"""Types in which few bytes stand for many: a message could be a thousand times what it weighs."""
ARROW_ERRORS: Final = (pa.ArrowException,)
"""What reading cells raises where Arrow has no conversion for an unusual type."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The wanted columns of a stream over n rows."""

    rows: int
    columns: Any
    unread: tuple[str, ...]
    """The names of the columns that were left unread."""

    @property
    def names(self) -> list[str]:
        """The names of the columns, each once."""
        return list(self.columns.schema.names)

    def cells(self, name: str) -> Cells:
        """Return the cells of a column."""
        return Cells(self.columns.column(name))

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return int(self.columns.nbytes)

    def is_like(self, other: "Frame") -> bool:
        """Whether both have the same columns, of the same types."""
        same = self.columns.schema.equals(other.columns.schema)
        return bool(same) and self.unread == other.unread

    def take(self, rows: BoolArray) -> "Frame":
        """Return some rows."""
        columns = self.columns.filter(pa.array(rows))
        return Frame(columns.num_rows, columns, self.unread)


def together(frames: Sequence[Frame]) -> Frame:
    """Return the rows of frames that are alike, one or more, one after the other.

    Raises one of `ARROW_ERRORS` where Arrow cannot, as when a dictionary would be too large.
    """
    if len(frames) == 1:
        return frames[0]
    table = pa.Table.from_batches([frame.columns for frame in frames])
    columns = _in_one_piece(table)
    return Frame(columns.num_rows, columns, frames[0].unread)


def read_frame(
    value: bytes, wanted: Callable[[str], bool], *, max_bytes: int, max_rows: int
) -> Frame:
    """Return the rows of an IPC stream.

    Raises RejectedError if the bytes are no whole and valid stream, name a wanted column twice,
    hold views, unions or run-end encoded columns, or decompress to more than `max_bytes` or
    `max_rows`.
    """
    try:
        _check_sizes(value, max_bytes)
        return _read(value, wanted, max_rows)
    except RejectedError:
        raise
    # Not only Arrow's: names that are no UTF-8, and headers that point outside themselves.
    except (pa.ArrowException, OSError, ValueError, IndexError, OverflowError, struct.error) as e:
        raise refusal(f"no valid Arrow IPC stream ({type(e).__name__})") from e


def _read(value: bytes, wanted: Callable[[str], bool], max_rows: int) -> Frame:
    stream = pa.ipc.open_stream(value, options=pa.ipc.IpcReadOptions(use_threads=False))
    schema = stream.schema
    if not len(schema):
        raise RejectedError(DeadLetterReason.SCHEMA, "", "a stream without columns")
    for field in schema:
        _check_type(field.type)
    all_names = schema.names
    places = [place for place, name in enumerate(all_names) if wanted(name)]
    names = Counter(all_names[place] for place in places)
    if names and max(names.values()) > 1:
        raise RejectedError(DeadLetterReason.SCHEMA, "", "two columns have the same name")
    if len(places) < len(all_names):
        # Without columns a table would not know its rows, so the first is read in any case.
        options = pa.ipc.IpcReadOptions(included_fields=places or [0], use_threads=False)
        stream = pa.ipc.open_stream(value, options=options)
    with stream:
        batches = list(stream)
        table = pa.Table.from_batches(batches, stream.schema)
    if table.num_rows > max_rows:
        raise refusal(f"more than {max_rows:,} rows in a message")
    table.validate(full=True)
    columns = _in_one_piece(table) if len(batches) != 1 else batches[0]
    unread = tuple(name for place, name in enumerate(all_names) if place not in places)
    return Frame(table.num_rows, columns, unread)


def _in_one_piece(table: Any) -> Any:
    pieces = table.unify_dictionaries().combine_chunks().to_batches()
    return pieces[0] if pieces else pa.RecordBatch.from_pylist([], table.schema)


def _check_sizes(value: bytes, max_bytes: int) -> None:
    """Refuse a stream that declares more than it may become."""
    total = longest = 0
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(value))
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        size = message_size(message.metadata.to_pybytes(), _view(message.body))
        total += size.bytes
        longest = max(longest, size.longest)
        if total > max_bytes:
            raise refusal(f"decompresses to more than {max_bytes:,} bytes")
        # Arrays inside lists may be longer than the table, but not than its bytes.
        if longest > max_bytes:
            raise refusal(f"an array of more than {max_bytes:,} entries")


def _view(body: Any) -> memoryview:
    return memoryview(b"" if body is None else body)


def _check_type(type_: Any) -> None:
    """Refuse types that are not bounded; raises UnicodeDecodeError for names that are no text."""
    if type_.id in _UNBOUNDED:
        detail = "views, unions and run-end encoded columns are not read; write plain columns"
        raise RejectedError(DeadLetterReason.SCHEMA, "", detail)
    if isinstance(type_, pa.BaseExtensionType):
        _check_type(type_.storage_type)
    elif type_.id == lib.Type_DICTIONARY:
        _check_type(type_.value_type)
    else:
        for place in range(type_.num_fields):
            field = type_.field(place)
            _ = field.name  # is decoded when it is asked for
            _check_type(field.type)


def refusal(detail: str) -> RejectedError:
    """Return what is to be raised about a message that cannot be read at all."""
    return RejectedError(DeadLetterReason.DECODE, "", detail)
