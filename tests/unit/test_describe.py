"""Half a sentence about what moved."""

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.bins import Bins, CategoricalBins
from streamgauge.core.describe import describe
from tests.support.batches import numeric_bins

CARRIERS = CategoricalBins(("UA", "AA"), rare=("HA",))
HOURS = numeric_bins(np.arange(1_000) / 1_000)


def cells(bins: Bins, **counts: int) -> IntArray:
    """Counts in a field's cells, `bin3=7` being seven in its fourth."""
    filled = np.zeros(bins.width, np.int64)
    for name, count in counts.items():
        filled[int(name.removeprefix("bin"))] = count
    return filled


def test_a_mean_that_moved_is_given_with_its_relative_change() -> None:
    ones = np.ones(HOURS.width, np.int64)
    assert describe(HOURS, ones, ones, (2285.0, 1420.0)) == "mean 1,420 to 2,285 (+61%)"
    assert describe(HOURS, ones, ones, (-3.0, -1.5)) == "mean -1.5 to -3 (-100%)"


def test_a_mean_that_was_zero_has_no_relative_change() -> None:
    ones = np.ones(HOURS.width, np.int64)
    assert describe(HOURS, ones, ones, (4.0, 0.0)) == "mean 0 to 4"


def test_where_the_mean_stands_the_group_that_moved_most_is_named() -> None:
    start = HOURS.groups[3]
    before = np.ones(HOURS.value_bins, np.int64)
    now = before.copy()
    now[start] += 100
    still = (0.5, 0.5)
    share, moved = 1 / len(before), (now[start : HOURS.groups[4]].sum()) / now.sum()
    text = describe(HOURS, now, before, still)
    assert text.startswith(f"share of {HOURS.group_labels()[3]} ")
    assert text.endswith(f"to {moved:.1%}")
    assert f"{share * (HOURS.groups[4] - start):.1%}" in text


def test_of_categories_the_one_whose_share_moved_most_is_named() -> None:
    before = cells(CARRIERS, bin0=60, bin1=30, bin2=10)
    now = cells(CARRIERS, bin0=62, bin1=10, bin2=14, bin3=14)
    assert describe(CARRIERS, now, before, None) == "share of AA 30.0% to 10.0%"
    # Unseen values belong to the others.
    now = cells(CARRIERS, bin0=20, bin1=40, bin3=40)
    assert describe(CARRIERS, now, before, None) == "share of UA 60.0% to 20.0%"


def test_unknown_means_are_not_spoken_of() -> None:
    ones = np.ones(HOURS.value_bins, np.int64)
    assert describe(HOURS, ones, ones, (float("nan"), 1.0)).startswith("share of ")


def test_nothing_is_said_where_one_side_is_empty() -> None:
    full, empty = cells(CARRIERS, bin0=60), cells(CARRIERS)
    assert describe(CARRIERS, empty, full, None) == ""
    assert describe(CARRIERS, full, empty, None) == ""
