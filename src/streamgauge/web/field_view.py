"""One field's figures in one window and row, as plain data."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from streamgauge.core.batch import FloatArray
from streamgauge.core.bins import Bins, NumericBins
from streamgauge.core.layout import SubjectKind
from streamgauge.core.snapshot import FieldStats

View = dict[str, Any]


def field_view(
    stats: FieldStats, bins: Bins, row: int, *, unseen: tuple[tuple[str, int], ...]
) -> View:
    """Return one field's figures; `unseen` are values that the reference never held."""
    numeric = isinstance(bins, NumericBins)
    is_feature = stats.subject.kind is SubjectKind.FEATURE
    return {
        "kind": stats.subject.kind.value,
        "name": stats.subject.name,
        "type": "numeric" if numeric else "categorical",
        "count": int(stats.count[row]),
        "missing": _at(stats.missing, row),
        "reference_missing": _at(stats.reference_missing, row),
        "wrong_type": _at(stats.wrong_type, row),
        "out_of_range": _at(stats.out_of_range, row) if numeric and is_feature else None,
        "unseen": None if numeric else _at(stats.unseen, row),
        "mean": _at(stats.mean, row),
        "reference_mean": _at(stats.reference_mean, row),
        "std": _at(stats.std, row),
        "minimum": _at(stats.minimum, row),
        "maximum": _at(stats.maximum, row),
        "quantiles": [[q, _at(values, row)] for q, values in sorted(stats.quantiles.items())],
        "distances": _distances(stats, row),
        "groups": _groups(stats, bins, row),
        "unseen_values": [list(entry) for entry in unseen],
    }


def group_names(bins: Bins) -> list[str]:
    """Name the distance groups for people: `< 5`, `5 – 10`, `≥ 10`, or the categories."""
    if not isinstance(bins, NumericBins):
        return list(bins.group_labels())
    cuts = [f"{cut:.6g}" for cut in _cuts(bins)]
    if not cuts:
        return ["all"]
    between = [f"{low} – {high}" for low, high in pairwise(cuts)]
    return [f"< {cuts[0]}", *between, f"≥ {cuts[-1]}"]


def _cuts(bins: Bins) -> Iterator[float]:
    if isinstance(bins, NumericBins):
        yield from (bins.edges[start - 1] for start in bins.groups[1:])


def _distances(stats: FieldStats, row: int) -> dict[str, View]:
    return {
        measure: {
            "raw": _at(stats.raw.get(measure), row),
            "corrected": _at(values, row),
            "p_value": _at(stats.p_value.get(measure), row),
        }
        for measure, values in stats.corrected.items()
    }


def _groups(stats: FieldStats, bins: Bins, row: int) -> Mapping[str, Any] | None:
    """Return names and counts per group; the reference's are null where it has none.

    `cuts` are the bounds between the groups of a numeric field.
    """
    if stats.groups is None:
        return None
    reference = None
    if stats.reference_groups is not None and stats.reference_groups[row].any():
        reference = stats.reference_groups[row].tolist()
    return {
        "names": group_names(bins),
        "cuts": list(_cuts(bins)),
        "counts": stats.groups[row].tolist(),
        "reference": reference,
    }


def _at(values: FloatArray | None, row: int) -> float | None:
    if values is None:
        return None
    value = float(values[row])
    return value if math.isfinite(value) else None
