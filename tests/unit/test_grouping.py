"""Groups of events by version and values, by compiled code and by numpy, against a recount."""

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest

from hatch_build import SOURCES
from streamgauge.core.counting import LAYOUT, declared
from streamgauge.core.grouping import parted
from tests.support.compiled import built, counting_by

N = 2_000


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The code, compiled now."""
    return declared(built(SOURCES["counting"], LAYOUT, tmp_path_factory.mktemp("compiled")))


@pytest.fixture(params=["compiled code", "numpy"])
def parted_by(request: pytest.FixtureRequest, compiled: ctypes.CDLL) -> Iterator[None]:
    """What parts groups: both ways have to pass."""
    with counting_by(compiled if request.param == "compiled code" else None):
        yield


@pytest.mark.usefixtures("parted_by")
@pytest.mark.parametrize(
    ("groups", "many"),
    [(1, 1), (1, 7), (5, 40), pytest.param(90, 900, id="more cells than are gone through")],
)
@pytest.mark.parametrize("n", [0, 1, N])
def test_groups_are_parted_by_codes_in_their_order(n: int, groups: int, many: int) -> None:
    rng = np.random.default_rng(n + many)
    places, codes = rng.integers(groups, size=n), rng.integers(-2, many, n)
    found = parted(places, groups, codes, many)
    pairs = [(p, c if c >= 0 else many - 1) for p, c in zip(places, codes, strict=True)]
    distinct = sorted(set(pairs))
    assert found.places.tolist() == [distinct.index(pair) for pair in pairs]
    assert found.last.tolist() == [_last(pairs, each) for each in distinct]


def _last(pairs: list[tuple[int, int]], each: tuple[int, int]) -> int:
    """The last event of a group."""
    return len(pairs) - 1 - pairs[::-1].index(each)


def test_a_group_or_code_that_is_not_there_is_refused(compiled: ctypes.CDLL) -> None:
    good = np.zeros(3, np.int32)
    with counting_by(compiled):
        for bad in (-1, 2):
            with pytest.raises(AssertionError, match="a group and a code"):
                parted(np.array([0, bad, 1]), 2, good, 1)
        with pytest.raises(AssertionError, match="a group and a code"):
            parted(good, 1, np.array([0, 4, 1]), 4)
