"""One pass of compiled code against numpy's way, column by column, and what it refuses."""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hatch_build import SOURCES
from streamgauge.core.batch import Categories, EventBatch, FloatArray
from streamgauge.core.bins import NumericBins
from streamgauge.core.blocks import Block
from streamgauge.core.by_column import ByColumn
from streamgauge.core.cells import Crossed, Wanted, Where, crossed
from streamgauge.core.columns import Column
from streamgauge.core.counting import LAYOUT, declared
from streamgauge.core.layout import Grouped, Layout
from streamgauge.core.one_pass import WIDEST, OnePass
from tests.support import batches
from tests.support.compiled import built

RNG = np.random.default_rng(4)
EDGES = {
    "few": np.linspace(0.1, 3.0, 9),
    "many": np.linspace(0.0, 4.0, 200),
    "in no table": np.concatenate([np.linspace(0, 1e-9, 60), np.linspace(1.0, 3.0, 30)]),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The code, compiled now."""
    return declared(built(SOURCES["counting"], LAYOUT, tmp_path_factory.mktemp("compiled")))


def _layout(edges: FloatArray) -> Layout:
    """The usual layout with other edges for its first feature."""
    usual = batches.layout()
    [position] = [i for i, each in enumerate(usual.fields) if each.subject.name == "length"]
    fields = [*usual.fields]
    groups = tuple(range(0, len(edges) + 1, 4))
    fields[position] = replace(
        fields[position], bins=NumericBins(tuple(edges.tolist()), groups, 1.25)
    )
    return Layout(usual.schema, tuple(fields))


def _wanted(n: int, places: int) -> list[Wanted]:
    """All events at one place, and at many by two specifications at once and by one alone."""

    def where(size: int) -> Where:
        return Where(np.arange(size), RNG.integers(0, 2 * size, n))

    found = [Wanted(Crossed.of(Where(np.arange(1), np.zeros(n, np.int64))), fewer=False)]
    found.append(Wanted(Crossed.of(where(places)), fewer=False))
    return found + [Wanted(each, fewer=True) for each in crossed([where(2), where(3), where(40)])]


def _told(found: list[list[tuple[int, Block]]]) -> list[list[tuple[int, list[Any]]]]:
    return [[(code, [*block]) for code, block in blocks] for blocks in found]


@pytest.mark.parametrize("edges", EDGES.values(), ids=list(EDGES))
@pytest.mark.parametrize("n", [1, 700, 40_000])
@pytest.mark.parametrize("errors", [0.0, 0.2, 1.0])
def test_one_pass_counts_what_numpy_counts(
    compiled: ctypes.CDLL, edges: FloatArray, n: int, errors: float
) -> None:
    layout = _layout(edges)
    batch = batches.events(np.random.default_rng(n), n + 50, errors=errors)
    batch.numeric[0, ::7] = RNG.choice(edges, len(batch.numeric[0, ::7]))
    batch.numeric[batch.faults.feature, batch.faults.row] = np.nan
    part, wanted = slice(30, n + 30), _wanted(n, 5)
    groups = Grouped.of(layout)
    ways: list[OnePass | ByColumn] = [OnePass(compiled, layout, groups), ByColumn(layout, groups)]
    bins: list[list[Column]] = [[], []]
    found = [
        way.count(batch, part, wanted, [_into(mine)]) for way, mine in zip(ways, bins, strict=True)
    ]
    for ours, theirs in zip(*map(_told, found), strict=True):
        assert [code for code, _ in ours] == [code for code, _ in theirs]
        for (_, mine), (_, other) in zip(ours, theirs, strict=True):
            for which in (0, 1, 3):  # rows, counts, extremes
                np.testing.assert_array_equal(mine[which], other[which])
            np.testing.assert_allclose(mine[2], other[2], rtol=1e-12, atol=1e-10)
    for one, another in zip(*bins, strict=True):
        assert (one.position, one.served) == (another.position, another.served)
        np.testing.assert_array_equal(one.bins, another.bins)


def _into(columns: list[Column]) -> Callable[[slice, Column], None]:
    return lambda _, column: columns.append(column)


def _counted(compiled: ctypes.CDLL, batch: EventBatch, crossed: Crossed) -> None:
    layout = batches.layout()
    everything = slice(0, len(batch))
    OnePass(compiled, layout, Grouped.of(layout)).count(
        batch, everything, [Wanted(crossed, fewer=True)], []
    )


@pytest.mark.parametrize("bad", [-1, 3])
def test_a_place_that_is_not_there_is_refused(compiled: ctypes.CDLL, bad: int) -> None:
    batch = batches.events(RNG, 5)
    good = Crossed.of(Where(np.arange(3), np.array([0, 1, 2, 0, 1])))
    _counted(compiled, batch, good)
    places = good.places.copy()
    places[2] = bad
    with pytest.raises(AssertionError, match="every event has a place"):
        _counted(compiled, batch, good._replace(places=places))
    [member] = good.members
    rows = good._replace(members=(member._replace(places=np.array([0, bad, 1])),))
    with pytest.raises(AssertionError, match="every event has a place"):
        _counted(compiled, batch, rows)


@pytest.mark.parametrize("bad", [-3, 3])
def test_a_code_that_is_not_in_its_dictionary_is_refused(compiled: ctypes.CDLL, bad: int) -> None:
    batch = batches.events(RNG, 5)
    codes = np.array([0, 1, 2, -1, bad], np.int32)
    wrong = Categories(codes, ("red", "green", "blue"))
    batch = replace(batch, categorical=(wrong, *batch.categorical[1:]))
    with pytest.raises(AssertionError, match="every event has a place"):
        _counted(compiled, batch, Crossed.of(Where(np.arange(1), np.zeros(5, np.int64))))


def test_a_field_of_too_many_bins_is_left_to_numpy() -> None:
    assert OnePass.can(batches.layout())
    assert not OnePass.can(_layout(np.arange(float(WIDEST))))
