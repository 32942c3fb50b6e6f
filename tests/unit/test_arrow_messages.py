"""Arrow batches among messages: how they are told, refused, learned from and counted again."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamgauge.config.parts import DeadLetterPayload, StormConfig
from streamgauge.formats.messages import ARROW_TYPE
from streamgauge.formats.predictions import PredictionDecoder
from streamgauge.io.kafka.reader import which_are_arrow
from streamgauge.runner.dead_letters import (
    PREFIX,
    DeadLetterStormError,
    StormWatch,
    dead_letters,
)
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.stores import DiskStores
from tests.support.arrow_messages import ARROW_HEADERS, Message, batch, polled, sources
from tests.support.flights import NOW, T0, flights, planned, reference_of
from tests.support.kafka_fakes import FakeMessage
from tests.support.kept import kept
from tests.support.label_checks import join_counts
from tests.support.label_streams import begun, numbered, settle
from tests.support.native_events import BINARY, event
from tests.support.references import assert_identical

NONE: frozenset[int] = frozenset()
FULL, HASH, NO_PAYLOAD = DeadLetterPayload.FULL, DeadLetterPayload.HASH, DeadLetterPayload.NONE
REFERENCE = reference_of(flights(np.random.default_rng(1), 2_000, -3_600, 0))


def plain(events: Sequence[dict[str, Any]], partition: int = 0) -> list[Message]:
    """The messages of events in JSON."""
    names = [str(event["prediction_id"]).encode() for event in events]
    return [
        Message(partition, name, json.dumps(event).encode())
        for name, event in zip(names, events, strict=True)
    ]


def followed(**more: Any) -> Pipeline:
    pipeline = Pipeline(planned(REFERENCE, **more))
    pipeline.assign([("predictions", 0)], NOW)
    return pipeline


def served(seed: int, n: int, begin: float = 0, end: float = 60, **kind: str) -> list[Any]:
    """Events without values of a wrong type, which rows of one column cannot be."""
    found = flights(np.random.default_rng(seed), 2 * n, begin, end, **kind)
    return [e for e in found if e.get("features", {}).get("distance") != "far"][:n]


STREAM = batch(0, served(1, 3)).value
assert STREAM is not None


@pytest.mark.parametrize(
    ("headers", "is_arrow"),
    [
        (ARROW_HEADERS, True),
        ([("trace", b"1"), *ARROW_HEADERS], True),
        (dict(ARROW_HEADERS), True),
        ([("content-type", b"application/json")], False),
        ([("Content-Type", ARROW_TYPE)], False),
        ([("content-type", None)], False),
        ([], False),
        (None, False),
    ],
)
def test_a_message_is_arrow_if_its_header_says_so(headers: Any, is_arrow: bool) -> None:
    values = [b"{}", None, STREAM, b""]
    messages = [FakeMessage(value, raw_headers=headers) for value in values]
    found = which_are_arrow(values, messages)
    assert (None if found is None else found.tolist()) == (
        [False, False, True, False] if is_arrow else None
    )


def test_headers_of_what_cannot_be_arrow_are_not_looked_at() -> None:
    class Closed(FakeMessage):
        def headers(self) -> Any:
            raise AssertionError("was looked at")

    values = [b"{}", b"\xff\xff\xff", None, b"\xf0\x9f", b""]
    assert which_are_arrow(values, [Closed(value) for value in values]) is None
    assert which_are_arrow([], []) is None
    assert which_are_arrow([None], [Closed(None)]) is None
    assert which_are_arrow([None, b"{}"], [Closed(None), Closed(b"{}")]) is None


def test_ids_are_made_of_the_models_that_are_identified_alone() -> None:
    events = [event(prediction_id=f"p{i}") for i in range(4)]
    poll = polled(sources([batch(0, events)]))
    (named,) = PredictionDecoder([BINARY], identified=["flight-delay"]).decode_arrow(poll)
    assert named.ids == (["p0", "p1", "p2", "p3"],)
    (found,) = PredictionDecoder([BINARY]).decode_arrow(poll)
    assert (found.ids, found.accepted) == (([],), 4)


def test_a_stream_without_its_header_is_a_dead_letter_that_says_so() -> None:
    pipeline = followed()
    outcome = pipeline.process(polled(sources([Message(0, b"p", STREAM)])), NONE, NOW)
    (item,) = outcome.rejected
    assert item.reason == "decode"
    assert item.row is None
    assert "header content-type: application/vnd.apache.arrow.stream" in item.detail


def test_a_batch_that_cannot_be_read_is_one_event_and_one_dead_letter() -> None:
    pipeline = followed()
    assert STREAM is not None
    read = sources([Message(0, b"p", STREAM[:-40], headers=ARROW_HEADERS)])
    outcome = pipeline.process(polled(read), NONE, NOW)
    assert outcome.sizes is not None
    assert outcome.sizes.tolist() == [1]
    assert (pipeline.counts.consumed, pipeline.counts.rejected) == (1, {"decode": 1})
    (letter,) = dead_letters(read, outcome.rejected, FULL)
    assert letter.value == STREAM[:-40]
    assert letter.headers[0] == ARROW_HEADERS[0]


def refused() -> tuple[Pipeline, list[FakeMessage], Any]:
    """A pipeline that has taken in a batch of six of which the second and the fifth are refused."""
    events = [event(prediction_id=f"p{i}", timestamp=T0 + i) for i in range(6)]
    events[1]["score"] = 1.5
    events[4]["timestamp"] = 7
    message = batch(0, events)
    read = sources([Message(0, b"k", message.value, 6, [("trace", b"7"), *ARROW_HEADERS])])
    pipeline = followed()
    return pipeline, read, pipeline.process(polled(read), NONE, NOW)


def test_each_refused_row_is_a_dead_letter_in_json_under_its_own_id() -> None:
    pipeline, read, outcome = refused()
    assert (pipeline.counts.consumed, pipeline.counts.accepted) == (6, 4)
    first, second = dead_letters(read, outcome.rejected, FULL)
    assert (first.key, second.key) == (b"p1", b"p4")
    assert json.loads(first.value or b"")["score"] == 1.5
    assert json.loads(second.value or b"")["features"] == event()["features"]
    headers = dict(first.headers)
    assert first.headers[:2] == [("trace", b"7"), ("content-type", b"application/json")]
    assert headers[PREFIX + "row"] == b"1"
    assert headers[PREFIX + "offset"] == b"0"
    assert headers[PREFIX + "field"] == b"score"
    assert dict(second.headers)[PREFIX + "reason"] == b"timestamp"


@pytest.mark.parametrize("payload", [HASH, NO_PAYLOAD])
def test_values_of_rows_are_hashed_or_left_out(payload: DeadLetterPayload) -> None:
    _, read, outcome = refused()
    (first, _) = dead_letters(read, outcome.rejected, payload)
    assert (first.key, first.value) == (b"p1", None)
    hashed = PREFIX + "payload.sha256" in dict(first.headers)
    assert hashed == (payload is HASH)


def test_a_letter_that_is_mended_and_sent_again_counts_once() -> None:
    pipeline, read, outcome = refused()
    (first, _) = dead_letters(read, outcome.rejected, FULL)
    document = json.loads(first.value or b"") | {"score": 0.5}
    again = Message(0, first.key, json.dumps(document).encode(), headers=first.headers)
    assert not pipeline.process(polled(sources([again])), NONE, NOW).rejected
    assert pipeline.counts.accepted == 5


def test_what_json_cannot_say_is_still_refused_when_it_is_sent_again() -> None:
    pipeline = followed()
    rows = [event(prediction_id=f"p{i}", score=0.5) for i in range(2)]
    message = batch(0, rows)
    table = _table(message)
    column = table.schema.get_field_index("score")
    table = table.set_column(column, "score", [[0.5, float("nan")]])
    read = sources([_message(table)])
    outcome = pipeline.process(polled(read), NONE, NOW)
    (letter,) = dead_letters(read, outcome.rejected, FULL)
    assert json.loads(letter.value or b"")["score"] == "nan"
    again = sources([Message(0, letter.key, letter.value)])
    assert len(pipeline.process(polled(again), NONE, NOW).rejected) == 1


def _table(message: Message) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(message.value).read_all()


def _message(table: Any) -> Message:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Message(0, b"k", sink.getvalue().to_pybytes(), table.num_rows, ARROW_HEADERS)


def test_a_storm_is_judged_by_events() -> None:
    _, _, outcome = refused()
    few = StormWatch(StormConfig.model_validate({"min_events": 1, "ratio": 0.34}))
    few.observe(1, outcome.rejected, outcome.sizes)
    with pytest.raises(DeadLetterStormError, match="33% of the last 6 events"):
        StormWatch(StormConfig.model_validate({"min_events": 1, "ratio": 0.3})).observe(
            1, outcome.rejected, outcome.sizes
        )


def test_a_run_of_bad_rows_goes_on_from_one_batch_to_the_next() -> None:
    storm = StormWatch(StormConfig.model_validate({"consecutive": 6, "ratio": 1.0}))
    events = [event(prediction_id=f"p{i}", score=0.5 if i < 2 else 1.5) for i in range(5)]
    pipeline = followed()
    for turn in range(2):
        some = events if turn == 0 else events[2:]
        outcome = pipeline.process(polled(sources([batch(0, some)])), NONE, NOW)
        if turn == 0:
            storm.observe(1, outcome.rejected, outcome.sizes)
        else:
            with pytest.raises(DeadLetterStormError, match=r"^6 events in a row"):
                storm.observe(1, outcome.rejected, outcome.sizes)


@pytest.mark.parametrize("sample", [250, 20_000])
def test_what_is_learned_of_batches_is_what_is_learned_of_json(
    sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamgauge.runner.learning.SAMPLE_EVENTS", sample)
    events = served(3, 1_200, 0, 400)
    events[350]["score"] = 1.5
    pipelines = []
    for arrow in (False, True):
        pipeline = Pipeline(planned(REFERENCE, known=(), learned={"flight-delay": "2m"}))
        pipeline.assign([("predictions", 0)], NOW)
        for begin in range(0, len(events), 100):
            some = events[begin : begin + 100]
            messages = [batch(0, some)] if arrow else plain(some)
            refusals = pipeline.process(polled(sources(messages)), NONE, NOW).rejected
            assert len(refusals) == (begin == 300)
            assert pipeline.counts.accepted == begin + len(some) - (begin >= 300)
        pipelines.append(pipeline)
    first, second = pipelines
    assert first.counts == second.counts
    layouts = [pipeline.engines["flight-delay"].layout for pipeline in pipelines]
    assert layouts[0] == layouts[1]
    references = [pipeline.engines["flight-delay"].reference for pipeline in pipelines]
    assert references[0] is not None
    assert references[1] is not None
    assert_identical(references[0], references[1])


def test_not_a_number_is_missing_in_a_sample_and_refuses_what_it_refuses_elsewhere() -> None:
    pipeline = Pipeline(planned(REFERENCE, known=(), learned={"flight-delay": "2m"}))
    pipeline.assign([("predictions", 0)], NOW)
    table = _table(batch(0, [event(prediction_id=f"p{i}", timestamp=T0 + i) for i in range(3)]))
    nan = float("nan")
    table = table.set_column(table.schema.get_field_index("score"), "score", [[0.5, nan, 0.5]])
    table = table.append_column("features.wind", [[nan, 1.0, 2.0]])
    outcome = pipeline.process(polled(sources([_message(table)])), NONE, NOW)
    assert [(item.row, item.field) for item in outcome.rejected] == [(1, "score")]
    assert pipeline.counts.accepted == 2
    assert "wind" in pipeline.engines["flight-delay"].layout.schema.numeric


@pytest.mark.parametrize("arrow", [False, True])
def test_what_has_bins_already_is_in_one_place_even_if_it_cannot_be_learned_from(
    arrow: bool,
) -> None:
    pipeline = Pipeline(planned(REFERENCE, known=(), learned={"flight-delay": "2m"}))
    pipeline.assign([("predictions", 0)], NOW)
    first = [event(prediction_id=f"p{i}", timestamp=T0 + i) for i in range(3)]
    odd = {**event()["features"], "gate": "\0"}
    later = [event(prediction_id=f"q{i}", timestamp=T0 + i, features=odd) for i in range(2)]
    for events in (first, later):
        messages = [batch(0, events)] if arrow else plain(events)
        pipeline.process(polled(sources(messages)), NONE, NOW)
    counts = pipeline.counts
    assert (counts.consumed, counts.accepted, counts.unknown_models) == (5, 5, 0)
    assert not counts.rejected


def test_a_store_that_is_lost_is_built_again_from_batches_too(tmp_path: Path) -> None:
    def prediction(number: int) -> dict[str, Any]:
        features = {"x": number / 7, "colour": "red"}
        body = {"prediction_id": f"p{number}", "timestamp": T0 + number, "model": "approve"}
        return body | {"features": features, "prediction": number % 2, "score": 0.3}

    places = numbered(1)
    first = [*plain([prediction(0)]), batch(0, [prediction(i) for i in range(1, 6)])]
    first += [batch(0, [prediction(6)]), *plain([prediction(7)])]
    labels = [
        {"prediction_id": f"p{i}", "timestamp": T0 + 100 + i, "model": "approve", "label": i % 2}
        for i in range(8)
    ]
    pipeline = begun(1, DiskStores(tmp_path / "one"))
    read = sources(first)
    pipeline.process(polled(read), NONE, NOW)
    assert pipeline.counts.accepted == 8
    state = kept(pipeline)
    committed = {places[0]: len(first), places[1]: 0}
    pipeline.close()

    pipeline = begun(1, DiskStores(tmp_path / "lost"))
    assert pipeline.restore(state) == ()
    start = pipeline.resume(committed, dict.fromkeys(places, 0))
    assert start == dict.fromkeys(places, 0)
    pipeline.index(polled(read))
    pipeline.caught_up()
    later = sources([*first, batch(0, [prediction(8)]), *plain(labels, 1)])[len(first) :]
    pipeline.process(polled(later), NONE, NOW)
    settle(pipeline, 1)
    counts = join_counts(pipeline.engines["approve"])
    assert (counts.predictions, counts.joined) == (9, 8)
    assert asdict(pipeline.counts)["accepted"] == 9 + 8
    pipeline.close()
