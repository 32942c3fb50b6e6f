"""State of models whose reference is learned: it goes on from every stage of learning."""

from collections.abc import Sequence

import numpy as np
import pytest

from streamgauge.core.engine import ModelEngine
from streamgauge.errors import StateError
from streamgauge.formats.messages import RawMessages
from streamgauge.runner.kept_sample import MESSAGES_PER_PART, sample_of, sample_parts
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import LearnedModel, Plan, model_spec
from streamgauge.runner.stores import fingerprint
from tests.support.flights import (
    MODEL,
    NOW,
    SECOND,
    configured,
    flights,
    planned,
    polled,
    reference_of,
    send,
)
from tests.support.kept import difference, kept, taken
from tests.support.references import assert_identical
from tests.support.restarts import Disk, Life, Step, born, plain, reborn

NAME = "flight/delay"
EVENTS = flights(np.random.default_rng(2), 900, 0, 240, model=NAME)
PARTITIONS = [("predictions", 0)]
POLL = 25
KNOWN = reference_of(flights(np.random.default_rng(3), 100, 0, 240))


def plan() -> Plan:
    """Two minutes of learning, in a zone whose hours of the week are others."""
    learn = {"learn": "2m", "timezone": "America/New_York"}
    config = configured({NAME: {**MODEL, "reference": learn, "labels": {"max_delay": "1m"}}})
    learned = LearnedModel(model_spec(config, NAME), config.models[NAME], 120 * SECOND)
    return Plan(config, (), (learned,))


def pipeline(disk: Disk) -> Pipeline:
    return Pipeline(plan(), disk)


def steps() -> list[Step]:
    return [
        Step(polled([(0, send(event)) for event in EVENTS[at : at + POLL]]))
        for at in range(0, len(EVENTS), POLL)
    ]


def stage(life: Life) -> str:
    learner = life.pipeline._learners.get(NAME)
    return "learned" if learner is None else learner.stage.value


def engine(life: Life) -> ModelEngine:
    return life.pipeline.engines[NAME]


def test_learning_goes_on_from_every_stage_and_learns_the_same() -> None:
    all_steps = steps()
    whole = born(pipeline, PARTITIONS).take(all_steps)
    expected = whole.checkpoint().data
    assert stage(whole) == "learned"
    seen = set()
    for cut in (0, 1, 3, 7, 11, 17, 19, len(all_steps)):
        first = born(pipeline, PARTITIONS).take(all_steps[:cut])
        data = first.checkpoint().data
        second = reborn(pipeline, first, data)
        assert stage(second) == stage(first)
        seen.add(stage(first))
        assert difference(data, kept(second.pipeline)) == ""
        if first.pipeline.engines:
            spec = engine(first).spec
            layouts = engine(first).layout, engine(second).layout
            assert fingerprint(spec, layouts[0]) == fingerprint(spec, layouts[1])
        second.take(all_steps[cut:])
        ours, theirs = engine(second).reference, engine(whole).reference
        assert ours is not None
        assert theirs is not None
        assert_identical(ours, theirs)
        now = dict(kept(second.pipeline))
        # Whose detectors had state taken of them on the way have it in other pieces.
        for each in (expected, now):
            for key in [key for key in each if "/detection/" in key or key.endswith("/index")]:
                del each[key]
        assert difference(expected, now) == ""
    assert seen == {"sampling", "counting", "learned"}


def test_samples_only_grow_and_a_refit_changes_every_token() -> None:
    life = born(pipeline, PARTITIONS)
    all_steps = steps()
    before = taken(life.pipeline)
    refits = 0
    for step in all_steps[:8]:
        after = taken(life.take([step]).pipeline)
        learner = life.pipeline._learners[NAME]
        if learner._fitted == len(learner._events):
            refits += 1
            for key in after.tokens:
                if key.startswith("model/"):
                    assert after.tokens[key] != before.tokens.get(key), key
        before = after
    assert refits > 2


def test_a_learned_reference_is_written_once() -> None:
    life = born(pipeline, PARTITIONS).take(steps())
    (key,) = [key for key in taken(life.pipeline).tokens if key.startswith("reference/")]
    first = taken(life.pipeline)
    events = flights(np.random.default_rng(5), 100, 240, 300, model=NAME)
    life.take([Step(polled([(0, send(event)) for event in events]))])
    second = taken(life.pipeline)
    assert key == "reference/flight%2Fdelay"
    assert first.tokens[key] == second.tokens[key] == engine(life).reference_id
    wrong: list[object] = [second.data[key][:-40], b"", {}, None]
    for spoilt in wrong:
        with pytest.raises(StateError, match=r"^state reference/flight%2Fdelay: "):
            reborn(pipeline, life, {**second.data, key: spoilt})


def test_models_that_are_new_in_the_configuration_begin_anew() -> None:
    old = Pipeline(planned(KNOWN))
    old.assign(PARTITIONS, NOW)
    events = flights(np.random.default_rng(6), 50, 0, 60)
    old.process(polled([(0, send(event)) for event in events]), frozenset(), NOW)
    new = Pipeline(planned(KNOWN, known=("flight-delay", "tours"), learned={NAME: "1h"}))
    new.restore(kept(old))
    assert new.engines["flight-delay"].last_event == old.engines["flight-delay"].last_event
    assert new.engines["tours"].last_event is None
    assert new.counts == old.counts


def test_partitions_go_on_from_their_newest_event_whenever_they_are_assigned() -> None:
    names = [("predictions", 0), ("predictions", 1)]
    old = Pipeline(planned(KNOWN))
    old.assign(names, NOW)
    events = flights(np.random.default_rng(6), 60, 0, 60)
    old.process(polled([(i % 2, send(e)) for i, e in enumerate(events)]), frozenset(), NOW)
    data = kept(old)
    early, late = Pipeline(planned(KNOWN)), Pipeline(planned(KNOWN))
    early.assign(names, NOW)
    early.restore(data)
    late.restore(data)
    late.assign(names[:1], NOW)
    assert kept(late)["watermark"] == data["watermark"], "of the other one nothing is forgotten"
    late.assign(names, NOW)
    for each in (early, late):
        assert kept(each)["watermark"] == data["watermark"]
        assert each.watermark.value == old.watermark.value
        assert [each.watermark.reached(p) for p in (0, 1)] == [
            old.watermark.reached(p) for p in (0, 1)
        ]


def polls(sizes: Sequence[int]) -> list[RawMessages]:
    rng = np.random.default_rng(1)
    return [
        RawMessages(
            [None if rng.random() < 0.1 else rng.bytes(5) for _ in range(size)],
            [None if rng.random() < 0.1 else rng.bytes(3) for _ in range(size)],
            rng.integers(0, 9, size).astype(np.int32),
            rng.integers(0, 1 << 40, size),
            rng.integers(-1, 1 << 40, size),
        )
        for size in sizes
    ]


@pytest.mark.parametrize("sizes", [[], [1] * 700, [1_000, 1, 2, 600], [256, 256, 1]])
def test_samples_keep_their_polls(sizes: Sequence[int]) -> None:
    sample = polls(sizes)
    parts = {part.key: part.data() for part in sample_parts(sample)}
    assert len(parts) <= sum(sizes) // MESSAGES_PER_PART + 1
    again = [plain(messages) for messages in sample_of(parts)]
    assert difference([plain(messages) for messages in sample], again) == ""
