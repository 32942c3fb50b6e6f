"""A poll's messages as one text, as the compiled reader takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import CodeArray, IntArray
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import RawMessages

PAD: Final = bytes(16)
"""Follows each text that is handed over: words of eight bytes are read, beyond its end too."""
_BLOCK: Final = 1024
MOST_KEPT: Final = 16 << 20
"""Bytes of memory that are kept between polls."""


class TextMemory:
    """Memory for a poll's messages, which the next poll has again.

    Pages that are new each time cost half as much as to read what is on them.
    """

    def __init__(self) -> None:
        self._kept = np.empty(0, np.uint8)

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        """Return at least so many bytes, in which anything may stand."""
        if size > MOST_KEPT:
            return np.empty(size, np.uint8)
        if len(self._kept) < size:
            self._kept = np.empty(min(2 * size, MOST_KEPT), np.uint8)
        return self._kept


@dataclass(frozen=True, slots=True)
class PlainText:
    """A poll's messages in one piece, as the compiled reader takes them.

    `begins (n + 1,) int64` are the messages' places in `text`, each followed by a NUL; likewise of
    their keys. `latest (n,) int64` is the greatest possible event time of each. `rows (m,) int32`
    are those that are valid UTF-8.
    """

    text: npt.NDArray[np.uint8]
    begins: IntArray
    keys: bytes
    key_begins: IntArray
    latest: IntArray
    rows: CodeArray

    @classmethod
    def of(
        cls, messages: RawMessages, times: EventTime, memory: TextMemory | None = None
    ) -> "PlainText":
        """Join messages; what is None becomes empty, which is no event.

        In a memory that is given they stand until the next are put there.
        """
        n = len(messages)
        values, begins = _placed(messages.values)
        text = (memory or TextMemory()).take(int(begins[-1]) + len(PAD))
        text[begins[-1] :][: len(PAD)] = 0
        valid = np.ones(n, np.bool_)
        # Joined in blocks that are still in the processor's cache when they are copied.
        for start in range(0, n, _BLOCK):
            block = values[start : start + _BLOCK]
            joined = b"\0".join((*block, b""))
            text[begins[start] :][: len(joined)] = np.frombuffer(joined, np.uint8)
            if not _is_utf8(joined):
                valid[start : start + _BLOCK] = [_is_utf8(value) for value in block]
        keys, key_begins = _placed(messages.keys)
        together = b"\0".join((*keys, PAD))
        rows = np.flatnonzero(valid).astype(np.int32)
        latest = times.latest_many(messages.broker_timestamp)
        return cls(text, begins, together, key_begins, latest, rows)


def _placed(values: Sequence[bytes | None]) -> tuple[Sequence[bytes], IntArray]:
    """Values, empty for None; where each begins, and the next would, if a NUL follows each."""
    try:
        lengths = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
    except TypeError:  # a None: looking for one first would take as long again
        return _placed([value or b"" for value in values])
    begins = np.zeros(len(values) + 1, np.int64)
    np.cumsum(lengths + 1, out=begins[1:])
    return values, begins  # type: ignore[return-value]  # none of them is None


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
