"""Plain events as columns: many messages read at once, without holding up the interpreter.

pyarrow's JSON reader makes columns of many messages and lets other threads of Python run meanwhile,
so that a second processor decodes beside the first. It takes twice the processor time of the typed
parser, and knows nothing but types. So it is given messages that are all of the form of the first
of them; and what it, or a check over the columns, has any doubt about is declined, all together.
The typed parser and the rules read that then, and decide.

What the reader would let pass is looked for beside it: bytes that are no UTF-8, surrogates, NUL
characters, numbers beyond a float's range, more or less than one document in a message. (Each
message begins and ends with a brace, and a document that goes on in the next one is refused at the
brace that it meets there; so as many documents as messages are one in each.)
"""

import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from pyarrow import json as arrow_json

from streamgauge.core.batch import EventBatch, ModelSchema, Task
from streamgauge.formats.arrow_cells import Cells
from streamgauge.formats.arrow_rows import Reading
from streamgauge.formats.arrow_stream import ARROW_ERRORS, Frame
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import RawMessages

MOST_BYTES: Final = 64 << 20
"""More text is not read at once."""
_OPEN: Final = ord("{")
_SHUT: Final = ord("}")
_ROOM: Final = 1 << 16
"""Bytes of a block beyond its text, so that all is read in one."""
_ODD_ESCAPES: Final = re.compile(rb"\\u(0000|[dD][89a-fA-F])")
"""Of NUL, and of surrogates: the reader does not look if they are pairs."""
_THREAD: Final = ThreadPoolExecutor(1, thread_name_prefix="decoding")
"""Is started with the first messages."""
_FREE: Final = ("timestamp", "model_version", "prediction")
"""Fields that may be integers or strings."""


@dataclass(frozen=True, slots=True)
class Underway:
    """Messages that are being read in the other thread: their table, or None, and the seconds."""

    messages: RawMessages
    table: Future[tuple[Any, float]]

    @property
    def seconds(self) -> float:
        """How long reading has taken; waits for it."""
        return self.table.result()[1]


class PlainEvents:
    """Reads plain events of one model, which must not have several classes' scores."""

    def __init__(self, schema: ModelSchema, times: EventTime) -> None:
        assert schema.task is not Task.MULTICLASS
        self._schema = schema
        self._times = times
        self._forms: dict[tuple[Any, ...], Any] = {}

    @property
    def model(self) -> str:
        """The model's name."""
        return self._schema.model

    def begin(self, messages: RawMessages, tags: tuple[str, ...]) -> Underway | None:
        """Begin to read messages, one at least; None if they are declined.

        `tags` are all that an event may have.
        """
        values = messages.values
        if None in values:
            return None
        text = b"\n".join(values)  # type: ignore[arg-type]  # none of them is None
        if not is_plain(text, values):  # type: ignore[arg-type]
            return None
        form = self._form(values[0] or b"", tags)
        return None if form is None else Underway(messages, _THREAD.submit(_read, text, form))

    def finish(self, begun: Underway, *, with_ids: bool) -> tuple[EventBatch, list[str]] | None:
        """Wait for what was begun: its events and, where wanted, their ids; None if declined."""
        table, _ = begun.table.result()
        messages = begun.messages
        if table is None or table.num_rows != len(messages):
            return None
        try:
            frame = Frame(table.num_rows, table, ())
            if not _all_are(frame.cells("model"), self._schema.model):
                return None
            if not _are_keys(table.column("prediction_id"), messages.keys):
                return None
            reading = Reading(frame, self._schema, self._times, messages.broker_timestamp)
        except ARROW_ERRORS:
            return None
        if not reading.is_flawless:
            return None
        return reading.batch(messages.partition), reading.accepted_ids() if with_ids else []

    def _form(self, example: bytes, tags: tuple[str, ...]) -> Any:
        """The types of the columns of events like an example; None where there are none."""
        try:
            document = orjson.loads(example)
        except orjson.JSONDecodeError:
            return None
        kinds = {name: type(document.get(name)) for name in _FREE}
        key = (*kinds.values(), tags)
        if key not in self._forms:
            self._forms[key] = _form_of(self._schema, kinds, tags)
        return self._forms[key]


def is_plain(text: bytes, values: Sequence[bytes]) -> bool:
    """Say whether messages, joined by line feeds to a text, have nothing odd but in their JSON."""
    if len(text) > MOST_BYTES or b"\0" in text:
        return False
    if b"\\" in text and _ODD_ESCAPES.search(text):
        return False
    if text.count(b"\n") != len(values) - 1:
        return False
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    if sizes.min() < 2:
        return False
    ends = np.cumsum(sizes + 1) - 1
    signs = np.frombuffer(text, np.uint8)
    return bool((signs[ends - sizes] == _OPEN).all() and (signs[ends - 1] == _SHUT).all())


def _read(text: bytes, form: Any) -> tuple[Any, float]:
    """Read documents of a form; None for documents that are not."""
    began = time.perf_counter()
    try:
        table = arrow_json.read_json(
            pa.BufferReader(text),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(text) + _ROOM),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=form, unexpected_field_behavior="error"
            ),
        )
        [batch] = table.combine_chunks().to_batches()
    except (*ARROW_ERRORS, ValueError):
        batch = None
    return batch, time.perf_counter() - began


def _form_of(schema: ModelSchema, kinds: Mapping[str, type], tags: Sequence[str]) -> Any:
    number, text = pa.float64(), pa.string()
    type_of = {int: pa.int64(), str: text, type(None): text}
    if schema.task is Task.REGRESSION:
        kinds = {**kinds, "prediction": str}
    if not type_of.keys() >= set(kinds.values()):
        return None
    features = [
        *((name, number) for name in schema.numeric),
        *((name, text) for name in schema.categorical),
        *((name, pa.bool_()) for name in schema.boolean),
    ]
    prediction = number if schema.task is Task.REGRESSION else type_of[kinds["prediction"]]
    return pa.schema(
        [
            ("prediction_id", text),
            ("timestamp", type_of[kinds["timestamp"]]),
            ("model", text),
            ("status", text),
            ("model_version", type_of[kinds["model_version"]]),
            ("features", pa.struct(features)),
            ("prediction", prediction),
            ("score", number),
            ("tags", pa.struct([(name, text) for name in tags])),
            ("latency_ms", number),
        ]
    )


def _all_are(cells: Cells, text: str) -> bool:
    codes, texts = cells.coded()
    return texts == [text] and not codes.any()


def _are_keys(ids: Any, keys: Sequence[bytes | None]) -> bool:
    return bool(ids.cast(pa.binary()).equals(pa.array(keys, pa.binary())))
