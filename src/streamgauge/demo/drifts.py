"""The strongest drifts: rows of the screen's table, drawn from the JSON of the status page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

BASIS: Final = "psi"
"""The distance that ranks the rows."""
SHARE: Final = "tvd"
"""The distance that is a share of events, from 0 to 1: it fills the bar."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one field of one slice lies from its reference in the window.

    `distance` is the PSI corrected for sample size, `moved` the share of events that lie in other
    bins than in the reference, `missing` and `usually_missing` the shares of missing values now
    and in the reference; None where unknown. `slice` is empty for all traffic.
    """

    field: str
    slice: str
    distance: float
    moved: float | None
    missing: float | None
    usually_missing: float | None
    samples: int


def drifts_of(view: Json) -> list[Drift]:
    """Return the drifts in one view of `/api/v1/models/<model>`, unordered."""
    window = view["window"]
    if window is None:
        return []
    drifts = []
    for field in view["fields"]:
        distance = _corrected(field, BASIS)
        if distance is not None:
            drifts.append(
                Drift(
                    field=field["name"] or field["kind"],
                    slice=window["slice"],
                    distance=max(distance, 0.0),
                    moved=_corrected(field, SHARE),
                    missing=field["missing"],
                    usually_missing=field["reference_missing"],
                    samples=window["samples"],
                )
            )
    return drifts


def strongest(views: Iterable[Json], count: int) -> list[Drift]:
    """Return the strongest drifts of some views.

    A field of a slice stands there only where it moved further than the field did over all traffic:
    else every slice would repeat what all of them show.
    """
    drifts = [drift for view in views for drift in drifts_of(view)]
    everywhere = {drift.field: drift.distance for drift in drifts if not drift.slice}
    telling = [
        drift
        for drift in drifts
        if not drift.slice or drift.distance > 2 * everywhere.get(drift.field, 0.0)
    ]
    return sorted(telling, key=lambda d: (-d.distance, d.field, d.slice))[:count]


def _corrected(field: Json, measure: str) -> float | None:
    found = field["distances"].get(measure)
    value = None if found is None else found["corrected"]
    return None if value is None else float(value)
