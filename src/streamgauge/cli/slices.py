"""Slices as they are written on the command line."""

from streamgauge.config.slices import parse_slice
from streamgauge.core.slices import SliceSpec
from streamgauge.errors import UsageError


def slice_option(text: str) -> SliceSpec:
    """Return the slices that an option names: `carrier`, `carrier,origin`, `distance:500:1500`.

    Raises UsageError for anything else.
    """
    entries: list[object] = []
    for part in text.split(","):
        name, *bounds = part.split(":")
        try:
            entries.append({name: [float(bound) for bound in bounds]} if bounds else name)
        except ValueError:
            raise UsageError(
                f"--slice {text}: the cut points of {name!r} must be numbers, such as {name}:10:100"
            ) from None
    try:
        return parse_slice(entries if len(entries) > 1 else entries[0])
    except ValueError as error:
        raise UsageError(f"--slice {text}: {error}") from None
