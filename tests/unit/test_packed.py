"""Packed counts against the array that they were made of."""

import numpy as np
import numpy.typing as npt
import pytest

from streamgauge.core.packed import PackedCounts
from streamgauge.core.spill import SpillableArray
from streamgauge.core.squeezed import SqueezedRows
from tests.support.spills import Elsewhere

W = 90


def drawn(mean: float, rows: int = 40, seed: int = 1) -> npt.NDArray[np.int64]:
    """Counts of rows of unlike traffic, a quarter of whose cells nobody has events in."""
    rng = np.random.default_rng(seed)
    weight = rng.gamma(0.5, 2.0, W) * (rng.random(W) < 0.75)
    traffic = np.where(np.arange(rows) < 3, 500.0, 1.0)
    return rng.poisson(mean * np.outer(traffic, weight))


@pytest.mark.parametrize("mean", [0.0, 0.02, 0.3, 3.0, 50.0, 4_000.0, 1e6, 1e10])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_what_was_packed_comes_back(mean: float, dtype: type[np.signedinteger]) -> None:
    counts = np.minimum(drawn(mean), np.iinfo(dtype).max).astype(dtype)
    packed = PackedCounts(counts)
    assert packed.whole().tolist() == counts.tolist()
    chosen = np.array([39, 0, 7, 7, 2])
    assert packed.take(chosen).tolist() == counts[chosen].tolist()


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 2, 3, 4, 15, 16, 17, 254, 255, 256, 257],
        [65_535, 65_536, 65_537, 2**31 - 1, 2**31, 2**32, 2**62],
        [-1, -2, -255, -256, -257, 0, 5, -(2**31), -(2**62)],
        [0],
    ],
)
@pytest.mark.parametrize("rare", [False, True])
def test_values_at_the_ends_of_their_bits_come_back(values: list[int], rare: bool) -> None:
    counts = np.resize(np.array(values, np.int64), (6, 70))
    if rare:
        counts[:, 1:60] = 1
    packed = PackedCounts(counts)
    assert packed.whole().tolist() == counts.tolist()
    assert packed.take(np.array([5, 1])).tolist() == counts[[5, 1]].tolist()


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_there_may_be_nothing_to_pack(shape: tuple[int, int]) -> None:
    packed = PackedCounts(np.zeros(shape, np.int64))
    assert packed.whole().shape == packed.shape == shape
    assert packed.take(np.arange(shape[0])).shape == shape


def test_rows_of_small_counts_take_few_bits() -> None:
    counts = np.random.default_rng(3).poisson(0.3, (2_000, 700))
    assert PackedCounts(counts).nbytes < counts.size * 3 / 8


def test_counts_that_are_unpacked_share_nothing() -> None:
    packed = PackedCounts(drawn(3.0))
    packed.whole()[:] = 7
    packed.take(np.arange(3))[:] = 7
    assert packed.whole().tolist() == drawn(3.0).tolist()


@pytest.mark.parametrize("rows", [0, 1, 64, 65, 200])
def test_squeezed_rows_come_back_whole_some_and_from_state(rows: int) -> None:
    drawn_rows = np.random.default_rng(5).integers(0, 4, (rows, 30)).astype(np.uint8)
    squeezed = SqueezedRows(drawn_rows)
    chosen = np.random.default_rng(6).permutation(rows)[:70]
    for each in (squeezed, SqueezedRows.restored(squeezed.data())):
        assert each.whole().tolist() == drawn_rows.tolist()
        assert each.take(chosen).tolist() == drawn_rows[chosen].tolist()
    assert squeezed.nbytes <= drawn_rows.nbytes or rows <= 1


@pytest.mark.parametrize("mean", [0.0, 0.02, 0.3, 50.0, 4_000.0, 1e10])
@pytest.mark.parametrize("every", [1, 2])
def test_what_is_spilled_comes_back_the_same(mean: float, every: int) -> None:
    counts = drawn(mean, rows=200)
    packed, spilled = PackedCounts(counts), PackedCounts(counts)
    for _ in range(2):  # what was put is not put again
        spilled.spill(Elsewhere(every))
    assert spilled.nbytes == packed.nbytes
    assert spilled.whole().tolist() == counts.tolist()
    chosen = np.array([199, 0, 64, 64, 2])
    assert spilled.take(chosen).tolist() == counts[chosen].tolist()
    again = PackedCounts.restored(spilled.data())
    assert again.whole().tolist() == counts.tolist()
    assert again.nbytes == packed.nbytes


@pytest.mark.parametrize("shape", [(0, 3, 2), (5,), (1, 3, 2), (64, 2), (200, 3, 2), (0,)])
def test_an_array_comes_back_from_where_it_was_spilled(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    kept, there = SpillableArray(array), Elsewhere()
    kept.spill(there)
    kept.spill(there)
    assert there.puts == 1
    assert (kept.shape, kept.dtype, kept.nbytes) == (array.shape, array.dtype, array.nbytes)
    assert kept.whole().tobytes() == array.tobytes()
    if len(shape) > 1 and shape[0]:
        for chosen in ([shape[0] - 1], [], [*range(shape[0])], [0, shape[0] - 1, 0]):
            at = np.array(chosen, np.intp)
            assert kept.take(at).tolist() == array[at].tolist()
