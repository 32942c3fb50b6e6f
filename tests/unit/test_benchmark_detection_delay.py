"""Parts of the benchmark of delays: the oracle, and how runs are counted."""

import numpy as np
import pytest
from scipy.special import rel_entr

from benchmarks.change_detectors import Glr, Setting
from benchmarks.detection_delay import Records, delays_of, null_records
from streamgauge.core.batch import BoolArray, FloatArray, IntArray


def best_of_all_starts(counts: IntArray, setting: Setting) -> float:
    """The largest N·KL over all panes at which the change may have begun, one run `(T,)`."""
    present = np.cumsum(counts[::-1])
    events = setting.n * np.arange(1, len(counts) + 1)
    share = present / events
    divergence = rel_entr(share, setting.p) + rel_entr(1.0 - share, 1.0 - setting.p)
    return float((events * divergence).max())


@pytest.mark.parametrize("setting", [Setting(100, 0.5), Setting(1000, 0.1), Setting(3, 0.2)])
def test_the_oracle_is_the_maximum_over_all_starts_also_when_runs_end(setting: Setting) -> None:
    rng = np.random.default_rng(5)
    counts = rng.binomial(setting.n, setting.p, (20, 150))
    counts[:5, 80:] = rng.binomial(setting.n, setting.p + 0.5 * setting.sigma, (5, 70))
    oracle = Glr(setting, 20)
    kept = np.arange(20)
    for pane in range(150):
        if pane == 60:
            oracle.keep(np.arange(20) % 3 > 0)
            kept = kept[kept % 3 > 0]
        found = oracle.step(counts[kept, pane])
        wanted = [best_of_all_starts(run, setting) for run in counts[kept, : pane + 1]]
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_a_run_lasts_until_its_first_record_over_the_threshold() -> None:
    records = Records(
        run=np.array([0, 1, 0, 1, 0]),
        pane=np.array([1, 1, 4, 6, 9]),
        value=np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
    )
    assert records.lengths(2.0).tolist() == [4, 1]
    assert records.lengths(3.5).tolist() == [9, 6]


class Count:
    """Counts panes, and starts `head` panes ahead in odd runs."""

    def __init__(self, runs: int, head: int) -> None:
        self.panes = np.where(np.arange(runs) % 2, head, 0).astype(np.float64)

    def step(self, counts: IntArray) -> FloatArray:
        assert len(counts) == len(self.panes)
        self.panes += 1.0
        return self.panes.copy()

    def keep(self, chosen: BoolArray) -> None:
        self.panes = self.panes[chosen]


def test_null_runs_end_each_at_its_own_pane() -> None:
    records = null_records(lambda _, runs: Count(runs, 10), Setting(10, 0.5), 4, seed=1, cap=30.0)
    assert records.lengths(30.0).tolist() == [30, 20, 30, 20]


def test_a_delay_counts_from_the_change_and_is_nan_after_an_early_alarm() -> None:
    delays = delays_of(lambda _, runs: Count(runs, 10), Setting(10, 0.5), 107.0, 1.0, 4)
    np.testing.assert_array_equal(delays, [7.0, np.nan, 7.0, np.nan])
