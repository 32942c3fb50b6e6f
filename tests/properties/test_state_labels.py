"""The property of recovery for labels: pairs, cohorts and estimates go on where they were.

Predictions and labels of three models, as in `test_label_pipeline`; cut at any poll.
"""

from collections.abc import Sequence

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamgauge.runner.pipeline import Pipeline
from tests.support import label_streams
from tests.support.restarts import Disk, Step, assert_goes_on, assert_tokens_tell

SIZES = st.lists(st.integers(50, 300), min_size=1, max_size=3)
"""Sizes of polls."""
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""No shrinking: whatever the stream, the first part that differs tells more than a short one."""


def label_pipeline(disk: Disk) -> Pipeline:
    return Pipeline(label_streams.planned(time={"grace": "40s"}), disk)


def label_steps(seed: int, partitions: int, sizes: Sequence[int]) -> list[Step]:
    events = label_streams.arrived(label_streams.draw(seed, 50, 150), partitions, seed)
    steps = [Step(poll) for poll in label_streams.polls(events, partitions, sizes)]
    end = Step(
        label_streams.raw([], partitions),
        frozenset(range(2 * partitions)),
        label_streams.NOW + 1_000,
    )
    return [*steps, end]


@settings(max_examples=3, phases=PHASES)
@given(st.integers(0, 2**32), st.integers(1, 3), SIZES, st.floats(0.0, 1.0), st.integers(1, 6))
def test_labels_go_on_where_they_were(
    seed: int, partitions: int, sizes: list[int], cut: float, every: int
) -> None:
    steps = label_steps(seed, partitions, sizes)
    names = label_streams.numbered(partitions)
    assert_goes_on(label_pipeline, names, steps, round(cut * len(steps)), every)


@settings(max_examples=3, phases=PHASES)
@given(st.integers(0, 2**32), SIZES, st.integers(1, 3))
def test_a_part_with_the_same_token_has_the_same_data(
    seed: int, sizes: list[int], every: int
) -> None:
    steps = label_steps(seed, 1, sizes)
    assert_tokens_tell(label_pipeline, label_streams.numbered(1), steps, every)
