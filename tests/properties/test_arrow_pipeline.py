"""The same events give the same results whether they come in JSON or in Arrow batches.

The oracle is the pipeline on the JSON messages: counts, published cells, windows, alerts, the join
and dead letters are the same bit by bit, whichever events are gathered in whatever batches.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.config.parts import DeadLetterPayload
from streamgauge.runner.dead_letters import PREFIX, StormWatch, dead_letters
from streamgauge.runner.pipeline import Pipeline
from tests.support.arrow_messages import Message, gathered, polled, sources
from tests.support.engines import published, windowed
from tests.support.flights import MONTH, NOW, T0, flights, planned, reference_of
from tests.support.label_checks import join_counts
from tests.support.label_streams import MODELS, PREDICTIONS, arrived, begun, draw, numbered, settle

RNG = np.random.default_rng(5)
REFERENCE = reference_of(flights(RNG, 4_000, -MONTH, 0))
END_S = 60
KNOWN = ("flight-delay", "tours")
FAULTS: Sequence[dict[str, Any]] = (
    {"score": 1.5},
    {"timestamp": 5},
    {"timestamp": T0 + 10**9},
    {"latency_ms": -1.0},
    {"model_version": "a\0"},
    {"prediction": None, "status": "ok"},
    {"features": None, "status": "ok"},
    {"prediction_id": ""},
    {"status": "x" * 80},
)


def _messages(partitions: int) -> list[Message]:
    events = flights(RNG, 250, 0, END_S) + flights(RNG, 120, 0, END_S, model="tours")
    events += flights(RNG, 40, 0, END_S, model="nobody's")
    events += flights(RNG, 90, 0, END_S, model="learning")
    events.sort(key=lambda event: int(event["timestamp"]))
    for number, event in enumerate(events[::20]):
        event |= FAULTS[number % len(FAULTS)]
    found = []
    for number, event in enumerate(events):
        name = str(event["prediction_id"]).encode()
        partition = crc32(name) % partitions
        if number % 50 == 0:
            found.append(Message(partition, b"t", None))
        if number % 70 == 0:
            found.append(Message(partition, b"b", b"not json"))
        found.append(Message(partition, name, json.dumps(event).encode()))
    return found


class Result(NamedTuple):
    counts: dict[str, Any]
    cells: dict[str, Any]
    windows: dict[str, Any]
    alerts: list[tuple[Any, ...]]
    learned: list[int]
    letters: Counter[Any]


def _plain(value: Any) -> Any:
    """A document without nulls, which are as good as absent."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    return value


def _letters(read: Sequence[Any], rejected: Sequence[Any]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for letter in dead_letters(read, rejected, DeadLetterPayload.FULL):
        facts = {name: value for name, value in letter.headers if name.startswith(PREFIX)}
        try:
            document = json.dumps(_plain(json.loads(letter.value or b"")), sort_keys=True)
        except ValueError:
            document = repr(letter.value)
        found[letter.key, facts[PREFIX + "reason"], facts[PREFIX + "field"], document] += 1
    return found


def _run(messages: Sequence[Message], partitions: int, sizes: Sequence[int]) -> Result:
    pipeline = Pipeline(planned(REFERENCE, known=KNOWN, learned={"learning": "10h"}))
    pipeline.assign([(PREDICTIONS, i) for i in range(partitions)], NOW)
    storm = StormWatch(pipeline._plan.config.events.dead_letter_storm)
    alerts: list[Any] = []
    letters: Counter[Any] = Counter()
    read, begin, turn = sources(messages), 0, 0
    while begin < len(read):
        some = read[begin : begin + sizes[turn % len(sizes)]]
        before = pipeline.counts.consumed
        outcome = pipeline.process(polled(some), frozenset(), NOW)
        events = len(some) if outcome.sizes is None else int(outcome.sizes.sum())
        assert pipeline.counts.consumed - before == events
        storm.observe(len(some), outcome.rejected, outcome.sizes)
        letters += _letters(some, outcome.rejected)
        alerts += outcome.alerts
        begin, turn = begin + len(some), turn + 1
    everyone = frozenset(range(partitions))
    alerts += pipeline.process(polled([]), everyone, NOW + 1_000).alerts
    counts = pipeline.counts
    total = counts.accepted + sum(counts.rejected.values())
    assert counts.consumed == total + counts.unknown_models + counts.tombstones
    assert sum(counts.rejected.values()) == letters.total()
    windows = {name: windowed(pipeline.engines[name]) for name in KNOWN}
    for engine in pipeline.engines.values():
        engine._track.windows = (
            engine._fine.windows
        ) = []  # read already, and most of the work of a snapshot
    models = {model.model: model for model in pipeline.snapshot(NOW).models}
    told = [(a.alert_id, a.revision, a.status, a.slice, a.onset, a.samples) for a in alerts]
    # What bins are fitted to depends on which messages came before each fit.
    learned = published(models["learning"])
    layout = models["learning"].layout
    assert layout is not None
    served = [sum(counts[layout.cells(0)]) for _, counts in sorted(learned.items(), key=repr)]
    return Result(
        asdict(counts),
        {name: published(models[name]) for name in KNOWN},
        windows,
        sorted(told, key=repr),
        served,
        letters,
    )


MESSAGES = {partitions: _messages(partitions) for partitions in (1, 3)}
EXPECTED = {n: _run(messages, n, [70]) for n, messages in MESSAGES.items()}


def test_there_is_something_to_compare() -> None:
    counts = EXPECTED[3].counts
    assert set(counts["rejected"]) == {"decode", "schema", "timestamp"}
    assert min(counts["accepted"], counts["unknown_models"], counts["tombstones"]) >= 10
    assert sum(EXPECTED[3].learned) > 70
    mixed = gathered(MESSAGES[3], np.random.default_rng(1), [20], 0.9)
    assert sum(message.headers is not None for message in mixed) > 20


@settings(max_examples=5)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 3]),
    st.lists(st.integers(1, 60), min_size=1, max_size=3),
    st.sampled_from([0.5, 0.9, 0.99]),
    st.lists(st.integers(3, 90), min_size=1, max_size=3),
)
def test_events_in_any_batches_give_the_same_as_in_json(
    seed: int, partitions: int, rows: list[int], share: float, sizes: list[int]
) -> None:
    mixed = gathered(MESSAGES[partitions], np.random.default_rng(seed), rows, share)
    found = _run(mixed, partitions, sizes)
    for part, expected in zip(found, EXPECTED[partitions], strict=True):
        assert part == expected


def _joined(polls: Sequence[Sequence[Message]], partitions: int) -> Pipeline:
    pipeline = begun(partitions)
    read = sources([message for poll in polls for message in poll])
    for poll in polls:
        some, read = read[: len(poll)], read[len(poll) :]
        assert not pipeline.process(polled(some), frozenset(), NOW).rejected
    settle(pipeline, partitions)
    return pipeline


@settings(max_examples=3)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(5, 200))
def test_predictions_in_batches_find_their_labels(seed: int, partitions: int, size: int) -> None:
    places = {place: number for number, place in enumerate(numbered(partitions))}
    messages = [
        Message(places[e.topic, e.partition], e.name.encode(), json.dumps(e.body).encode())
        for e in arrived(draw(seed, 30, 200), partitions, seed)
    ]
    rng = np.random.default_rng(seed)
    plain = [messages[begin : begin + size] for begin in range(0, len(messages), size)]
    # Batches end with their poll, in which predictions come before labels in any case: so both
    # pipelines get everything in the same order.
    mixed = [
        gathered([m for m in poll if m.partition < partitions], rng, [2, 5, 9], 0.9)
        + [m for m in poll if m.partition >= partitions]
        for poll in plain
    ]
    found, expected = _joined(mixed, partitions), _joined(plain, partitions)
    for model in MODELS:
        assert join_counts(found.engines[model]) == join_counts(expected.engines[model])
    assert asdict(found.counts) == asdict(expected.counts)
