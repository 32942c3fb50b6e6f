"""References and rows whose counts are drawn from known laws."""

from collections.abc import Mapping

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import NumericBins, Special
from streamgauge.core.blocks import Block
from streamgauge.core.layout import LABEL, STATUS, Subject, SubjectKind
from streamgauge.core.reference import Reference, SliceKey
from tests.support import batches

LAYOUT = batches.layout()
LENGTH = Subject(SubjectKind.FEATURE, "length")
COLOUR = Subject(SubjectKind.FEATURE, "colour")
RED, BLUE = (("colour", "red"),), (("colour", "blue"),)
"""A slice that `known_reference` has, and one that it has not."""


def cells_of(subject: Subject) -> slice:
    """Return the layout's cells of a subject's field."""
    position = LAYOUT.position(subject)
    assert position is not None
    return LAYOUT.cells(position)


def draw_law(rng: np.random.Generator) -> FloatArray:
    """Draw a law: per field the probabilities of its cells, in range and mostly not missing."""
    law = np.zeros(LAYOUT.width)
    for start, item in LAYOUT:
        bins = item.bins
        if item.subject == STATUS:
            law[start : start + 2] = 0.99, 0.01
            continue
        special = start + bins.value_bins
        if item.subject == LABEL:
            law[special + Special.MISSING] = 1.0
            continue
        first, last = start, special - 1  # of a categorical field the last bin is `unseen`
        if isinstance(bins, NumericBins):
            first += 1
        law[first:last] = 0.975 * rng.dirichlet(np.full(last - first, 2.0))
        law[special + Special.MISSING] = 0.02
        law[special + Special.WRONG_TYPE] = 0.005
    return law


def draw(rng: np.random.Generator, law: FloatArray, events: int) -> IntArray:
    """Draw the counts `(width,)` of events, all of which are counted in every field."""
    counts = np.zeros(LAYOUT.width, np.int64)
    for position in range(len(LAYOUT.fields)):
        cells = LAYOUT.cells(position)
        counts[cells] = rng.multinomial(events, law[cells])
    return counts


def moved(law: FloatArray, subject: Subject, into: int, share: float) -> FloatArray:
    """Return the law with a share of one field's mass moved into its cell `into`.

    It comes from the other cells alike, so the total variation is the share.
    """
    cells = cells_of(subject)
    changed = law.copy()
    others = 1.0 - law[cells][into]
    changed[cells] *= 1.0 - share / others
    changed[cells.start + into] = law[cells.start + into] + share
    return changed


def block_of(rows: Mapping[int, IntArray]) -> Block:
    """Return a block of rows' counts without sums."""
    counts = np.array(list(rows.values()))
    nothing = np.zeros((len(counts), len(LAYOUT.numeric), 2))
    return Block(np.array(list(rows), np.int64), counts, nothing, nothing)


def reference_of(rows: Mapping[SliceKey, IntArray]) -> Reference:
    """Return a reference without timestamps that holds these counts, the whole, `()`, first."""
    block = block_of(dict(enumerate(rows.values())))
    return Reference(LAYOUT, batches.SLICES, tuple(rows), block, None, None, None)


LAW = draw_law(np.random.default_rng(0))
"""The law of clean events."""


def known_reference(seed: int = 1, events: int = 20_000) -> Reference:
    """Draw a reference of the whole and of the red events."""
    rng = np.random.default_rng(seed)
    return reference_of({(): draw(rng, LAW, events), RED: draw(rng, LAW, events // 2)})
