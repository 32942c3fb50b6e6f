"""The pipeline's own part: whose events move time, and who is held back."""

import gc
from dataclasses import replace

import numpy as np

from streamgauge.runner.intake import BEGIN_TOGETHER_S, MOST_PANES_AHEAD
from streamgauge.runner.pipeline import Pipeline
from tests.support.flights import (
    DISORDER_MS,
    NOW,
    SECOND,
    T0,
    Sent,
    flights,
    planned,
    polled,
    reference_of,
    send,
)

REFERENCE = reference_of(flights(np.random.default_rng(1), 2_000, -3_600, 0))
LIMIT_S = MOST_PANES_AHEAD * 10
NONE: frozenset[int] = frozenset()


def followed(*partitions: int, learned: dict[str, str] | None = None) -> Pipeline:
    pipeline = Pipeline(planned(REFERENCE, learned=learned))
    pipeline.assign([("predictions", i) for i in partitions], NOW)
    return pipeline


def feed(pipeline: Pipeline, partition: int, second: float, **kind: str) -> None:
    event = flights(np.random.default_rng(int(second)), 1, second, second + 1, **kind)[0]
    event["timestamp"] = T0 + int(second * SECOND)
    pipeline.process(polled([(partition, send(event))]), NONE, NOW)


def time_of(pipeline: Pipeline) -> int | None:
    return pipeline.watermark.value


def test_events_move_the_clock_of_their_own_partition() -> None:
    pipeline = followed(0, 1)
    feed(pipeline, 0, 100)
    assert time_of(pipeline) is None
    feed(pipeline, 1, 40)
    assert time_of(pipeline) == T0 + 40 * SECOND - DISORDER_MS
    feed(pipeline, 1, 200)
    assert time_of(pipeline) == T0 + 100 * SECOND - DISORDER_MS


def test_events_of_a_model_that_is_being_learned_move_time_too() -> None:
    pipeline = followed(0, learned={"new": "1h"})
    feed(pipeline, 0, 100, model="new")
    assert time_of(pipeline) == T0 + 100 * SECOND - DISORDER_MS


def test_messages_that_are_no_events_of_ours_do_not_move_time() -> None:
    pipeline = followed(0)
    feed(pipeline, 0, 100, model="nobody's")
    assert time_of(pipeline) is None
    assert pipeline.counts.unknown_models == 1


def test_a_partition_that_was_read_to_its_end_falls_idle() -> None:
    pipeline = followed(0, 1)
    feed(pipeline, 0, 100)
    empty = polled([])
    pipeline.process(empty, frozenset({1}), NOW + 29)
    assert time_of(pipeline) is None
    pipeline.process(empty, NONE, NOW + 31)
    assert time_of(pipeline) == T0 + 100 * SECOND - DISORDER_MS


def test_a_partition_too_far_ahead_is_held_back_and_not_taken_for_idle() -> None:
    pipeline = followed(0, 1)
    feed(pipeline, 0, 0)
    feed(pipeline, 1, LIMIT_S)
    assert pipeline.ahead() == NONE
    feed(pipeline, 1, LIMIT_S + 1)
    pipeline.process(polled([]), frozenset({0, 1}), NOW + 1)
    assert pipeline.watermark.is_idle(1, NOW + 100)
    assert pipeline.ahead() == {1}
    assert not pipeline.watermark.is_idle(1, NOW + 100)


def test_models_are_shown_before_they_have_events() -> None:
    (model,) = followed(0).snapshot(12.5).models
    assert (model.model, model.reference_id, model.last_event) == ("flight-delay", "ref", None)
    assert model.windows == ()


def test_a_poll_leaves_nothing_to_the_garbage_collector() -> None:
    """Who waits for it keeps all messages of the polls since its last round."""
    pipeline = followed(0)
    events = flights(np.random.default_rng(3), 300, 0, 40)
    broken = Sent(T0, "x", b"{broken", b"x")
    polls = [
        polled([*((0, send(each)) for each in events[i : i + 100]), (0, broken)])
        for i in (0, 100, 200)
    ]
    pipeline.process(polls[0], NONE, NOW)
    gc.collect()
    gc.disable()
    try:
        for poll in polls[1:]:
            pipeline.process(poll, NONE, NOW)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        held = [type(each).__name__ for each in gc.garbage]
        assert not {"list", "_Poll", "BlockReader", "RawMessages"} & set(held), held
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_partitions_begin_together() -> None:
    pipeline = followed(0, 1, 2)
    feed(pipeline, 0, 0)
    assert pipeline.ahead() == {0}, "nothing is known of the others, so nothing of it is late"
    feed(pipeline, 1, 0)
    assert pipeline.ahead() == {0, 1}
    pipeline.process(polled([]), frozenset({2}), NOW)
    assert pipeline.ahead() == NONE, "the last one is empty"


def test_no_partition_is_waited_for_long_at_the_start() -> None:
    pipeline = followed(0, 1)
    feed(pipeline, 0, 0)
    pipeline.process(polled([]), NONE, NOW + BEGIN_TOGETHER_S - 0.1)
    assert pipeline.ahead() == {0}
    pipeline.process(polled([]), NONE, NOW + BEGIN_TOGETHER_S)
    assert pipeline.ahead() == NONE


def test_messages_that_were_decoded_before_the_decoder_changed_are_decoded_again() -> None:
    events = flights(np.random.default_rng(5), 400, 0, 4_000)
    polls = [
        polled([(0, send(event)) for event in events[i : i + 100]]) for i in (0, 100, 200, 300)
    ]
    usual, ahead = (followed(0, learned={"flight-delay": "30m"}) for _ in range(2))
    prepared = [ahead.prepare(messages) for messages in polls]
    for messages, each in zip(polls, prepared, strict=True):
        usual.process(messages, NONE, NOW)
        ahead.process(messages, NONE, NOW, prepared=each)
    assert ahead.counts == usual.counts
    assert ahead.counts.accepted == len(events)
    assert ahead.snapshot(0.0).models[0].last_event == usual.snapshot(0.0).models[0].last_event


def test_what_was_counted_before_and_arrow_batches_are_not_decoded_ahead() -> None:
    pipeline = followed(0)
    events = [send(event) for event in flights(np.random.default_rng(5), 10, 0, 10)]
    messages = polled([(0, event) for event in events])
    assert pipeline.prepare(messages) is not None
    assert pipeline.prepare(replace(messages, arrow=np.ones(10, bool))) is None
    pipeline.resume({("predictions", 0): int(messages.offset[5])}, {})
    assert pipeline.prepare(messages) is None
    assert pipeline.prepare(messages.take(np.arange(5, 10))) is not None
