"""Time zones by name, from the machine's zone database or else the package tzdata."""

import difflib
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Annotated, Final
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from pydantic import AfterValidator

from streamgauge.config.section import refusal, shown
from streamgauge.core.zone import UTC_ZONE, Zone

FIRST: Final = int(datetime(1970, 1, 1, tzinfo=UTC).timestamp())
LAST: Final = int(datetime(2101, 1, 1, tzinfo=UTC).timestamp())
"""Seconds between which a zone's changes are known; beyond, the nearest offset holds."""
_DAY: Final = 86_400
"""Seconds; no two changes of any zone are as near to each other."""
_MILLISECOND: Final = timedelta(milliseconds=1)


@cache
def zone(name: str) -> Zone:
    """Return the zone of a name such as `America/New_York`. Raises ValueError for others."""
    if name == UTC_ZONE.name:
        return UTC_ZONE
    # Some machines call their own zone `localtime`, which would be another one on the next.
    known = available_timezones() - {"localtime"}
    if name not in known:
        folded = {each.casefold(): each for each in sorted(known)}
        close = difflib.get_close_matches(name.casefold(), folded, n=1)
        remedy = f"did you mean {folded[close[0]]!r}?" if close else "write one such as Asia/Tokyo"
        raise ValueError(f"{shown(name)} is not the name of a time zone; {remedy}")
    rules = ZoneInfo(name)
    changes = [
        _change(rules, start, end)
        for start, end in pairwise(range(FIRST, LAST + 1, _DAY))
        if _offset(rules, start) != _offset(rules, end)
    ]
    offsets = [_offset(rules, moment) for moment in (FIRST, *changes)]
    return Zone(name, np.array(changes, np.int64) * 1_000, np.array(offsets, np.int64))


def _change(rules: ZoneInfo, start: int, end: int) -> int:
    """Return the first second of the offset that holds at the end, which differs at the start."""
    before = _offset(rules, start)
    while end - start > 1:
        middle = (start + end) // 2
        if _offset(rules, middle) == before:
            start = middle
        else:
            end = middle
    return end


def _offset(rules: ZoneInfo, second: int) -> int:
    """Return how many milliseconds a zone is ahead of UTC."""
    offset = datetime.fromtimestamp(second, rules).utcoffset()
    assert offset is not None
    return offset // _MILLISECOND


def _zone_name(name: str) -> str:
    try:
        return zone(name).name
    except ValueError as error:
        raise refusal(str(error)) from None


TimeZone = Annotated[str, AfterValidator(_zone_name)]
"""The name of a time zone."""
