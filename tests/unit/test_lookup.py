"""The lookup table gives what the search gives, on edges that are easy, crowded or extreme."""

from collections.abc import Iterator

import numpy as np
import pytest

from hatch_build import SOURCES
from streamgauge.core.batch import FloatArray
from streamgauge.core.counting import LAYOUT, declared
from streamgauge.core.lookup import BLOCK, EdgeLookup
from tests.support.compiled import built, counting_by

RNG = np.random.default_rng(3)
LARGEST = float(np.finfo(np.float64).max)
EDGES = {
    "none": np.empty(0),
    "few": np.arange(5.0),
    "even": np.linspace(-3.0, 7.0, 90),
    "normal quantiles": np.unique(RNG.normal(size=85)),
    "heavy tails": np.unique(RNG.standard_cauchy(200)),
    "crowded": np.concatenate([np.linspace(0, 1e-9, 60), np.linspace(1e3, 1e6, 30)]),
    "neighbours": np.unique(
        np.concatenate([np.arange(50.0), np.nextafter(np.arange(50.0), np.inf)])
    ),
    "whole range": np.linspace(-1.0, 1.0, 60) * LARGEST,
    "tiny range": np.cumsum(np.full(60, 5e-324)),
    "infinite end": np.append(np.linspace(0.0, 1e308, 60), np.inf),
}


@pytest.fixture(scope="module", autouse=True, params=["compiled code", "numpy"])
def looked_up_by(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """What looks values up: both ways have to pass all tests."""
    if request.param == "numpy":
        with counting_by(None):
            yield
        return
    folder = tmp_path_factory.mktemp("compiled")
    with counting_by(declared(built(SOURCES["counting"], LAYOUT, folder))):
        yield


@pytest.mark.parametrize("edges", EDGES.values(), ids=list(EDGES))
def test_the_lookup_agrees_with_the_search(edges: FloatArray) -> None:
    spread = RNG.choice(edges, 500) if len(edges) else np.zeros(500)
    with np.errstate(over="ignore"):  # past the largest number lies infinity
        beside = [np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)]
    others = [spread + RNG.normal(size=500), spread * RNG.random(500)]
    extremes = [0.0, -0.0, 5e-324, LARGEST, -LARGEST, np.inf, -np.inf]
    values = np.concatenate([edges, *beside, *others, extremes])
    found = EdgeLookup(edges).bins(values)
    np.testing.assert_array_equal(found, np.searchsorted(edges, values, side="right"))
    for most in (np.inf, 1e100, 1e17, 1e3):
        some = values[np.abs(values) < most]
        if len(some):
            found = EdgeLookup(edges).bins(some, (float(some.min()), float(some.max())))
            np.testing.assert_array_equal(found, np.searchsorted(edges, some, side="right"))


def test_more_values_than_a_block_are_looked_up_alike() -> None:
    edges = EDGES["normal quantiles"]
    values = RNG.normal(size=2 * BLOCK + 17)
    found = EdgeLookup(edges).bins(values)
    np.testing.assert_array_equal(found, np.searchsorted(edges, values, side="right"))


def test_nan_among_the_values_neither_warns_nor_disturbs_the_others() -> None:
    edges = EDGES["even"]
    values = np.array([np.nan, 0.0, np.nan, 6.5])
    found = EdgeLookup(edges).bins(values)
    np.testing.assert_array_equal(
        found[[1, 3]], np.searchsorted(edges, values[[1, 3]], side="right")
    )
