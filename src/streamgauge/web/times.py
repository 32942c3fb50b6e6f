"""Times as the JSON has them: RFC 3339 in UTC."""

from datetime import UTC, datetime


def time_text(milliseconds: int | None) -> str | None:
    """Return event time as RFC 3339 in UTC, None where it is unknown or past the calendar."""
    return None if milliseconds is None else seconds_text(milliseconds / 1000)


def seconds_text(seconds: float) -> str | None:
    """Return seconds since the epoch in the same way."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
