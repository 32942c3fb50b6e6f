"""Half a sentence about what moved."""

import numpy as np

from streamgauge.core.batch import IntArray
from streamgauge.core.bins import Bins, CategoricalBins
from streamgauge.core.describe import describe
from tests.support.batches import numeric_bins

CARRIERS = CategoricalBins(("UA", "AA"), rare=("HA",))
HOURS = numeric_bins(np.arange(1_000) / 1_000)


def groups(bins: Bins, **counts: int) -> IntArray:
    """Counts in a field's distance groups, `group3=7` being seven in its fourth."""
    filled = np.zeros(len(bins.groups), np.int64)
    for name, count in counts.items():
        filled[int(name.removeprefix("group"))] = count
    return filled


def told(bins: Bins, now: IntArray, before: IntArray, means: tuple[float, float] | None) -> str:
    return describe(bins, now.astype(np.float64), before, means)


def test_a_mean_that_moved_is_given_with_its_relative_change() -> None:
    ones = np.ones(len(HOURS.groups), np.int64)
    assert told(HOURS, ones, ones, (2285.0, 1420.0)) == "mean 1,420 to 2,285 (+61%)"
    assert told(HOURS, ones, ones, (-3.0, -1.5)) == "mean -1.5 to -3 (-100%)"


def test_a_mean_that_was_zero_has_no_relative_change() -> None:
    ones = np.ones(len(HOURS.groups), np.int64)
    assert told(HOURS, ones, ones, (4.0, 0.0)) == "mean 0 to 4"
    near = HOURS.scale / 100
    assert told(HOURS, ones, ones, (4.0, -near)) == f"mean {-near:,.4g} to 4"


def test_where_the_mean_stands_the_group_that_moved_most_is_named() -> None:
    before = np.ones(len(HOURS.groups), np.int64)
    now = before.copy()
    now[3] += 100
    name, old, new = HOURS.group_labels()[3], 1 / len(before), 101 / now.sum()
    text = told(HOURS, now, before, (0.5, 0.5))
    assert text == f"share of {name} {old:.1%} to {new:.1%}"


def test_of_categories_the_one_whose_share_moved_most_is_named() -> None:
    before = groups(CARRIERS, group0=60, group1=30, group2=10)
    now = groups(CARRIERS, group0=62, group1=10, group2=28)
    assert told(CARRIERS, now, before, None) == "share of AA 30.0% to 10.0%"
    # The others are a group as well, with unseen values in it.
    now = groups(CARRIERS, group0=20, group1=20, group2=60)
    assert told(CARRIERS, now, before, None) == "share of (other) 10.0% to 60.0%"


def test_unknown_means_are_not_spoken_of() -> None:
    ones = np.ones(len(HOURS.groups), np.int64)
    assert told(HOURS, ones, ones, (float("nan"), 1.0)).startswith("share of ")


def test_nothing_is_said_where_one_side_is_empty() -> None:
    full, empty = groups(CARRIERS, group0=60), groups(CARRIERS)
    assert told(CARRIERS, empty, full, None) == ""
    assert told(CARRIERS, full, empty, None) == ""
