"""Dictionaries of the compiled reader (plain_events.c): the tokens of a column, poll after poll.

A token is a value as it stands in JSON. Most columns bring the same ones again and again, so that
nothing is to be done for them but to find their codes.
"""

import ctypes
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from streamgauge.compiled import addresses, arrays, integers, pointer
from streamgauge.core.batch import CodeArray
from streamgauge.formats.checks import Scalar, tag_text
from streamgauge.formats.joined import PAD

MOST_TOKENS: Final = 8_192
"""With more of them, a dictionary begins anew with the next poll: such are ids, not categories."""
MOST_BYTES: Final = 1 << 20
"""Likewise with more text."""
_POLLS: Final = 8
"""Likewise with more than so many polls like the last one have events, most of which were new."""
_LEAST_ROOM: Final = 64
_SLOTS_A_TOKEN: Final = 2
_TOKEN: Final = np.dtype([("head", np.uint64), ("length", np.int32), ("hash", np.uint32)])


class HandedDictionary(ctypes.Structure):
    """What a dictionary is handed over as; plain_events.c says more."""

    _fields_ = (
        *integers("count room slots_mask"),
        *arrays("slots tokens texts"),
        *integers("added"),
    )


class Tokens(NamedTuple):
    """The tokens of a column up to some poll, in the order in which they were first seen.

    `values` are what they say, `texts` these as text, each once. `text_of (tokens,) int32` is where
    in them a token's text is, None where each has its own.
    """

    values: tuple[Scalar, ...] = ()
    texts: tuple[str, ...] = ()
    text_of: CodeArray | None = None


class Dictionary:
    """The tokens of a column, which last from poll to poll."""

    def __init__(self, reader: ctypes.CDLL, handed: HandedDictionary) -> None:
        self._index = reader.streamgauge_index
        self._keep = reader.streamgauge_keep
        self._index.restype = self._keep.restype = None
        self._handed = handed
        self._tokens = Tokens()
        self._code_of: dict[str, int] = {}
        """Places of the texts."""
        self._kept: list[npt.NDArray[np.uint8]] = []
        """What compiled code finds the tokens in."""
        self._slots = np.empty(0, np.int32)
        self._found_by, self._places = np.empty(0, _TOKEN), np.empty(0, np.int64)
        self._is_too_large = False
        self._before = self._tokens, 0
        self._resize(_LEAST_ROOM)

    def begin(self) -> None:
        """Get ready for a poll."""
        if self._handed.count > len(self._tokens.values):
            # The last one came to no end: nobody has its text any more.
            self._handed.count = len(self._tokens.values)
            self._resize(self._handed.room)
        if self._is_too_large:
            self._tokens, self._code_of, self._kept = Tokens(), {}, []
            room, self._handed.count = power_of_two(self._handed.count), 0
            self._resize(room)
            self._is_too_large = False
        self._before = self._tokens, len(self._kept)

    def make_room(self) -> None:
        """Make room for more tokens where there is none."""
        if self._handed.count == self._handed.room:
            self._resize(2 * self._handed.room)

    def tokens(self, events: int) -> Tokens:
        """Return all tokens after a poll of so many events, whose text is not needed any more."""
        first, last = len(self._tokens.values), self._handed.count
        if first < last:
            lengths = self._found_by["length"][:last]
            end = int(lengths[first:].sum()) + last - first + 1
            text = np.zeros(end + len(PAD), np.uint8)
            self._keep(ctypes.byref(self._handed), ctypes.c_int64(first), pointer(text))
            self._kept.append(text)
            self._tokens = self._with(orjson.loads(text.data[:end]))
            self._is_too_large = (
                self._handed.room > MOST_TOKENS
                or int(lengths.sum()) > MOST_BYTES
                or (last > _POLLS * events and 2 * (last - first) > events)
            )
        return self._tokens

    def take_back(self) -> None:
        """Take back what the last poll has brought."""
        before, kept = self._before
        if self._tokens is before:
            return
        self._tokens, self._kept = before, self._kept[:kept]
        self._code_of = {text: code for code, text in enumerate(before.texts)}
        self._is_too_large = False
        self._handed.count = len(before.values)
        self._resize(self._handed.room)

    def _with(self, new: list[Scalar]) -> Tokens:
        """Return the tokens, with what some more say."""
        code_of, (values, _, before) = self._code_of, self._tokens
        texts: Iterable[Any] = new if {*map(type, new)} <= {str} else map(tag_text, new)
        codes = [code_of.setdefault(text, len(code_of)) for text in texts]
        values = (*values, *new)
        if len(code_of) == len(values):
            return Tokens(values, tuple(code_of))
        if before is None:
            before = np.arange(len(values) - len(new), dtype=np.int32)
        return Tokens(values, tuple(code_of), np.concatenate([before, np.array(codes, np.int32)]))

    def _resize(self, room: int) -> None:
        """Make the dictionary anew, with room for so many tokens."""
        count = self._handed.count
        if room == self._handed.room:
            self._slots.fill(0)
        else:
            found_by, places = np.empty(room, _TOKEN), np.empty(room, np.int64)
            found_by[:count], places[:count] = self._found_by[:count], self._places[:count]
            self._slots = np.zeros(_SLOTS_A_TOKEN * room, np.int32)
            self._found_by, self._places = found_by, places
            self._handed.room, self._handed.slots_mask = room, len(self._slots) - 1
            handed = addresses(self._slots, found_by, places)
            self._handed.slots, self._handed.tokens, self._handed.texts = handed
        self._index(ctypes.byref(self._handed))


def power_of_two(least: int) -> int:
    """Return a power of two, 64 or more, that is at least this."""
    return max(_LEAST_ROOM, 1 << (least - 1).bit_length())
