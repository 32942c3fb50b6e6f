"""Onsets of planted changes, dated step by step."""

import numpy as np
import pytest

from streamgauge.core.batch import IntArray
from streamgauge.core.onset import onset_step

STEPS = 64
BEFORE = np.array([0.5, 0.3, 0.15, 0.05])
AFTER = np.array([0.3, 0.3, 0.25, 0.15])
REFERENCE = (BEFORE * 10_000).astype(np.int64)


def planted(change: int, events: int, seed: int, after: np.ndarray = AFTER) -> IntArray:
    """Counts `(STEPS, groups)` whose law changes at a step."""
    rng = np.random.default_rng(seed)
    old = rng.multinomial(events, BEFORE, change)
    new = rng.multinomial(events, after, STEPS - change)
    return np.concatenate([old, new]).astype(np.int64)


@pytest.mark.parametrize("change", [0, 1, 20, 40, 63])
def test_a_strong_change_is_dated_within_a_step(change: int) -> None:
    for seed in range(20):
        assert abs(onset_step(planted(change, 500, seed).astype(float), REFERENCE) - change) <= 1


def test_the_dates_of_weak_changes_scatter_around_the_true_one() -> None:
    weak = 0.8 * BEFORE + 0.2 * AFTER
    found = [
        onset_step(planted(32, 400, seed, weak).astype(float), REFERENCE) for seed in range(60)
    ]
    assert abs(np.median(found) - 32) <= 2


def test_it_is_the_step_of_maximal_likelihood() -> None:
    """Against one law fitted before, and another after, every step in turn."""
    for seed in range(5):
        counts = planted(25, 60, seed)
        found = []
        for step in range(STEPS):
            parts = REFERENCE + counts[:step].sum(axis=0), counts[step:].sum(axis=0)
            found.append(sum(float(part @ np.log(part / part.sum())) for part in parts))
        assert onset_step(counts.astype(float), REFERENCE) == int(np.argmax(found))


def test_a_change_that_has_just_begun_is_not_lost_in_a_long_window() -> None:
    """Detectors find strong changes at once: it is the last steps that are usually asked for."""
    groups = 24
    rng = np.random.default_rng(7)
    before, after = rng.dirichlet(np.full(groups, 5.0), 2)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        reference = rng.multinomial(20_000, before)
        old = rng.multinomial(500, before, STEPS - 1)
        counts = np.concatenate([old, rng.multinomial(500, after, 1)])
        assert onset_step(counts.astype(float), reference) == STEPS - 1


def test_a_small_references_own_error_does_not_pass_for_a_change() -> None:
    weak = 0.6 * BEFORE + 0.4 * AFTER
    for seed in range(20):
        reference = np.random.default_rng(100 + seed).multinomial(500, BEFORE)
        assert abs(onset_step(planted(50, 2_000, seed, weak).astype(float), reference) - 50) <= 1


def test_steps_of_unequal_size_and_without_events_are_no_obstacle() -> None:
    rng = np.random.default_rng(3)
    for seed in range(10):
        counts = planted(30, 500, seed)
        counts[rng.random(STEPS) < 0.3] = 0
        first = next(s for s in range(30, STEPS) if counts[s].any())
        last_old = next(s for s in range(29, -1, -1) if counts[s].any())
        assert last_old - 1 <= onset_step(counts.astype(float), REFERENCE) <= first + 1


def test_a_group_that_the_reference_never_held_is_no_division_by_zero() -> None:
    reference = np.array([1_000, 0], np.int64)
    counts = np.array([[50, 0]] * 10 + [[30, 20]] * 5, np.int64)
    assert onset_step(counts.astype(float), reference) == 10


def test_one_step_is_its_own_onset() -> None:
    assert onset_step(np.array([[1.0, 9.0]]), np.array([900, 100])) == 0


def test_what_is_changed_from_its_first_events_on_began_with_them() -> None:
    """A version that appears in the middle of a window has no steps before."""
    counts = planted(0, 500, 9)
    counts[:20] = counts[40] = 0
    assert onset_step(counts.astype(float), REFERENCE) == 20


def test_of_no_events_at_all_the_first_step_is_as_good_as_any() -> None:
    assert onset_step(np.zeros((3, 4)), REFERENCE) == 0
