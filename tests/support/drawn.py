"""References and windows whose counts are drawn from known laws, row by row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.bins import NumericBins, Special
from streamgauge.core.blocks import Block
from streamgauge.core.detectors.window import Allowance, WindowCounts
from streamgauge.core.findings import Finding, Verdict
from streamgauge.core.layout import LABEL, STATUS, Subject, SubjectKind
from streamgauge.core.overdispersion import PaneTable
from streamgauge.core.reference import Reference, SliceKey
from streamgauge.core.slices import RowKey
from streamgauge.core.windows import WindowSpec
from tests.support import batches

LAYOUT = batches.layout()
LENGTH = Subject(SubjectKind.FEATURE, "length")
COLOUR = Subject(SubjectKind.FEATURE, "colour")
RED, BLUE = (("colour", "red"),), (("colour", "blue"),)
"""A slice that `known_reference` has, and one that it has not."""
WHOLE = RowKey("1")
SPEC = WindowSpec("5m", 300_000, 10_000)
END = 1_764_000_300_000
LOOSE = Allowance(1e9, 1, 1)
"""So large that every look spends the most that a look may: one in twenty."""
STRICT = Allowance(1.0, 7 * 86_400_000, 4)
"""One false finding in a week over two models with one window."""


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
            law[start] = 1.0
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
    """Draw the counts `(width,)` of served events."""
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


def reference_of(rows: Mapping[SliceKey, IntArray], panes: PaneTable | None = None) -> Reference:
    """Return a reference that holds these counts, the whole, `()`, first."""
    counts = np.array(list(rows.values()))
    numeric = len(LAYOUT.numeric)
    nothing = np.zeros((len(counts), numeric, 2))
    block = Block(np.arange(len(counts)), counts, nothing, nothing)
    return Reference(LAYOUT, batches.SLICES, tuple(rows), block, None, panes, None)


LAW = draw_law(np.random.default_rng(0))
"""The law of clean events."""


def known_reference(seed: int = 1, events: int = 20_000) -> Reference:
    """Draw a reference of the whole and of the red events."""
    rng = np.random.default_rng(seed)
    return reference_of({(): draw(rng, LAW, events), RED: draw(rng, LAW, events // 2)})


class Settings(NamedTuple):
    """What a detector is made of."""

    reference: Reference
    allowance: Allowance
    tolerance: float
    min_samples: int


def settings(
    known: Reference | None = None, allowance: Allowance = STRICT, *, tolerance: float = 0.0
) -> Settings:
    """Return the settings that a test does not care about."""
    return Settings(known or known_reference(), allowance, tolerance, min_samples=200)


def window_of(rows: Mapping[RowKey, IntArray], spec: WindowSpec = SPEC) -> WindowCounts:
    """Return a window with these counts."""
    counts = np.array(list(rows.values()), np.int64).reshape(-1, LAYOUT.width)
    return WindowCounts("made-up", spec, END, np.arange(len(rows)), tuple(rows), counts)


def verdicts(findings: Sequence[Finding]) -> dict[tuple[RowKey, Subject], Verdict]:
    """Return what findings say of each row and subject, which may have one of them at most."""
    asked = Counter((finding.row, finding.subject) for finding in findings)
    assert set(asked.values()) <= {1}
    return {(finding.row, finding.subject): finding.verdict for finding in findings}
