"""Sides of series, and what earlier versions kept of them."""

import numpy as np

from streamgauge.core.detectors.bank import ALTERNATIVES
from streamgauge.core.detectors.e_detectors import EDetectors
from streamgauge.core.detectors.sides import Sides
from tests.unit.test_e_detectors import TABLE, detectors, draw, play, said

FALLING = [0, 1, 2]
"""Of the four series the last is a rate of missing values, of which only a rise is judged."""


def test_rises_come_first_and_then_the_falls_that_are_judged() -> None:
    sides = Sides(TABLE)
    assert len(sides) == 4 + len(FALLING)
    assert sides.series.tolist() == [0, 1, 2, 3, *FALLING]
    assert sides.code.tolist() == [0, 2, 4, 6, 1, 3, 5]
    assert sides.place[sides.code].tolist() == [*range(len(sides))]
    assert sides.place[7] == -1


def test_figures_of_series_go_to_their_sides_and_back() -> None:
    sides, rng = Sides(TABLE), np.random.default_rng(1)
    by_series = rng.normal(size=(5, 4, 2))
    joined = sides.joined(by_series[..., 0], by_series[..., 1])
    np.testing.assert_array_equal(joined, sides.chosen(by_series))
    np.testing.assert_array_equal(sides.both(by_series[..., 0])[:, 4:], by_series[:, FALLING, 0])
    larger = by_series.max(axis=-1)
    larger[:, 3] = by_series[:, 3, 0]
    np.testing.assert_array_equal(sides.largest(joined), larger)


def test_state_of_earlier_versions_with_both_sides_of_every_series_is_taken_back() -> None:
    found, rng = detectors(pool=150), np.random.default_rng(2)
    for pane in range(7):
        play(found, pane, {0: draw(rng, 100)})
    data = found.data()
    rows, place = dict(data["rows"]), Sides(TABLE).place
    log = np.full((1, 4, 2, ALTERNATIVES), -700.0, np.float32)
    largest = np.ones((1, 4, 2), np.float32)
    for series, side in np.ndindex(4, 2):
        at = place[2 * series + side]
        if at >= 0:
            log[:, series, side] = rows["log"][:, at]
            largest[:, series, side] = rows["largest"][:, at]
    again = EDetectors(found.tolerance, found.spending, found.weights, found.pool)
    again.restore({**data, "rows": {**rows, "log": log, "largest": largest}})
    for pane in range(7, 12):
        counts = draw(rng, 100)
        for each in (found, again):
            play(each, pane, {0: counts})
    assert said(found) == said(again)
    np.testing.assert_array_equal(found._rows.log, again._rows.log)
