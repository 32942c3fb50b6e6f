"""Figures of a reference file that are for readers alone: computed, not read."""

from datetime import UTC, datetime
from typing import Final

from streamgauge.core.outcomes.figures import performance
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference
from streamgauge.formats.reference_encode_field import Entry, place

DERIVED_WINDOWS: Final = {"1h": 3_600_000, "1d": 86_400_000, "7d": 7 * 86_400_000}
"""Windows whose overdispersion is shown."""
DIGITS: Final = 6
"""Significant digits of performance figures."""


def derived(reference: Reference) -> Entry:
    """Return figures for readers; they are computed anew when the file is read."""
    found: Entry = {"events": reference.events}
    if reference.span is None:
        return found
    first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in reference.span)
    found["first"] = first.isoformat(timespec="milliseconds")
    found["last"] = last.isoformat(timespec="milliseconds")
    names = [place(item) for item in reference.layout.fields]
    found["overdispersion"] = {
        window: dict(zip(names, reference.overdispersion(ms).round(3).tolist(), strict=True))
        for window, ms in DERIVED_WINDOWS.items()
    }
    return found


def derived_performance(layout: OutcomeLayout, outcomes: Reference) -> Entry:
    """Return the performance figures of the whole with their 95 % intervals."""
    figures = performance(layout, outcomes.block.take(slice(0, 1)))
    return {
        name: {
            limit: float(f"{values[0]:.{DIGITS}g}")
            for limit, values in zip(figure._fields, figure, strict=True)
        }
        for name, figure in figures.items()
    }
