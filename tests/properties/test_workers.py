"""Split roles come to the same as one process: however events and shipments are shared out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import without_labels
from streamgauge.runner.taken import Counts
from tests.properties.test_pipeline import EVERYTHING, KNOWN, REFERENCE
from tests.support.engines import Cells, published, windowed
from tests.support.flights import NOW, arrived, planned, run
from tests.support.workers import Fleet

PLAN = without_labels(planned(REFERENCE, known=KNOWN))


class Found(NamedTuple):
    """What is published, without floating-point sums."""

    counts: Counts
    cells: dict[str, Cells]
    windows: dict[str, dict[str, tuple[int | None, Cells]]]
    unseen: dict[str, Mapping[str, object]]
    last_events: dict[str, int | None]
    alerts: list[tuple[Any, ...]]


def found(pipeline: Pipeline, alerts: list[Any]) -> Found:
    windows = {name: windowed(pipeline.engines[name]) for name in KNOWN}
    for engine in pipeline.engines.values():
        engine._track.windows = (
            engine._fine.windows
        ) = []  # read already, and most of the work of a snapshot
    models = {model.model: model for model in pipeline.snapshot(NOW).models}
    assert all(model.late_events == 0 for model in models.values())
    revisions = [
        (a.alert_id, a.revision, a.status, a.slice, a.subject, a.onset, a.starts_at, a.samples)
        for a in alerts
    ]
    return Found(
        pipeline.counts,
        {name: published(models[name]) for name in KNOWN},
        windows,
        {name: dict(models[name].unseen_values) for name in KNOWN},
        {name: models[name].last_event for name in KNOWN},
        sorted(revisions, key=lambda revision: revision[:2]),
    )


def one_process() -> Found:
    pipeline = Pipeline(PLAN)
    messages = arrived(EVERYTHING, 1, np.random.default_rng(0))
    return found(pipeline, run(pipeline, messages, 1, [100_000]))


EXPECTED = one_process()


@settings(max_examples=12)
@given(
    st.integers(0, 2**32),
    st.integers(1, 7),
    st.integers(1, 4),
    st.lists(st.integers(20, 400), min_size=1, max_size=4),
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
)
def test_workers_come_to_what_one_process_comes_to(
    seed: int, partitions: int, workers: int, sizes: list[int], shipments: list[int]
) -> None:
    fleet = Fleet(PLAN, partitions, workers)
    messages = arrived(EVERYTHING, partitions, np.random.default_rng(seed))
    begin = turn = 0
    while begin < len(messages):
        size = sizes[turn % len(sizes)]
        fleet.count(messages[begin : begin + size])
        fleet.ship(shipments[turn % len(shipments)] % workers)
        begin, turn = begin + size, turn + 1
    fleet.finish()
    for part, expected in zip(found(fleet.analysis, fleet.alerts), EXPECTED, strict=True):
        assert part == expected


def test_there_are_alerts_among_what_is_the_same() -> None:
    assert EXPECTED.alerts
