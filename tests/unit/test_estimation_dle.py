"""Estimated losses of regressions against recounts, and against labels drawn as they say."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import gennorm

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.estimation.dle import (
    ExpectedLoss,
    Loss,
    estimated_losses,
    fourth_moment_ratio,
    learn_loss,
)

BINS = 20


def drawn(
    seed: int, shape: Any, *, law: str = "normal", leaning: float = 1.0
) -> tuple[IntArray, FloatArray]:
    """Bins of predictions, and errors that grow with them; `leaning` > 1 prefers high bins."""
    rng = np.random.default_rng(seed)
    x = rng.random(shape) ** (1 / leaning)
    unit: FloatArray = getattr(rng, law)(size=shape)
    return (x * BINS).astype(np.int64), (1 + 3 * x) * unit


def learned(bins: IntArray, e: FloatArray) -> ExpectedLoss:
    first, second = (np.bincount(bins, loss, BINS).astype(np.float64) for loss in (np.abs(e), e**2))
    return learn_loss(np.bincount(bins, minlength=BINS), first, second)


def counted(bins: IntArray) -> IntArray:
    current = np.zeros((len(bins), BINS), np.int64)
    np.add.at(current, (np.arange(len(bins))[:, None], bins), 1)
    return current


def realised(e: FloatArray) -> dict[Loss, FloatArray]:
    mse = (e**2).mean(axis=1)
    return {Loss.MAE: np.abs(e).mean(axis=1), Loss.MSE: mse, Loss.RMSE: np.sqrt(mse)}


def test_means_variances_and_their_errors_are_numpys() -> None:
    bins, e = drawn(1, 2_000)

    found = learned(bins, e)

    for b in range(BINS):
        here = np.abs(e[bins == b])
        assert found.means[0, b] == pytest.approx(here.mean())
        assert found.means[1, b] == pytest.approx((here**2).mean())
        assert found.variances[0, b] == pytest.approx(here.var(ddof=1))
        assert found.errors[0, b] == pytest.approx(here.var(ddof=1) / len(here))


def test_the_reference_itself_gives_its_own_losses() -> None:
    bins, e = drawn(2, 2_000)

    found = estimated_losses(counted(bins[None]), learned(bins, e))

    for loss, shown in realised(e[None]).items():
        np.testing.assert_allclose(found[loss].value, shown, rtol=1e-12)


@pytest.mark.parametrize("beta", [0.3, 0.5, 1.0, 2.0, 8.0, 100.0])
def test_the_fourth_moment_is_that_of_the_generalised_normal_law(beta: float) -> None:
    law = gennorm(beta)
    absolute = law.expect(np.abs, epsabs=1e-10, limit=500)
    second = law.moment(2)

    found = fourth_moment_ratio(np.array([absolute**2 / second]))

    np.testing.assert_allclose(found, law.moment(4) / second**2, rtol=2e-3)


def test_errors_of_one_size_have_no_spread() -> None:
    events = np.array([4, 5])
    found = learn_loss(events, events * 3.0, events * 9.0)

    losses = estimated_losses(np.array([[7, 1]]), found)

    for loss, size in {Loss.MAE: 3.0, Loss.MSE: 9.0, Loss.RMSE: 3.0}.items():
        for part in losses[loss]:
            np.testing.assert_allclose(part, size)


def test_no_errors_at_all_are_expected_to_stay_away() -> None:
    found = learn_loss(np.array([4, 5]), np.zeros(2), np.zeros(2))
    for estimate in estimated_losses(np.array([[7, 1]]), found).values():
        for part in estimate:
            np.testing.assert_array_equal(part, 0.0)


def test_a_bin_of_one_event_is_taken_for_the_whole_known_as_by_one_event() -> None:
    bins, e = drawn(3, 500)
    bins = np.append(bins[bins > 1], 1)
    e = np.append(e[: len(bins) - 1], 40.0)
    size = np.abs(e)

    found = learned(bins, e)

    for b in (0, 1):
        assert found.means[0, b] == pytest.approx(size.mean())
        assert found.means[1, b] == pytest.approx((size**2).mean())
        assert found.variances[0, b] == pytest.approx(size.var(ddof=1))
        assert found.errors[0, b] == pytest.approx(size.var(ddof=1))


@pytest.mark.parametrize("leaning", [1.0, 3.0])
@pytest.mark.parametrize("law", ["normal", "laplace", "logistic"])
@pytest.mark.parametrize(("events", "n"), [(20_000, 500), (2_000, 2_000)])
def test_intervals_hold_what_labels_show(law: str, leaning: float, events: int, n: int) -> None:
    """With the reference's distribution over bins and another; few references err together."""
    held: dict[Loss, list[float]] = {loss: [] for loss in Loss}
    errors: dict[Loss, list[float]] = {loss: [] for loss in Loss}
    for seed in range(100):
        expected = learned(*drawn(seed, events, law=law))
        bins, e = drawn(1_000 + seed, (5, n), law=law, leaning=leaning)
        estimates = estimated_losses(counted(bins), expected)
        for loss, shown in realised(e).items():
            value, lower, upper = estimates[loss]
            held[loss].append(float(((lower <= shown) & (shown <= upper)).mean()))
            errors[loss].append(float((value / shown - 1).mean()))
    for loss in Loss:
        assert 0.9 < np.mean(held[loss]) < 0.99, loss
        # The mean of 1/shown is above 1 over the mean of shown.
        assert abs(np.mean(errors[loss])) < 0.4 * np.std(errors[loss]) + 0.003, loss


def test_a_shift_between_bins_is_followed() -> None:
    expected = learned(*drawn(1, 50_000))
    before, after = drawn(2, (1, 50_000)), drawn(3, (1, 50_000), leaning=4.0)

    first, second = (estimated_losses(counted(bins), expected) for bins, _ in (before, after))

    for loss in Loss:
        was, became = realised(before[1])[loss], realised(after[1])[loss]
        assert became[0] > 1.2 * was[0]
        np.testing.assert_allclose(first[loss].value, was, rtol=0.02)
        np.testing.assert_allclose(second[loss].value, became, rtol=0.02)


def test_errors_that_grow_within_bins_are_not_seen() -> None:
    """The limit: the same histogram, twice the error, the same estimate."""
    expected = learned(*drawn(1, 50_000))
    bins, e = drawn(2, (1, 5_000))

    found = estimated_losses(counted(bins), expected)

    for loss, shown in realised(2 * e).items():
        assert found[loss].upper[0] < 0.8 * shown[0]


def test_rows_without_events_are_nan_and_others_are_not_touched() -> None:
    expected = learned(*drawn(1, 2_000))
    current = np.zeros((2, BINS), np.int64)
    current[1, 3] = 10

    for estimate in estimated_losses(current, expected).values():
        for part in estimate:
            assert np.isnan(part[0])
            assert np.isfinite(part[1])


def test_losses_of_a_classifier_are_estimated_like_absolute_errors() -> None:
    """Log-loss by score bin: the estimate for the reference's own histogram is its mean."""
    rng = np.random.default_rng(4)
    score = rng.uniform(0.001, 0.999, 5_000)
    losses = -np.log(np.where(rng.random(5_000) < score, score, 1 - score))
    bins = (score * BINS).astype(np.int64)

    found = estimated_losses(counted(bins[None]), learned(bins, losses))[Loss.MAE]

    assert found.value[0] == pytest.approx(losses.mean())


ONES = np.ones(BINS)


@pytest.mark.parametrize(
    ("events", "absolute", "squared", "message"),
    [
        (np.ones(BINS + 1, np.int64), ONES, ONES, "bins"),
        (np.ones((1, BINS), np.int64), ONES[None], ONES[None], "bins"),
        (np.zeros(BINS, np.int64), 0 * ONES, 0 * ONES, "fewer than two"),
        (np.ones(BINS, np.int64), 2 * ONES, 3 * ONES, "no errors have"),
        (np.ones(BINS, np.int64), -ONES, ONES, "no errors have"),
    ],
)
def test_sums_that_are_none_are_refused(
    events: IntArray, absolute: FloatArray, squared: FloatArray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        learn_loss(events, absolute, squared)


def test_events_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=f"rows, {BINS}"):
        estimated_losses(np.ones((1, BINS + 1), np.int64), learned(*drawn(1, 100)))
