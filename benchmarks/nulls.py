"""Streams without any change: the laws they are drawn from, their references, and their rows.

A stream has three slices of a region; the counts of a slice are multinomial about shares that are
constant, or vary from pane to pane or with the hour of the week. Nothing else moves, so that every
alarm is a false one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.signal import lfilter

from streamgauge.core.batch import FeatureKind, FloatArray, IntArray, ModelSchema, Task
from streamgauge.core.bins import CategoricalBins, NumericBins, Special, fold
from streamgauge.core.blocks import Block
from streamgauge.core.layout import (
    LATENCY,
    STATUS,
    FeatureSpec,
    Layout,
    Subject,
    SubjectKind,
    build_layout,
)
from streamgauge.core.overdispersion import PaneTable
from streamgauge.core.reference import Reference, SliceKey
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.core.timeline import HOUR_MS, HOURS_OF_WEEK, hour_of_week, pane_length

START_MS = 1_735_516_800_000
"""A Monday at midnight."""
REFERENCE_HOURS = 60 * 24
STREAM_HOURS = 2 * HOURS_OF_WEEK
RATES: FloatArray = np.array([300.0, 300.0, 20.0])
"""Events an hour of each slice; the last one gathers panes until there are enough."""
REGIONS = ("a", "b", "c")
SLICES = (SliceSpec((Dimension("region"),)),)
KEYS: tuple[SliceKey, ...] = ((), *((("region", name),) for name in REGIONS))

AMOUNT = Subject(SubjectKind.FEATURE, "amount")
COLOUR = Subject(SubjectKind.FEATURE, "colour")
SCHEMA = ModelSchema("null", Task.REGRESSION, ("amount",), ("colour",), (), tags=("region",))
SHARES = (0.01, 0.04, 0.05, 0.15, 0.25, 0.25, 0.15, 0.05, 0.04, 0.01)
CATEGORIES = (0.4, 0.3, 0.15, 0.1, 0.03, 0.02)
MISSING, WRONG_TYPE, ERRORS = 0.02, 0.003, 0.005


@cache
def layout() -> Layout:
    """A number in ten bins and a category with six values, besides the fields every model has."""
    edges = tuple(float(i) for i in range(len(SHARES) + 1))
    number = NumericBins(edges, (0, *range(2, len(SHARES) + 1)))
    category = CategoricalBins(tuple("pqrst"), ("u",))
    features = (
        FeatureSpec("amount", FeatureKind.NUMERIC, number),
        FeatureSpec("colour", FeatureKind.CATEGORICAL, category),
    )
    bins = NumericBins((0.0, 1.0), (0,))
    return build_layout(SCHEMA, features, prediction=bins, label=bins)


@dataclass(frozen=True, slots=True)
class FieldLaw:
    """Shares of a field's cells `(w,)`, and how each of F factors moves their logarithms `(w, F)`.

    A factor is what varies together: the whole of a number, one category, the missing values.
    """

    subject: Subject
    share: FloatArray
    loading: FloatArray


def laws(outside: FloatArray) -> tuple[FieldLaw, ...]:
    """Return the laws of the status and of both features; `outside (2,)` are the shares out of
    the number's range."""
    good = 1.0 - MISSING - WRONG_TYPE
    bad = [MISSING, WRONG_TYPE]
    number = [outside[0], *(good * np.array(SHARES)), outside[1], *bad, 0.0, 0.0, 0.0]
    slope = np.zeros((len(number), 3))
    slope[1 : len(SHARES) + 1, 0] = np.linspace(-2.0, 2.0, len(SHARES))
    slope[len(SHARES) + 2, 1] = slope[len(SHARES) + 3, 2] = 3.0
    category = [*(good * np.array(CATEGORIES)), 0.0, *bad]
    own = np.eye(len(category))
    own[-2:] *= 3.0
    status = np.array([1.0 - ERRORS, ERRORS, 0.0, 0.0, 0.0, 0.0])
    return (
        FieldLaw(STATUS, status, 3.0 * np.eye(6)[:, 1:2]),
        FieldLaw(AMOUNT, np.array(number) / sum(number), slope),
        FieldLaw(COLOUR, np.array(category), own),
    )


Vary = Callable[[np.random.Generator, FieldLaw, IntArray, int], FloatArray]
"""Shares `(T, G, w)` of one field in the panes of some hours `(T,)`, for G slices."""


def constant(_: np.random.Generator, law: FieldLaw, hours: IntArray, slices: int) -> FloatArray:
    """Shares never vary."""
    return np.broadcast_to(law.share, (len(hours), slices, len(law.share)))


def beta_binomial(phi: float) -> Vary:
    """Shares are drawn anew in every pane, so that counts of the large slices have φ = `phi`."""
    concentration = RATES[0] / (phi - 1.0) - 1.0

    def vary(rng: np.random.Generator, law: FieldLaw, hours: IntArray, slices: int) -> FloatArray:
        drawn = rng.gamma(concentration * law.share, size=(len(hours), slices, len(law.share)))
        shares: FloatArray = drawn / drawn.sum(axis=-1, keepdims=True)
        return shares

    return vary


def autoregressive(rho: float, deviation: float) -> Vary:
    """Factors follow a stationary AR(1) from pane to pane, on the logit scale."""

    def vary(rng: np.random.Generator, law: FieldLaw, hours: IntArray, slices: int) -> FloatArray:
        noise = rng.normal(size=(len(hours), slices, law.loading.shape[1]))
        noise[1:] *= np.sqrt(1.0 - rho**2)
        path = deviation * np.asarray(lfilter([1.0], [1.0, -rho], noise, axis=0))
        return _moved(law, path)

    return vary


def seasonal(_: np.random.Generator, law: FieldLaw, hours: IntArray, slices: int) -> FloatArray:
    """Factors follow the hour of the day, each with a phase of its own, and the weekend."""
    phase = np.arange(law.loading.shape[1])
    path = 0.25 * np.sin(2.0 * np.pi * (hours[:, None] / 24.0) + phase)
    path += 0.15 * np.where(hours[:, None] >= 5 * 24, np.cos(phase), 0.0)
    return np.broadcast_to(_moved(law, path)[:, None], (len(hours), slices, len(law.share)))


def _moved(law: FieldLaw, path: FloatArray) -> FloatArray:
    moved = law.share * np.exp(path @ law.loading.T)
    shares: FloatArray = moved / moved.sum(axis=-1, keepdims=True)
    return shares


def draw(
    rng: np.random.Generator, vary: Vary, outside: FloatArray, rates: FloatArray, start: int
) -> IntArray:
    """Draw counts `(T, G, W)`; `rates (T, G)` are expected events, from the hour `start` on."""
    hours = hour_of_week(START_MS + (start + np.arange(len(rates))) * HOUR_MS)
    counts = np.zeros((*rates.shape, layout().width), np.int64)
    status, *features = laws(outside)
    events = rng.poisson(rates)
    _fill(rng, vary, status, hours, events, counts)
    served = counts[..., 0]
    for law in features:
        _fill(rng, vary, law, hours, served, counts)
    # What the streams have nothing of is missing.
    for position, (begin, item) in enumerate(layout()):
        if item.subject == LATENCY:
            counts[..., begin + item.bins.value_bins + Special.MISSING] = events
        elif position and item.subject.kind is not SubjectKind.FEATURE:
            counts[..., begin + item.bins.value_bins + Special.MISSING] = served
    return counts


def _fill(
    rng: np.random.Generator,
    vary: Vary,
    law: FieldLaw,
    hours: IntArray,
    events: IntArray,
    counts: IntArray,
) -> None:
    position = layout().position(law.subject)
    assert position is not None
    shares = vary(rng, law, hours, events.shape[1])
    counts[..., layout().cells(position)] = rng.multinomial(events, shares)


def reference_of(counts: IntArray, *, timed: bool) -> Reference:
    """Return the reference of counts `(T, 3, W)` by hour from the start and slice."""
    whole = counts.sum(axis=1)
    rows = np.concatenate([whole.sum(axis=0)[None], counts.sum(axis=0)])
    numeric = len(layout().numeric)
    nothing = np.zeros((len(rows), numeric, 2))
    block = Block(np.arange(len(rows)), rows, nothing, nothing)
    if not timed:
        return Reference(layout(), SLICES, KEYS, block, None, None, None)
    folded = _folded(whole)
    time = START_MS + np.arange(len(counts)) * HOUR_MS
    span = (int(time[0]), int(time[-1]) + HOUR_MS - 1)
    by_hour = np.zeros((HOURS_OF_WEEK, folded.shape[1]), np.int64)
    np.add.at(by_hour, hour_of_week(time), folded)
    panes = PaneTable(HOUR_MS, time // HOUR_MS, folded).coarsen(pane_length(span))
    return Reference(layout(), SLICES, KEYS, block, by_hour, panes, span)


def _folded(counts: IntArray) -> IntArray:
    parts = []
    for start, item in layout():
        cells = counts[:, start : start + item.bins.width]
        parts += [fold(cells, item.bins), cells[:, item.bins.value_bins :]]
    return np.concatenate(parts, axis=1)
