"""Durations: text such as `5m` in the file, integer milliseconds in the program."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from streamgauge.config.schema import FROM_ENVIRONMENT
from streamgauge.config.section import refusal, shown

_UNITS: Final = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
LONGEST: Final = 3_650 * _UNITS["d"]
"""Ten years, in milliseconds: the longest duration a configuration may name."""
SHORTEST_PANE: Final = 100
LONGEST_PANE: Final = _UNITS["h"]
MOST_STEPS: Final = 64
"""A window is kept as at most this many coarser panes, so memory does not grow with its length."""

_DURATION = re.compile(r"([0-9]{1,15})(ms|[smhdw])")


def parse_duration(text: str) -> int:
    """Return the milliseconds of a duration such as `500ms`, `10s`, `5m`, `1h`, `1d` or `1w`.

    Raises ValueError for any other text and for more than ten years.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{shown(text)} is not a duration; write a whole number and a unit out of"
            " ms, s, m, h, d, w, such as 10s, 5m or 48h"
        )
    milliseconds = int(match[1]) * _UNITS[match[2]]
    if milliseconds > LONGEST:
        raise ValueError(f"{shown(text)} is longer than ten years; write a shorter duration")
    return milliseconds


def format_duration(milliseconds: int) -> str:
    """Return the shortest text that `parse_duration` reads as these milliseconds."""
    if milliseconds == 0:
        return "0s"
    unit = next(unit for unit, size in _UNITS.items() if milliseconds % size == 0)
    return f"{milliseconds // _UNITS[unit]}{unit}"


def window_step(window_ms: int, pane_ms: int) -> int:
    """Return by how many milliseconds a window moves: the coarser pane that it is made of.

    It is the smallest multiple of the base pane that divides the window into at most `MOST_STEPS`
    steps. Raises ValueError where the window is not a positive multiple of the pane.
    """
    if pane_ms <= 0 or window_ms <= 0 or window_ms % pane_ms:
        raise ValueError(f"a window of {window_ms} ms is not made of panes of {pane_ms} ms")
    panes = window_ms // pane_ms
    steps = max(count for count in range(1, min(panes, MOST_STEPS) + 1) if panes % count == 0)
    return window_ms // steps


def _duration_or_zero(value: object) -> int:
    if not isinstance(value, str):
        raise refusal("must be a duration with its unit; write for example 10s, 5m or 48h")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise refusal(str(error)) from None


def _duration(value: object) -> int:
    milliseconds = _duration_or_zero(value)
    if milliseconds == 0:
        raise refusal("must be longer than zero; write a duration such as 10s, 5m or 48h")
    return milliseconds


def _json_schema(number: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({number}(ms|[smhdw])|{FROM_ENVIRONMENT})$",
            "examples": ["10s", "5m", "48h"],
        }
    )


def _pane(milliseconds: int) -> int:
    if not SHORTEST_PANE <= milliseconds <= LONGEST_PANE:
        raise refusal("must be between 100ms and 1h; write a duration such as 10s")
    return milliseconds


_serializer = PlainSerializer(format_duration, return_type=str)

Duration = Annotated[
    int, PlainValidator(_duration), _serializer, _json_schema("0*[1-9][0-9]{0,14}")
]
"""A duration above zero, in milliseconds."""
DurationOrZero = Annotated[
    int, PlainValidator(_duration_or_zero), _serializer, _json_schema("[0-9]{1,15}")
]
"""A duration that may be `0s`, in milliseconds."""
Pane = Annotated[Duration, AfterValidator(_pane)]
"""The smallest step of event time, in milliseconds."""
