"""Labels in split roles: joined by several workers, they count as in one process."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.formats.messages import RawMessages
from streamgauge.runner.workers.analysis import Analysis
from streamgauge.runner.workers.counting import Counting, held
from tests.properties.test_label_pipeline import expected
from tests.properties.test_label_pipeline import held as counted
from tests.support.label_checks import assert_counted, assert_joined
from tests.support.label_judge import judge
from tests.support.label_streams import MODELS, NOW, arrived, draw, numbered, planned, polls
from tests.support.workers import partials

PLAN = planned()


class Fleet:
    """Workers that share label and prediction partitions by number, and their analysis."""

    def __init__(self, partitions: int, workers: int) -> None:
        inputs = numbered(partitions)
        self.analysis = Analysis(PLAN)
        self.analysis.assign(inputs, NOW)
        self.workers: list[Counting] = []
        self._numbers: list[dict[int, int]] = []
        for worker in range(workers):
            tokens = frozenset(range(worker, partitions, workers))
            mine = held(inputs, tokens)
            counting = Counting(PLAN, f"w{worker}")
            counting.assign(mine, NOW)
            self.workers.append(counting)
            self._numbers.append({inputs.index(partition): i for i, partition in enumerate(mine)})

    def count(self, messages: RawMessages) -> None:
        """Let every worker take in its share of a poll."""
        for counting, numbers in zip(self.workers, self._numbers, strict=True):
            mine = messages.take(np.flatnonzero(np.isin(messages.partition, [*numbers])))
            places = [numbers[p] for p in mine.partition.tolist()]
            renamed = RawMessages(
                mine.values,
                mine.keys,
                np.array(places, np.int32),
                mine.offset,
                mine.broker_timestamp,
            )
            assert not counting.process(renamed, frozenset(), NOW).rejected

    def ship(self, worker: int) -> None:
        values = [value for _, value in self.workers[worker].ship()]
        self.analysis.process(partials(values), frozenset(), NOW)

    def settle(self) -> None:
        """Let all fall silent, until the last events' panes are closed."""
        nothing = RawMessages([], [], *(np.empty(0, kind) for kind in (np.int32, np.int64, int)))
        values = []
        for worker, counting in enumerate(self.workers):
            self.ship(worker)
            counting.process(nothing, frozenset(range(len(self._numbers[worker]))), NOW + 1_000)
            values += [value for _, value in counting.ship()]
        self.analysis.process(partials(values), frozenset(), NOW + 1_000)


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.integers(30, 400), min_size=1, max_size=3),
    st.lists(st.integers(0, 2), min_size=1, max_size=5),
)
def test_labels_joined_by_workers_count_as_those_of_one_process(
    seed: int, partitions: int, workers: int, sizes: Sequence[int], shipments: Sequence[int]
) -> None:
    events = arrived(draw(3, 80, 200), partitions, seed)
    fleet = Fleet(partitions, workers)
    for turn, messages in enumerate(polls(events, partitions, sizes)):
        fleet.count(messages)
        fleet.ship(shipments[turn % len(shipments)] % workers)
    fleet.settle()
    assert counted(fleet.analysis) == expected(partitions)
    for model in MODELS:
        judged = judge(events, model)
        assert_joined(fleet.analysis.engines[model], judged)
        assert_counted(fleet.analysis.engines[model], judged)
