"""Estimated figures of classifiers against scikit-learn's, and against labels drawn as they say."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn import metrics

from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.estimation.calibration import Calibration, learn, split
from streamgauge.core.estimation.cbpe import Metric, estimated_metrics, expected_outcomes

BINS = 50
SCORES = (np.arange(BINS) + 0.5) / BINS
THRESHOLD = 20
"""First score bin that is predicted positive."""
REFERENCE = (0.7, 0.9)
"""Parameters of the beta law of scores."""


def truth(scores: FloatArray) -> FloatArray:
    rates: FloatArray = 0.03 + 0.9 * scores**1.5
    return rates


def known(rates: FloatArray) -> Calibration:
    """A calibration without error."""
    starts = np.arange(BINS, dtype=np.int64)
    return Calibration(SCORES, rates, starts, np.zeros(BINS), isotonic=True, ece=0.0)


def drawn_bins(rng: np.random.Generator, law: tuple[float, float], shape: Any) -> IntArray:
    bins: IntArray = np.minimum(rng.beta(*law, shape) * BINS, BINS - 1).astype(np.int64)
    return bins


def learned(seed: int, events: int) -> Calibration:
    """A calibration from a reference of events drawn with the true rates."""
    rng = np.random.default_rng(seed)
    bins = drawn_bins(rng, REFERENCE, events)
    labels = rng.random(events) < truth(SCORES[bins])
    counts = np.bincount(labels * BINS + bins, minlength=2 * BINS).reshape(2, BINS)
    return learn(split(counts), SCORES)


class Drawn(NamedTuple):
    """Events `(rows, n)` and their counts `(rows, 2, bins)`."""

    bins: IntArray
    labels: IntArray
    current: IntArray


def drawn(
    seed: int,
    rows: int,
    n: int,
    law: tuple[float, float] = REFERENCE,
    rates: Callable[[FloatArray], FloatArray] = truth,
) -> Drawn:
    rng = np.random.default_rng(1_000_000 + seed)
    bins = drawn_bins(rng, law, (rows, n))
    labels = (rng.random((rows, n)) < rates(SCORES[bins])).astype(np.int64)
    current = np.zeros((rows, 2, BINS), np.int64)
    np.add.at(current, (np.arange(rows)[:, None], (bins >= THRESHOLD).astype(int), bins), 1)
    return Drawn(bins, labels, current)


def _share(part: Any, whole: Any) -> FloatArray:
    share: FloatArray = part.sum(axis=1) / whole.sum(axis=1)
    return share


def _auc(labels: IntArray, bins: IntArray) -> FloatArray:
    rows = np.arange(len(bins))[:, None] * BINS
    positive, every = (
        np.bincount((rows + bins).ravel(), w.ravel(), len(bins) * BINS).reshape(-1, BINS)
        for w in (labels, np.ones(labels.shape))
    )
    negative = every - positive
    wins = (positive * (np.cumsum(negative, axis=1) - negative / 2)).sum(axis=1)
    area: FloatArray = wins / (positive.sum(axis=1) * negative.sum(axis=1))
    return area


def _log_loss(labels: IntArray, bins: IntArray) -> FloatArray:
    losses = -np.log(np.where(labels, SCORES[bins], 1 - SCORES[bins]))
    mean: FloatArray = losses.mean(axis=1)
    return mean


REALISED: dict[Metric, Callable[[Any, IntArray], Any]] = {
    Metric.ACCURACY: lambda y, b: (y == (b >= THRESHOLD)).mean(axis=1),
    Metric.PRECISION: lambda y, b: _share(y & (b >= THRESHOLD), b >= THRESHOLD),
    Metric.RECALL: lambda y, b: _share(y & (b >= THRESHOLD), y),
    Metric.SPECIFICITY: lambda y, b: _share((1 - y) * (b < THRESHOLD), 1 - y),
    Metric.F1: lambda y, b: (
        2 * (y & (b >= THRESHOLD)).sum(axis=1) / (y.sum(axis=1) + (b >= THRESHOLD).sum(axis=1))
    ),
    Metric.AUC: _auc,
    Metric.BRIER: lambda y, b: ((y - SCORES[b]) ** 2).mean(axis=1),
    Metric.LOG_LOSS: _log_loss,
}


def realised(events: Drawn) -> dict[Metric, FloatArray]:
    """What the labels show, `(rows,)`."""
    return {metric: show(events.labels, events.bins) for metric, show in REALISED.items()}


def by_scikit_learn(events: Drawn) -> dict[Metric, FloatArray]:
    """What the labels show, by scikit-learn, `(rows,)`."""
    found: dict[Metric, list[float]] = {metric: [] for metric in Metric}
    for bins, y in zip(events.bins, events.labels, strict=True):
        s, predicted = SCORES[bins], bins >= THRESHOLD
        found[Metric.ACCURACY].append(metrics.accuracy_score(y, predicted))
        found[Metric.PRECISION].append(metrics.precision_score(y, predicted))
        found[Metric.RECALL].append(metrics.recall_score(y, predicted))
        found[Metric.SPECIFICITY].append(metrics.recall_score(y, predicted, pos_label=0))
        found[Metric.F1].append(metrics.f1_score(y, predicted))
        found[Metric.AUC].append(metrics.roc_auc_score(y, s))
        found[Metric.BRIER].append(metrics.brier_score_loss(y, s))
        found[Metric.LOG_LOSS].append(metrics.log_loss(y, s))
    return {metric: np.array(values) for metric, values in found.items()}


def test_certain_rates_give_scikit_learns_figures_and_no_interval() -> None:
    rates = (np.random.default_rng(2).random(BINS) < SCORES).astype(float)
    events = drawn(seed=1, rows=4, n=300, rates=lambda s: rates[(s * BINS).astype(int)])

    found = estimated_metrics(events.current, known(rates))

    shown = realised(events)
    for metric, expected in by_scikit_learn(events).items():
        for part in (*found[metric], shown[metric]):
            np.testing.assert_allclose(part, expected, rtol=1e-12, err_msg=metric)


def test_expected_outcomes_are_sums_over_events() -> None:
    events = drawn(seed=3, rows=3, n=200)
    c = truth(SCORES)[events.bins]
    yes = events.bins >= THRESHOLD

    found = expected_outcomes(events.current, known(truth(SCORES)))

    np.testing.assert_allclose(found.tp, (c * yes).sum(axis=1))
    np.testing.assert_allclose(found.fp, ((1 - c) * yes).sum(axis=1))
    np.testing.assert_allclose(found.fn, (c * ~yes).sum(axis=1))
    np.testing.assert_allclose(found.tn, ((1 - c) * ~yes).sum(axis=1))


def test_expected_outcomes_add_over_panes_and_slices() -> None:
    panes = drawn(seed=4, rows=6, n=200).current
    calibration = learned(seed=4, events=5_000)

    whole = expected_outcomes(panes.sum(axis=0, keepdims=True), calibration)

    for total, parts in zip(whole, expected_outcomes(panes, calibration), strict=True):
        np.testing.assert_allclose(total, parts.sum())


def test_rows_do_not_touch_each_other() -> None:
    current = drawn(seed=5, rows=3, n=200).current
    calibration = learned(seed=5, events=5_000)

    together = estimated_metrics(current, calibration)

    for row in range(3):
        alone = estimated_metrics(current[row : row + 1], calibration)
        for metric in Metric:
            for one, all_rows in zip(alone[metric], together[metric], strict=True):
                np.testing.assert_allclose(one[0], all_rows[row], rtol=1e-12)


@pytest.mark.parametrize("metric", list(Metric))
def test_figures_vary_as_stated_around_the_estimate_when_rates_are_known(metric: Metric) -> None:
    """One histogram, its labels drawn 2,000 times."""
    n, times = 1_000, 2_000
    bins = np.tile(drawn_bins(np.random.default_rng(6), REFERENCE, n), (times, 1))
    labels = (np.random.default_rng(7).random((times, n)) < truth(SCORES[bins])).astype(int)
    current = drawn(seed=0, rows=1, n=1).current * 0
    np.add.at(current[0], ((bins[0] >= THRESHOLD).astype(int), bins[0]), 1)

    found = estimated_metrics(current, known(truth(SCORES)), level=0.6827)[metric]

    shown = REALISED[metric](labels, bins)
    assert found.value[0] == pytest.approx(shown.mean(), abs=5 * shown.std() / times**0.5 + 1e-4)
    assert (found.upper - found.lower)[0] / 2 == pytest.approx(shown.std(), rel=0.08)


@pytest.fixture(scope="module")
def coverage() -> dict[tuple[int, Metric], tuple[FloatArray, FloatArray, FloatArray]]:
    """By reference size: estimate, truth and whether it was held, over 100 references of 5 rows."""
    found = {}
    for events in (3_000, 30_000):
        parts: dict[Metric, list[Any]] = {metric: [] for metric in Metric}
        for seed in range(100):
            now = drawn(seed, rows=5, n=1_000)
            estimates = estimated_metrics(now.current, learned(seed, events))
            for metric, shown in realised(now).items():
                value, lower, upper = estimates[metric]
                parts[metric].append((value, shown, (lower <= shown) & (shown <= upper)))
        for metric in Metric:
            value, shown, held = (np.concatenate(x) for x in zip(*parts[metric], strict=True))
            found[events, metric] = value, shown, held
    return found


@pytest.mark.parametrize("events", [3_000, 30_000])
@pytest.mark.parametrize("metric", list(Metric))
def test_intervals_hold_what_labels_show(
    coverage: dict[tuple[int, Metric], tuple[FloatArray, FloatArray, FloatArray]],
    metric: Metric,
    events: int,
) -> None:
    """What isotonic regression learns on few events leans to the optimistic side a little."""
    value, shown, held = coverage[events, metric]

    assert held.mean() > (0.9 if events < 10_000 else 0.92)
    assert held.mean() < 0.995
    error = (value - shown).reshape(100, 5).mean(axis=1)
    assert abs(error.mean()) < 3 * error.std() / 10 + 0.4 * error.std()


def test_a_shift_of_the_scores_is_followed() -> None:
    """Accuracy rises where scores leave the middle, without a label being seen."""
    calibration = learned(seed=9, events=30_000)
    before = drawn(seed=9, rows=1, n=50_000)
    after = drawn(seed=10, rows=1, n=50_000, law=(0.2, 0.9))

    first, second = (estimated_metrics(x.current, calibration) for x in (before, after))
    was, became = realised(before), realised(after)

    for metric in Metric:
        moved = became[metric] - was[metric]
        assert abs(moved[0]) > 0.01
        assert second[metric].value - first[metric].value == pytest.approx(moved, abs=0.008)
        assert second[metric].lower[0] <= became[metric][0] <= second[metric].upper[0]


def test_a_change_of_the_concept_is_not_seen() -> None:
    """The limit: the same scores, other labels, the same estimate, far from the truth."""
    calibration = learned(seed=11, events=30_000)
    before = drawn(seed=12, rows=1, n=50_000)
    after = drawn(seed=12, rows=1, n=50_000, rates=lambda s: 0.75 * truth(s))

    found = estimated_metrics(after.current, calibration)

    for metric in (Metric.PRECISION, Metric.RECALL, Metric.AUC, Metric.BRIER):
        unchanged = estimated_metrics(before.current, calibration)[metric].value
        np.testing.assert_array_equal(found[metric].value, unchanged)
    gap = found[Metric.PRECISION].value - realised(after)[Metric.PRECISION]
    assert gap[0] > 0.1
    assert found[Metric.PRECISION].lower[0] > realised(after)[Metric.PRECISION][0]


def test_scores_the_reference_never_held_widen_the_interval() -> None:
    counts = np.zeros((2, BINS), np.int64)
    counts[:, :10] = [[900], [100]]
    calibration = learn(split(counts), SCORES)
    current = np.zeros((2, 2, BINS), np.int64)
    current[0, 0, 5] = current[1, 1, 40] = 10_000

    _, lower, upper = estimated_metrics(current, calibration)[Metric.ACCURACY]

    assert upper[0] - lower[0] < 0.05
    assert upper[1] - lower[1] > 0.5


def test_what_is_not_defined_is_nan() -> None:
    current = np.zeros((3, 2, BINS), np.int64)
    current[1, 0, 5] = 10  # none predicted positive
    current[2, 1, :5] = 10  # no positives expected
    rates = np.where(np.arange(BINS) < 5, 0.0, 0.5)

    found = estimated_metrics(current, known(rates))

    nan = {
        0: set(Metric),
        1: {Metric.PRECISION},
        2: {Metric.RECALL, Metric.AUC},
    }
    for row, undefined in nan.items():
        for metric in Metric:
            parts = [part[row] for part in found[metric]]
            assert np.isnan(parts).all() == (metric in undefined), (row, metric)
            assert np.isnan(parts).any() == (metric in undefined), (row, metric)


def test_intervals_of_shares_stay_between_0_and_1() -> None:
    current = np.zeros((1, 2, BINS), np.int64)
    current[0, 0, 1] = current[0, 1, -2] = 2

    found = estimated_metrics(current, known(SCORES))

    for metric in set(Metric) - {Metric.LOG_LOSS}:
        assert 0 <= found[metric].lower[0] <= found[metric].upper[0] <= 1
    assert found[Metric.ACCURACY].upper[0] == 1
    assert found[Metric.BRIER].lower[0] == 0


def test_a_narrower_level_gives_a_narrower_interval() -> None:
    current = drawn(seed=13, rows=1, n=500).current
    wide, narrow = (
        estimated_metrics(current, known(truth(SCORES)), level=level)[Metric.F1]
        for level in (0.95, 0.5)
    )
    assert wide.lower < narrow.lower < narrow.value < narrow.upper < wide.upper


@pytest.mark.parametrize("shape", [(2, BINS), (1, 2, BINS + 1), (1, 3, BINS)])
def test_events_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"rows, 2, {BINS}"):
        estimated_metrics(np.zeros(shape, np.int64), known(SCORES))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_probability_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        estimated_metrics(np.ones((1, 2, BINS), np.int64), known(SCORES), level=level)
