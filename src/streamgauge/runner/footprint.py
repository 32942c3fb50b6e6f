"""Footprint: the memory that a model's counts take, from its layout and limits."""

import math
from typing import Final

from streamgauge.core.layout import Layout
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.outcomes.cohorts import MOST_STEPS
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.performance.binary import SCORE_BINS
from streamgauge.core.reference import Reference
from streamgauge.core.slices import SliceSpec
from streamgauge.runner.references import known_slices

_SPARE: Final = 1.5
"""Growing arrays have up to half as many rows again as they need."""


def memory(layout: Layout, spec: ModelSpec, rows: int, disorder_ms: int) -> int:
    """Return the bytes that a model's counts take where every row has events in every step.

    Steps are kept as blocks with 16-bit counts, less where there are few events; totals and the
    panes that are still open take twice that, so that there is room for large rows. Closed steps
    are taken to be in memory, where they are if the local disk has no room for them.
    """
    open_panes = math.ceil(disorder_ms / spec.pane_ms) + 1
    whole = spec.max_versions if rows > spec.max_versions else 1
    taken = _track(layout.grouped().width, 16 * len(layout.numeric), spec, rows, open_panes)
    taken += _track(layout.width, 32 * len(layout.numeric), spec, whole, open_panes)
    if spec.labels is None:
        return taken
    outcomes = OutcomeLayout(layout)
    taken += _track(outcomes.width, 16 * outcomes.sums, spec, rows, open_panes)
    taken += _track(2 * SCORE_BINS, 0, spec, rows, open_panes)
    # Cohorts keep a few counts of every row, and all of whole versions.
    cells = len(outcomes.classes) ** 2 + 2
    return taken + int(_SPARE * MOST_STEPS * 8 * (rows * cells + whole * outcomes.width))


def _track(width: int, moments: int, spec: ModelSpec, rows: int, open_panes: int) -> int:
    """Return the bytes of a track's windows, totals and open panes."""
    step, growing = rows * (2 * width + moments + 8), rows * (4 * width + moments + 8)
    totals = len(spec.windows) + 1 + open_panes
    return sum(window.steps for window in spec.windows) * step + int(_SPARE * totals * growing)


def most_rows(spec: ModelSpec, reference: Reference) -> int:
    """Return how many rows there may be, with all versions and slices that the limits let in."""
    rows = 1.0
    for entry in spec.slices:
        known = len(known_slices((entry,), reference))
        # Slices of the reference are always let in, and what is past the cap shares one.
        rows += min(_ways(entry, reference), known + spec.max_slices + 1)
    return int(rows) * (spec.max_versions + 1)


def _ways(entry: SliceSpec, reference: Reference) -> float:
    """Return how many slices there can be under an entry: unbounded where a text may be anything,
    else its ranges or truth values, and the missing ones."""
    ways = 1.0
    for dimension in entry.dimensions:
        if dimension.bounds:
            ways *= len(dimension.bounds) + 2
        elif dimension.name in reference.layout.schema.boolean:
            ways *= 3
        else:
            return math.inf
    return ways
