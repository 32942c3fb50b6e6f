"""The share of the alert budget that one look may spend, and what a look sees."""

import numpy as np
import pytest

from streamgauge.core.detectors.window import Allowance
from streamgauge.core.slices import RowKey
from tests.support.drawn import draw, draw_law, window_of

WEEK = 7 * 86_400_000


@pytest.mark.parametrize("budget", [0.1, 1.0, 20.0])
def test_all_looks_of_a_period_together_spend_the_budget(budget: float) -> None:
    """Two models with three windows each, whose looks come at their own pace."""
    steps, models, kinds = (10_000, 60_000, 1_350_000), 2, 2
    allowance = Allowance(budget, WEEK, models * len(steps) * kinds)
    spent = sum(
        WEEK / step * allowance.per_look(step) for step in steps for _ in range(models * kinds)
    )
    assert spent == pytest.approx(budget)


def test_a_look_never_spends_more_than_one_in_twenty() -> None:
    assert Allowance(10_000.0, 3_600_000, 1).per_look(60_000) == 0.05


def test_samples_are_the_served_events_of_a_row() -> None:
    rng = np.random.default_rng(1)
    counts = draw(rng, draw_law(rng), 70)
    counts[1] = 30  # failed ones
    window = window_of({RowKey("1"): counts})
    assert window.samples(RowKey("1")) == 70
    assert window.samples(RowKey("2")) == 0
