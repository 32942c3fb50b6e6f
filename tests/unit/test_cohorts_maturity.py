"""The latest window that has its labels, on drawn-up histories."""

import numpy as np
import pytest

from streamgauge.core.cohorts.maturity import matured, run_sums


def history(text: str) -> np.ndarray:
    """Labels of each step, ten predicted: a digit each, `x` for ten."""
    return np.array([[10 if each == "x" else int(each) for each in text]])


@pytest.mark.parametrize(
    ("labelled", "aged", "end"),
    [
        ("xxxxxxxxxxxx", "aaaaaa......", 12),  # all there
        ("xxxxxxxx8521", "aaaaaa......", 9),  # young steps lack labels
        ("xxxxxxxxx9xx", "aaaaaa......", 12),  # 39 of 40 are enough
        ("999999999700", "aaaaaa......", 9),  # a tenth never gets a label
        ("xxxxxxxx0000", "aaaaaaaa....", 8),  # labels have stopped
        ("xxxxxxxx0000", "aaaaaaaaaaaa", 12),  # ... for good: no more will come
        ("00xxxxxxxx85", "aaaaaaaa....", 11),  # ... and come again
        ("xxxx70000000", "............", 4),  # none is aged: all must be there
        ("999990000000", "............", -1),
        ("000000000000", "............", -1),
    ],
)
def test_the_latest_mature_window_ends_where_labels_do(labelled: str, aged: str, end: int) -> None:
    counts = history(labelled)
    old = np.array([each == "a" for each in aged])
    found = matured(counts, np.full_like(counts, 10), old, 4)
    assert found.end.tolist() == [end]
    if end < 0:
        assert np.isnan(found.coverage[0])
        assert np.isnan(found.reachable[0])
    else:
        assert found.coverage[0] == pytest.approx(counts[0, end - 4 : end].sum() / 40)


def test_rows_have_ends_of_their_own() -> None:
    counts = np.concatenate([history("xxxx85"), history("555522"), history("xxxxxx")])
    old = np.array([True] * 4 + [False] * 2)
    found = matured(counts, np.full_like(counts, 10), old, 2)
    assert found.end.tolist() == [4, 4, 6]
    assert found.reachable.tolist() == [1.0, 0.5, 1.0]


def test_windows_without_predictions_are_not_mature() -> None:
    predicted = np.array([[4, 4, 0, 0, 0]])
    found = matured(predicted, predicted, np.ones(5, np.bool_), 2)
    assert found.end.tolist() == [3]
    nothing = np.zeros((1, 5), np.int64)
    assert matured(nothing, nothing, np.ones(5, np.bool_), 2).end.tolist() == [-1]


def test_shorter_histories_than_a_window_have_none() -> None:
    few = np.ones((2, 3), np.int64)
    assert matured(few, few, np.ones(3, np.bool_), 4).end.tolist() == [-1, -1]
    none = np.ones((2, 0), np.int64)
    assert matured(none, none, np.ones(0, np.bool_), 1).end.tolist() == [-1, -1]


def test_a_window_has_a_step() -> None:
    few = np.ones((2, 3), np.int64)
    with pytest.raises(ValueError, match="one step or more"):
        matured(few, few, np.ones(3, np.bool_), 0)


def test_sums_of_runs_are_numpys() -> None:
    values = np.random.default_rng(1).integers(0, 9, (3, 20))
    expected = np.lib.stride_tricks.sliding_window_view(values, 6, axis=1).sum(axis=2)
    assert (run_sums(values, 6) == expected).all()
