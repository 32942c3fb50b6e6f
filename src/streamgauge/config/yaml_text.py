"""A strict reading of YAML: the plain part that every YAML version reads alike, with line numbers.

PyYAML's parser gives the events; the values are resolved here, because its YAML 1.1 rules turn
`no` into false, `012` into ten and `1:30` into ninety. No message shows a value: the reader
does not know which values are secret.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import yaml

from streamgauge.config.places import Place, Problem, place_text

DEEPEST: Final = 32
"""How deep lists and mappings may be nested."""
MOST_VALUES: Final = 50_000
"""How many values a document may hold; reading them takes seconds."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN: Final = {"true": True, "True": True, "TRUE": True} | {
    "false": False,
    "False": False,
    "FALSE": False,
}
_YAML_1_1_BOOLEAN: Final = frozenset({"yes", "no", "on", "off"})
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OTHER_BASE: Final = re.compile(r"[-+]?0([0-9_]+|x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)")
_SEXAGESIMAL: Final = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_MOST_DIGITS: Final = 18
_TAGS: Final = "YAML tags ('!...') are not accepted; remove the tag, or quote the text"
_HALF_CHARACTER: Final = "holds half of a surrogate pair; write the character itself"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML text holds: dicts, lists and scalars, the line of each place, the problems."""

    data: object
    lines: dict[Place, int]
    problems: tuple[Problem, ...]

    def line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest place around it; lines count from 1."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


class UnreadableError(ValueError):
    """The text is no YAML document at all, or not one that is read here."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def _unreadable(event: yaml.Event, place: Place, text: str) -> UnreadableError:
    return UnreadableError(_line(event), f"{place_text(place)}: {text}" if place else text)


def read(text: str) -> Document:
    """Return the one document of a YAML text.

    What is wrong with single values is in the document's `problems`; a text that cannot be read
    any further (syntax, anchors, tags, depth, two documents) raises UnreadableError.
    """
    reader = _Reader(yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        data = reader.document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableError(line, "holds a control character; remove it") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableError(1 if mark is None else mark.line + 1, _syntax_text(error)) from None
    except (OverflowError, ValueError) as error:
        if isinstance(error, UnreadableError):
            raise
        # PyYAML turns the digits of escapes and directives into numbers unchecked.
        line = max(reader.lines.values(), default=1)
        problem = "an escape or directive holds a number out of range; remove it"
        raise UnreadableError(line, problem) from None
    return Document(data, reader.lines, tuple(reader.problems))


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None  # the parser marks every event
    return event.start_mark.line + 1


def _syntax_text(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if r"'\t'" in problem:
        return "a tab cannot indent in YAML; use spaces"
    if "tag" in problem:  # PyYAML quotes the tag, which may be a mistyped secret
        return _TAGS
    return f"not valid YAML: {problem}; check indentation, colons, brackets and quotes"


@dataclass(slots=True)
class _Reader:
    events: Iterator[yaml.Event]
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def document(self) -> object:
        next(self.events)  # the stream's start
        first = next(self.events)
        if isinstance(first, yaml.StreamEndEvent):
            return None
        data = self.value((), self.node(()))
        next(self.events)  # the document's end
        second = next(self.events)
        if not isinstance(second, yaml.StreamEndEvent):
            raise _unreadable(second, (), "a second document begins ('---'); keep one per file")
        return data

    def node(self, place: Place) -> yaml.Event:
        """Return the next event, which begins or ends a node; refuse what makes YAML unsafe."""
        event = next(self.events)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            text = "YAML anchors and aliases ('&', '*') are not accepted; write the value out"
            raise _unreadable(event, place, text)
        if getattr(event, "tag", None) is not None:
            raise _unreadable(event, place, _TAGS)
        return event

    def value(self, place: Place, event: yaml.Event) -> object:
        self.lines.setdefault(place, _line(event))
        if len(self.lines) > MOST_VALUES:
            raise _unreadable(event, (), f"more than {MOST_VALUES:,} values; write fewer")
        if len(place) > DEEPEST:
            raise _unreadable(event, (), f"nested deeper than {DEEPEST} levels; write it flatter")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(place)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(place)
        assert isinstance(event, yaml.ScalarEvent)
        return self.scalar(place, event)

    def sequence(self, place: Place) -> list[object]:
        entries: list[object] = []
        while True:
            below = (*place, len(entries))
            event = self.node(below)
            if isinstance(event, yaml.SequenceEndEvent):
                return entries
            entries.append(self.value(below, event))

    def mapping(self, place: Place) -> dict[str, object]:
        entries: dict[str, object] = {}
        while not isinstance(event := self.node(place), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _unreadable(event, place, "a list or mapping is no key; write a name")
            key: str = event.value
            below = (*place, key)
            if _SURROGATE.search(key):
                raise _unreadable(event, place, _HALF_CHARACTER)
            if key == "<<":
                text = "merge keys ('<<') are not accepted; write the keys out"
                raise _unreadable(event, place, text)
            if key in entries:
                text = f"the key stands twice, first in line {self.lines[below]}; keep one"
                raise _unreadable(event, below, text)
            self.lines[below] = _line(event)
            entries[key] = self.value(below, self.node(below))
        return entries

    def scalar(self, place: Place, event: yaml.ScalarEvent) -> object:
        text: str = event.value
        if _SURROGATE.search(text):
            self.problems.append(Problem(place, _HALF_CHARACTER))
        if event.style is not None:  # quoted or a block: text
            return text
        try:
            return _plain_value(text)
        except ValueError as error:
            self.problems.append(Problem(place, str(error)))
            return text


def _plain_value(text: str) -> object:
    """Return the value of a plain scalar by the core schema of YAML 1.2.

    Raises ValueError for what YAML 1.1 reads as something else, and for what is not finite.
    """
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if text.lower() in _YAML_1_1_BOOLEAN:
        raise ValueError(
            "yes, no, on and off are text to some YAML readers and true or false to others;"
            " write true or false, or quote the text"
        )
    if _OTHER_BASE.fullmatch(text):
        raise ValueError(
            "a number with a leading zero is read in different ways; write it in decimal without"
            " the zero, or quote it if it is text"
        )
    if _SEXAGESIMAL.fullmatch(text):
        raise ValueError(
            "digits with colons are read as a number in base 60 by some YAML readers;"
            " write a duration such as 90m, or quote it if it is text"
        )
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("infinity and NaN are not accepted; write a finite number")
    if _INTEGER.fullmatch(text):
        if len(text.lstrip("+-")) > _MOST_DIGITS:
            raise ValueError("too many digits; write a smaller number, or quote it if it is text")
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("the number is too large; write a finite number")
        return number
    return text
