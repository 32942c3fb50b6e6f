"""Reads a poll block by block: by type where the parser is sure, by the rules where it is not."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from streamgauge.core.batch import IntArray, ModelSchema
from streamgauge.formats import checks, doubts
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.learned_names import LearnedNames
from streamgauge.formats.messages import RawMessages, Rejected

Parse = Callable[[Any], Any]


class BlockModel(Protocol):
    """A model's schema, the struct of its events, and what else they keep bringing."""

    @property
    def schema(self) -> ModelSchema:
        """What a model's events have."""

    @property
    def event(self) -> type[Struct]:
        """The struct, tagged with the model's name."""

    @property
    def is_parsed(self) -> bool:
        """Whether there is a parser of such structs; else they are made by the rules alone."""

    def learn(self) -> bool:
        """Make room for what was seen often; whether the struct is new."""


ModelT = TypeVar("ModelT", bound=BlockModel)
ColumnsT = TypeVar("ColumnsT")


class BlockReader(ABC, Generic[ModelT, ColumnsT]):
    """One poll's events as columns, block by block, and what became of messages that are none.

    `models` are the watched models by name. What the events are is up to the heirs: their rules
    decide about every message that the parser refuses or that is doubted.
    """

    def __init__(
        self, messages: RawMessages, models: Mapping[str, ModelT], times: EventTime
    ) -> None:
        self._messages = messages
        self._models = models
        self._times = times
        self._by_type = {model.event: model for model in models.values()}
        self._rejected: list[Rejected] = []
        self.tombstones = 0
        self.unknown_models = 0
        self.unknown_fields = 0
        """Of the events that were read by the rules alone."""

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The dead letters in the order of the messages."""
        return tuple(sorted(self._rejected, key=lambda rejected: rejected.index))

    def read_block(self, parse: Parse | None, start: int, stop: int) -> None:
        """Take up the events from `start` up to `stop`."""
        values = self._messages.values[start:stop]
        events = _parse_all(parse, values)
        examined = doubts.nul_rows(values, start)
        if None in events:
            examined.update(row for row, event in enumerate(events, start) if event is None)
        self._read_again(events, examined, start)
        self._settle(events, start)
        groups = self._by_model(events, start)
        doubtful: set[int] = set()
        for model, columns in groups:
            doubtful |= self._doubtful_rows(model, columns)
        doubtful -= examined
        if doubtful:
            self._read_again(events, doubtful, start)
            groups = self._by_model(events, start)
        for model, columns in groups:
            self._add(model, columns)

    @abstractmethod
    def _read(self, row: int, document: Mapping[str, Any], model: ModelT) -> Struct:
        """Read a document by the rules: the struct that the parser would have made.

        Raises RejectedError if the document breaks a rule.
        """

    @abstractmethod
    def _transpose(self, rows: IntArray, events: Sequence[Any], model: ModelT) -> ColumnsT:
        """Columns of a model's events, which are those of some rows `(n,)` of the messages."""

    @abstractmethod
    def _doubtful_rows(self, model: ModelT, columns: ColumnsT) -> set[int]:
        """Rows among those of the columns that have to be read again by the rules."""

    @abstractmethod
    def _add(self, model: ModelT, columns: ColumnsT) -> None:
        """Take up what is sure."""

    def _settle(self, events: list[Struct | None], start: int) -> None:
        """Settle what the parser let in and columns could not hold: nothing, if it is strict."""

    def _read_again(self, events: list[Struct | None], rows: Collection[int], start: int) -> None:
        """Read messages of a block that begins at `start` by the rules, in place of their events.

        Each message once at most, so that nothing is counted twice.
        """
        for row in rows:
            events[row - start] = self._examine(row)

    def _by_model(
        self, events: Sequence[Struct | None], start: int
    ) -> list[tuple[ModelT, ColumnsT]]:
        """The columns of each model of which a block has events."""
        groups = []
        for kind, rows, members in _group_by_type(events, start, self._by_type):
            model = self._by_type[kind]
            groups.append((model, self._transpose(rows, members, model)))
        return groups

    def _count_unknown(
        self, given: Mapping[str, Any], known: frozenset[str], names: LearnedNames
    ) -> None:
        """Count the fields of an accepted event that are not known, and note their names."""
        for name in given.keys() - known:
            self.unknown_fields += 1
            names.see(name)

    def _examine(self, row: int) -> Struct | None:
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
            return self._read(row, document, model)
        except checks.RejectedError as error:
            self._rejected.append(Rejected(row, error.reason, error.field, error.detail))
            return None


def _group_by_type(
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
