"""Reads a poll block by block: by type where the parser is sure, by the rules where it is not."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar, Union

import msgspec
import numpy as np
from msgspec import Meta, Struct

from streamgauge.core.batch import IntArray
from streamgauge.formats import checks, doubts
from streamgauge.formats.learned_names import LearnedNames
from streamgauge.formats.messages import RawMessages, Rejected

Parse = Callable[[Any], Any]
ModelT = TypeVar("ModelT")
Read = Callable[[int, Mapping[str, Any], ModelT], Struct]
"""Reads a document, given its row, by the rules: the struct that the parser would have made.

Raises RejectedError if the document breaks a rule.
"""


class _Nothing(Struct, tag_field="model", tag="\0"):
    """What no message is, of a model that no configuration can name."""

    never: Annotated[int, Meta(ge=1, le=0)]


def build_parser(events: Iterable[type[Struct]]) -> Parse | None:
    """A parser of events of any of the types, told apart by their tags; None if there are none."""
    types = tuple(events)
    if not types:
        return None
    if len(types) == 1:
        # A type on its own would take an event that does not say which model it is of.
        types += (_Nothing,)
    return msgspec.json.Decoder(Union[types]).decode  # noqa: UP007, made at run time


class BlockReader(Generic[ModelT]):
    """One poll's messages as structs, and what became of those that are no events.

    `models` are the watched models by name. `read`, given with each call, decides about every
    message that the parser refuses or that is doubted: kept here, it would hold who calls, who
    holds this, and a poll's messages would wait for the garbage collector.
    """

    def __init__(self, messages: RawMessages, models: Mapping[str, ModelT]) -> None:
        self._messages = messages
        self._models = models
        self._rejected: list[Rejected] = []
        self.tombstones = 0
        self.unknown_models = 0
        self.unknown_fields = 0
        """Of the events that were read by the rules alone."""

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The dead letters in the order of the messages."""
        return tuple(sorted(self._rejected, key=lambda rejected: rejected.index))

    def read_block(
        self, parse: Parse | None, start: int, stop: int, read: Read[ModelT]
    ) -> tuple[list[Struct | None], set[int]]:
        """The events from `start` up to `stop`, None for what is none; rows read by the rules."""
        values = self._messages.values[start:stop]
        events = _parse_all(parse, values)
        examined = doubts.nul_rows(values, start)
        if None in events:
            examined.update(row for row, event in enumerate(events, start) if event is None)
        self.read_again(events, examined, start, read)
        return events, examined

    def read_again(
        self, events: list[Struct | None], rows: Collection[int], start: int, read: Read[ModelT]
    ) -> None:
        """Read messages of a block that begins at `start` by the rules, in place of their events.

        Each message once at most, so that nothing is counted twice.
        """
        for row in rows:
            events[row - start] = self._examine(row, read)

    def count_unknown(
        self, given: Mapping[str, Any], known: frozenset[str], names: LearnedNames
    ) -> None:
        """Count the fields of an accepted event that are not known, and note their names."""
        for name in given.keys() - known:
            self.unknown_fields += 1
            names.see(name)

    def _examine(self, row: int, read: Read[ModelT]) -> Struct | None:
        """Read one message by the rules; note what it is if it is no event."""
        value = self._messages.values[row]
        if value is None:
            self.tombstones += 1
            return None
        try:
            document = checks.parse_document(value)
            model = self._models.get(checks.read_model(document))
            if model is None:
                self.unknown_models += 1
                return None
            return read(row, document, model)
        except checks.RejectedError as error:
            self._rejected.append(Rejected(row, error.reason, error.field, error.detail))
            return None


def group_by_type(
    events: Sequence[Struct | None], start: int, kinds: Iterable[type[Struct]]
) -> Iterator[tuple[type[Struct], IntArray, Sequence[Any]]]:
    """Each type of which a block has events, with their rows `(n,) int64` and the events."""
    present = set(map(type, events))
    places = np.array([id(type(event)) for event in events]) if len(present) > 1 else None
    for kind in kinds:
        if kind not in present:
            continue
        if places is None:
            yield kind, np.arange(start, start + len(events)), events
        else:
            rows = np.flatnonzero(places == id(kind)) + start
            yield kind, rows, [events[row - start] for row in rows.tolist()]


def _parse_all(parse: Parse | None, values: Sequence[bytes | None]) -> list[Struct | None]:
    """One event for each message, None where the parser refuses it or there is nothing to parse."""
    if parse is None:
        return [None] * len(values)
    events: list[Struct | None] = []
    remaining = iter(values)
    while len(events) < len(values):
        try:
            events.extend(map(parse, remaining))
        # A tombstone is a TypeError, invalid UTF-8 a UnicodeDecodeError, deep nesting a
        # RecursionError. Those before it have been taken, and the loop goes on behind the bad one.
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            events.append(None)
    return events
