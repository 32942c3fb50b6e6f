"""The property of the product: the same events give the same counts, bit by bit.

Whatever the sizes of the polls, the number of partitions and the order in which the messages come
within the allowed disorder; with several models on the topic, models that nobody watches,
tombstones and messages that cannot be used in between.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.slices import MISSING_VALUE, RowKey
from streamgauge.core.snapshot import ModelSnapshot
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.taken import Counts
from tests.support.engines import Cells, published, windowed
from tests.support.flights import (
    MONTH,
    NOW,
    SECOND,
    T0,
    Sent,
    arrived,
    flights,
    planned,
    reference_of,
    run,
    send,
)

RNG = np.random.default_rng(11)
REFERENCE = reference_of(flights(RNG, 4_000, -MONTH, 0))
END_S = 200
KNOWN = ("flight-delay", "tours")


def planted(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Distances of one carrier in another unit from the middle on."""
    changed = []
    for event in events:
        features = dict(event.get("features", {}))
        late = event["timestamp"] >= T0 + 80 * SECOND
        if late and features.get("carrier") == "UA" and isinstance(features.get("distance"), float):
            features["distance"] *= 3
        changed.append({**event, "features": features} if features else dict(event))
    return changed


EVENTS = {
    "flight-delay": planted(flights(RNG, 500, 0, END_S)),
    "tours": flights(RNG, 250, 0, END_S, model="tours")
    + flights(RNG, 100, 90, END_S, model="tours", version="4"),
    "learning": flights(RNG, 300, 0, END_S, model="learning"),
}
STRANGERS = [send(event) for event in flights(RNG, 40, 0, END_S, model="nobody's")]
GOOD = [send(event) for events in EVENTS.values() for event in events]
BROKEN = [
    Sent(T0 + 1_000 * i, f"b{i}", value, key)
    for i, (value, key) in enumerate(
        [
            (b"not json", b"b"),
            (b"[1]", b"b"),
            (b'{"model": "flight-delay"}', b"b"),
            (GOOD[0].value, b"another key"),
            (GOOD[1].value, None),
        ]
        * 5
    )
]
TOMBSTONES = [Sent(T0 + 2_000 * i, f"t{i}", None, b"t") for i in range(9)]
EVERYTHING = [*GOOD, *STRANGERS, *BROKEN, *TOMBSTONES]


class Outcome(NamedTuple):
    """What is published, without floating-point sums."""

    counts: Counts
    cells: dict[str, Cells]
    windows: dict[str, dict[str, tuple[int | None, Cells]]]
    unseen: dict[str, Mapping[str, object]]
    alerts: list[tuple[Any, ...]]


class Run(NamedTuple):
    outcome: Outcome
    served: dict[str, Counter[tuple[RowKey, bool]]]
    """Per model, events by row and by whether they were served."""


def processed(seed: int, partitions: int, sizes: Sequence[int]) -> Run:
    pipeline = Pipeline(planned(REFERENCE, known=KNOWN, learned={"learning": "1m"}))
    messages = arrived(EVERYTHING, partitions, np.random.default_rng(seed))
    alerts = run(pipeline, messages, partitions, sizes)
    windows = {name: windowed(pipeline.engines[name]) for name in KNOWN}
    for engine in pipeline.engines.values():
        engine._track.windows = (
            engine._fine.windows
        ) = []  # read already, and most of the work of a snapshot
    models = {model.model: model for model in pipeline.snapshot(NOW).models}
    assert all(model.late_events == 0 for model in models.values())
    revisions: list[tuple[Any, ...]] = [
        (a.alert_id, a.revision, a.status, a.slice, a.subject, a.onset, a.starts_at, a.samples)
        for a in alerts
    ]
    # Alerts of different models come in the order of the polls.
    revisions.sort(key=lambda revision: revision[:2])
    outcome = Outcome(
        pipeline.counts,
        # The bins of a learned model were fitted to what came first.
        {name: published(models[name]) for name in KNOWN},
        windows,
        {name: dict(models[name].unseen_values) for name in KNOWN},
        revisions,
    )
    return Run(outcome, {name: served(model) for name, model in models.items()})


def served(model: ModelSnapshot) -> Counter[tuple[RowKey, bool]]:
    assert model.layout is not None
    start = model.layout.cells(0).start
    found: Counter[tuple[RowKey, bool]] = Counter()
    for row, counts in published(model).items():
        found[row, True] += counts[start]
        found[row, False] += counts[start + 1]
    return +found


def sent(model: str) -> Counter[tuple[RowKey, bool]]:
    """The same, counted from what was sent."""
    found: Counter[tuple[RowKey, bool]] = Counter()
    for event in EVENTS[model]:
        carrier = event.get("features", {}).get("carrier", MISSING_VALUE)
        region = event.get("tags", {}).get("region", MISSING_VALUE)
        crossed = (("carrier", carrier), ("region", region))
        for key in ((), crossed[:1], crossed):
            found[RowKey(event["model_version"], key), event["status"] == "ok"] += 1
    return found


EXPECTED = processed(0, 1, [100_000]).outcome


@settings(max_examples=12)
@given(
    st.integers(0, 2**32),
    st.integers(1, 7),
    st.lists(st.integers(1, 400), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 40),
)
def test_any_arrival_of_the_same_messages_gives_the_same_bits(
    seed: int, partitions: int, sizes: list[int]
) -> None:
    found = processed(seed, partitions, sizes)
    for part, expected in zip(found.outcome, EXPECTED, strict=True):
        assert part == expected
    assert found.served["learning"] == sent("learning")


def test_the_planted_fault_is_among_what_is_the_same() -> None:
    assert any(revision[3] == (("carrier", "UA"),) for revision in EXPECTED.alerts)


def test_published_counts_add_up_to_the_events_that_were_sent() -> None:
    assert processed(3, 4, [60]).served == {model: sent(model) for model in EVENTS}


def test_every_message_is_accounted_for() -> None:
    """Consumed = accepted + rejected + of unknown models + tombstones."""
    counts = EXPECTED.counts
    assert counts.consumed == len(EVERYTHING)
    assert counts.accepted == len(GOOD)
    assert counts.unknown_models == len(STRANGERS)
    assert counts.tombstones == len(TOMBSTONES)
    assert counts.rejected == {"decode": 5, "schema": 10, "key": 10}
    assert sum(counts.rejected.values()) == len(BROKEN)
