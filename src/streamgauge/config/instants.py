"""Instants: RFC 3339 text in the file, integer milliseconds since the epoch in the program."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from streamgauge.config.schema import FROM_ENVIRONMENT
from streamgauge.config.section import refusal, shown

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_PATTERN: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_RFC_3339: Final = re.compile(_PATTERN)


def parse_instant(text: str) -> int:
    """Return the milliseconds since the epoch of a date and time such as `2026-12-01T00:00:00Z`.

    The offset is required; digits below the millisecond are cut off. Raises ValueError for any
    other text, and for what is outside the years 1 to 9999 in UTC.
    """
    wrong = ValueError(
        f"{shown(text)} is no date and time with its offset; write it as in 2026-12-01T00:00:00Z"
        " or 2026-12-01T01:00:00+01:00"
    )
    if _RFC_3339.fullmatch(text) is None:
        raise wrong
    try:
        return (datetime.fromisoformat(text).astimezone(UTC) - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):  # 30 February, year 0
        raise wrong from None


def format_instant(milliseconds: int) -> str:
    """Return the text in UTC that `parse_instant` reads as these milliseconds."""
    moment = _EPOCH + milliseconds * _MILLISECOND
    text = moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds")
    return text.replace("+00:00", "Z")


def _instant(value: object) -> int:
    if not isinstance(value, str):
        raise refusal(
            "must be a date and time with its offset; write it as in 2026-12-01T00:00:00Z"
        )
    try:
        return parse_instant(value)
    except ValueError as error:
        raise refusal(str(error)) from None


Instant = Annotated[
    int,
    PlainValidator(_instant),
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({_PATTERN}|{FROM_ENVIRONMENT})$",
            "examples": ["2026-12-01T00:00:00Z"],
        }
    ),
]
"""A moment of event time, in milliseconds since the epoch."""
