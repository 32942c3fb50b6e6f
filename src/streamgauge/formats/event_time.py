"""Event times: integers in a unit or RFC 3339 strings, and which of them can be true."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import numpy as np

from streamgauge.core.batch import BoolArray, IntArray

TimestampUnit = Literal["s", "ms", "us", "ns"]

EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01: whatever is earlier is a wrong unit or an unset clock."""
LATEST_MS: Final = 4_102_444_800_000
"""2100-01-01: the bound where the broker's clock is unknown or itself impossible."""

_SCALE: Final[dict[str, tuple[int, int]]] = {
    "s": (1000, 1),
    "ms": (1, 1),
    "us": (1, 1000),
    "ns": (1, 1_000_000),
}
_UNIX_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
# Seconds beyond this are out of every bound, and times 1000 they would not fit 64 bits.
_CLIP: Final = 9_000_000_000_000_000
_IMPOSSIBLE: Final = -1

_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d+))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)


def parse_rfc3339(text: str) -> int | None:
    """Milliseconds since the epoch of an RFC 3339 date-time, or None if it is not one.

    The offset is required. Digits below the millisecond are cut off; a leap second becomes the
    last millisecond before it, as the epoch has no room for it.

    >>> parse_rfc3339("2025-11-24T17:00:00.25+01:00")
    1764000000250
    >>> parse_rfc3339("2025-11-24T16:00:00") is None
    True
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    try:
        days = date.fromisoformat(day).toordinal() - _UNIX_EPOCH_ORDINAL
    except ValueError:  # 30 February, year 0000
        return None
    if second == "60":
        milliseconds = 59_999
    else:
        milliseconds = int(second) * 1000
        if fraction is not None:
            milliseconds += int(fraction[:3].ljust(3, "0"))
    minutes = int(hour) * 60 + int(minute)
    if sign is not None:
        offset = int(offset_hour) * 60 + int(offset_minute)
        minutes += offset if sign == "-" else -offset
    return (days * 1440 + minutes) * 60_000 + milliseconds


@dataclass(frozen=True, slots=True)
class EventTime:
    """How a topic writes event times and how far ahead of the broker's clock they may be.

    `max_future_ms` bounds an event time from above by the message's broker timestamp.
    """

    unit: TimestampUnit = "ms"
    max_future_ms: int = 300_000

    @property
    def scale(self) -> tuple[int, int]:
        """What an integer is multiplied by, and divided by then, to be milliseconds."""
        return _SCALE[self.unit]

    def milliseconds(self, value: int | str) -> int | None:
        """Milliseconds since the epoch, floored, or None if a string is no RFC 3339 date-time."""
        if isinstance(value, str):
            return parse_rfc3339(value)
        multiplier, divisor = self.scale
        return value * multiplier // divisor

    def possible(self, milliseconds: int, broker_timestamp: int) -> bool:
        """Whether an event time can be true of a message that the broker stamped so (-1: not)."""
        latest = LATEST_MS
        if broker_timestamp >= 0:
            latest = min(broker_timestamp + self.max_future_ms, LATEST_MS)
        return EARLIEST_MS <= milliseconds <= latest

    def milliseconds_many(self, values: Sequence[int | str]) -> IntArray:
        """The same for a column `(n,)`; what is no point in time becomes an impossible one."""
        if set(map(type, values)) != {int}:
            parsed = [self.milliseconds(value) for value in values]
            bounded = [
                _IMPOSSIBLE if value is None else max(min(value, _CLIP), -_CLIP) for value in parsed
            ]
            return np.array(bounded, np.int64)
        raw = np.fromiter(values, np.int64, len(values))
        multiplier, divisor = self.scale
        if multiplier != 1:
            raw = np.clip(raw, -_CLIP, _CLIP) * multiplier
        return raw if divisor == 1 else raw // divisor

    def possible_many(self, milliseconds: IntArray, broker_timestamp: IntArray) -> BoolArray:
        """Which of `(n,)` event times can be true, given `(n,)` broker timestamps."""
        return (milliseconds >= EARLIEST_MS) & (milliseconds <= self.latest_many(broker_timestamp))

    def latest_many(self, broker_timestamp: IntArray) -> IntArray:
        """The greatest event times that can be true, given `(n,)` broker timestamps."""
        known = np.minimum(broker_timestamp, LATEST_MS) + self.max_future_ms
        return np.where(broker_timestamp < 0, LATEST_MS, np.minimum(known, LATEST_MS))


MILLISECONDS: Final = EventTime()
"""Event times as they are written by default."""
