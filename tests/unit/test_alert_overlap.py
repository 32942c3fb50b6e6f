from itertools import combinations, product

import pytest

from streamgauge.core.alerts.overlap import contains, disjoint
from streamgauge.core.slices import RowKey
from tests.support.alert_findings import row

VALUES = {"carrier": ("UA", "EV"), "origin": ("EWR", "LGA"), "region": ("eu",)}
EVENTS = [dict(zip(VALUES, values, strict=True)) for values in product(*VALUES.values())]
EVENTS += [event | {"region": "us"} for event in EVENTS]
ROWS = [
    row(*pairs)
    for count in range(len(VALUES) + 1)
    for names in combinations(VALUES, count)
    for pairs in product(*([(name, value) for value in VALUES[name]] for name in names))
]


def events(at: RowKey) -> set[int]:
    """Return the numbers of the events that are in a row."""
    return {i for i, event in enumerate(EVENTS) if set(at.slice) <= event.items()}


@pytest.mark.parametrize("a", ROWS)
def test_rows_relate_as_their_sets_of_events_do(a: RowKey) -> None:
    for b in ROWS:
        assert disjoint(a, b) == (not events(a) & events(b))
        assert contains(a, b) == (events(a) > events(b))
