"""A reference out of the stream: learned from its first events, compared with from then on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.batch import ModelSchema
from streamgauge.core.bins import CategoricalBins, NumericBins
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.reference import ReferenceBuilder
from streamgauge.core.slices import RowKey
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.native import NativeDecoder
from streamgauge.runner.learning import fit_layout
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import LearnedModel, Plan, model_spec
from tests.support.engines import published
from tests.support.flights import (
    MODEL,
    NOW,
    SECOND,
    T0,
    configured,
    flights,
    planned,
    polled,
    reference_of,
    send,
)
from tests.support.references import assert_identical

NAME = "flight-delay"
DISTANCE = Subject(SubjectKind.FEATURE, "distance")
Events = Sequence[Mapping[str, Any]]


def learning(**changes: Any) -> Pipeline:
    """A pipeline that learns one model for two minutes; changes are of the model's section."""
    model = MODEL | {"reference": {"learn": "2m"}} | changes
    config = configured({NAME: model})
    (settings,) = config.models.values()
    plan = Plan(config, (), (LearnedModel(model_spec(config, NAME), settings, 120 * SECOND),))
    pipeline = Pipeline(plan)
    pipeline.assign([("predictions", 0)], NOW)
    return pipeline


def polls(events: Events, size: int) -> list[Events]:
    return [events[at : at + size] for at in range(0, len(events), size)]


def process(pipeline: Pipeline, events: Events) -> tuple[AlertRecord, ...]:
    outcome = pipeline.process(polled([(0, send(event)) for event in events]), frozenset(), NOW)
    assert outcome.rejected == ()
    return outcome.alerts


def draw(seed: int, n: int, begin: float, end: float, **kind: str) -> list[dict[str, Any]]:
    return flights(np.random.default_rng(seed), n, begin, end, **kind)


def learned_in(pipeline: Pipeline, events: Events) -> int:
    """Process polls until the model has a reference; return how many events that took."""
    for at, poll in enumerate(polls(events, 100)):
        process(pipeline, poll)
        if pipeline.engines[NAME].reference is not None:
            return min(100 * (at + 1), len(events))
    raise AssertionError("nothing was learned")


def counted(pipeline: Pipeline, row: RowKey, name: str = NAME) -> int:
    """Events in the published counters of a row."""
    (model,) = [m for m in pipeline.snapshot(NOW).models if m.model == name]
    assert model.layout is not None
    return sum(published(model)[row][model.layout.cells(0)])


@pytest.mark.parametrize("sample", [250, 20_000])
def test_what_is_learned_is_a_profile_of_the_same_events(
    sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamgauge.runner.learning.SAMPLE_EVENTS", sample)
    pipeline, events = learning(), draw(1, 1_500, 0, 200)
    used = events[: learned_in(pipeline, events)]
    assert used[-101]["timestamp"] < used[0]["timestamp"] + 120 * SECOND <= used[-1]["timestamp"]
    engine = pipeline.engines[NAME]
    builder = ReferenceBuilder(engine.layout, engine.spec.slices)
    decoder = NativeDecoder((engine.layout.schema,))
    for poll in polls(used, 100):
        for batch in decoder.decode(polled([(0, send(event)) for event in poll])).batches:
            builder.add(batch)
    assert engine.reference is not None
    assert_identical(engine.reference, builder.finish(meta={"learned_from": "the stream"}))


def test_features_and_their_kinds_are_those_of_the_events() -> None:
    pipeline, events = learning(), draw(1, 1_500, 0, 200)
    learned_in(pipeline, events)
    schema = pipeline.engines[NAME].layout.schema
    assert schema == ModelSchema(
        NAME,
        schema.task,
        numeric=("dep_delay", "distance"),
        categorical=("carrier",),
        boolean=("holiday",),
        tags=("region",),
    )


def test_a_configured_kind_stands_against_what_the_events_suggest() -> None:
    pipeline, events = learning(features={"dep_delay": "categorical"}), draw(1, 1_500, 0, 200)
    learned_in(pipeline, events)
    schema = pipeline.engines[NAME].layout.schema
    assert schema.numeric == ("distance",)
    assert schema.categorical == ("carrier", "dep_delay")


def test_bins_are_fitted_to_the_sample_as_a_profile_fits_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamgauge.runner.learning.SAMPLE_EVENTS", 300)
    pipeline, events = learning(), draw(1, 1_500, 0, 200)
    for poll in polls(events, 100)[:5]:
        process(pipeline, poll)
    layout = pipeline.engines[NAME].layout
    decoded = NativeDecoder((layout.schema,)).decode(polled([(0, send(e)) for e in events[:300]]))
    assert layout == fit_layout(layout.schema, [*decoded.batches])


def test_predictions_are_counted_from_the_first_event_on() -> None:
    pipeline, events = learning(), draw(1, 1_200, 0, 200)
    seen = 0
    for poll in [events[:1], *polls(events[1:], 150)]:
        process(pipeline, poll)
        seen += len(poll)
        assert counted(pipeline, RowKey("3")) == seen
    assert pipeline.counts.accepted == seen
    assert pipeline.engines[NAME].reference is not None


def test_slices_are_taken_by_tags_and_features() -> None:
    pipeline, events = learning(), draw(1, 1_500, 0, 200)
    used = events[: learned_in(pipeline, events)]
    europe = [e for e in used if e.get("tags", {}).get("region") == "eu"]
    united = [e for e in europe if e["features"].get("carrier") == "UA"]
    row = (("carrier", "UA"), ("region", "eu"))
    assert counted(pipeline, RowKey("3", row)) == len(united) > 0
    reference = pipeline.engines[NAME].reference
    assert reference is not None
    at = reference.row(row)
    assert at is not None
    assert reference.block.counts[at, reference.layout.cells(0)].sum() == len(united)


def test_a_slice_that_what_was_learned_cannot_be_cut_by_is_refused_by_name() -> None:
    pipeline = learning(slices=["dep_delay"])
    with pytest.raises(StreamgaugeError, match=r"^models\.flight-delay: .*'dep_delay'.*bounds"):
        process(pipeline, draw(1, 100, 0, 10))


def test_a_detector_on_what_first_events_lack_waits_until_all_is_learned() -> None:
    pipeline = learning(detectors=[{"detector": "adwin", "series": "distance"}])
    events = draw(1, 1_500, 0, 200)
    del events[0]["features"]["distance"]
    process(pipeline, events[:1])
    assert pipeline.engines[NAME].watches() == ()
    learned_in(pipeline, events[1:])
    assert ("river.adwin", DISTANCE) in pipeline.engines[NAME].watches()


def test_a_detector_on_what_no_event_holds_is_refused_by_its_place() -> None:
    pipeline = learning(detectors=[{"detector": "adwin", "series": "speed"}])
    with pytest.raises(
        StreamgaugeError, match=r"^models\.flight-delay\.detectors\[0\]\.series: speed is no series"
    ):
        learned_in(pipeline, draw(1, 1_500, 0, 200))


def shifted(events: Events, begin: float) -> list[dict[str, Any]]:
    """The events with longer distances from a second on."""
    changed = json.loads(json.dumps(events))
    for event in changed:
        distance = event.get("features", {}).get("distance")
        if isinstance(distance, float) and event["timestamp"] >= T0 + begin * SECOND:
            event["features"]["distance"] = 3 * distance
    return list(changed)


def test_nothing_is_compared_before_it_is_learned_and_everything_after() -> None:
    pipeline = learning()
    quiet = draw(1, 6_000, 0, 600)
    used = learned_in(pipeline, quiet)
    assert not pipeline.engines[NAME].book.fired
    for poll in polls(quiet[used:], 100):
        process(pipeline, poll)
    alerts: list[AlertRecord] = []
    # By now the detectors know how panes vary, which two minutes of learning cannot tell.
    for poll in polls(shifted(draw(2, 2_500, 600, 850), 670), 100):
        alerts += process(pipeline, poll)
    names = {alert.subject.name for alert in alerts}
    assert "distance" in names
    assert names <= {"distance", "distance.out_of_range"}
    first = next(alert for alert in alerts if alert.subject.name == "distance")
    assert first.onset is not None
    assert abs(first.onset - (T0 + 670 * SECOND)) <= 10 * SECOND
    assert first.starts_at > T0 + 670 * SECOND
    assert pipeline.snapshot(NOW).models[0].reference_id == pipeline.engines[NAME].reference_id


def test_a_change_within_the_learning_time_is_learned_and_raises_no_alert() -> None:
    pipeline = learning()
    for poll in polls(shifted(draw(1, 1_100, 0, 118), 60), 100):
        assert process(pipeline, poll) == ()
    assert pipeline.engines[NAME].reference is None


def test_one_model_is_learned_while_another_is_known() -> None:
    reference = reference_of(draw(7, 4_000, -3_600, 0))
    pipeline = Pipeline(planned(reference, known=("tours",), learned={NAME: "2m"}))
    pipeline.assign([("predictions", 0)], NOW)
    both = sorted(
        [*draw(3, 900, 0, 200), *draw(4, 900, 0, 200, model="tours")],
        key=lambda event: event["timestamp"],
    )
    for poll in polls(both, 120):
        process(pipeline, poll)
    assert counted(pipeline, RowKey("3")) == counted(pipeline, RowKey("3"), "tours") == 900
    assert pipeline.counts.accepted == pipeline.counts.consumed == 1_800
    assert pipeline.engines["tours"].reference is reference
    learned = pipeline.engines[NAME].reference
    assert learned is not None
    assert learned.meta == {"learned_from": "the stream"}
    assert 900 * 0.55 < learned.events < 900 * 0.75


def test_messages_that_cannot_be_used_are_refused_once_while_learning() -> None:
    reference = reference_of(draw(7, 4_000, -3_600, 0))
    pipeline = Pipeline(planned(reference, known=("tours",), learned={NAME: "2m"}))
    pipeline.assign([("predictions", 0)], NOW)
    good = [send(event) for event in draw(3, 20, 0, 10)]
    broken = [
        replace(good[0], value=b"{"),
        replace(good[1], key=b"another"),
        replace(good[2], value=b'{"model": "tours"}'),
    ]
    poll = polled([(0, each) for each in [*good, *broken, replace(good[3], value=None)]])
    for turn in (1, 2):
        outcome = pipeline.process(poll, frozenset(), NOW)
        assert sorted(item.index for item in outcome.rejected) == [20, 21, 22]
        counts = pipeline.counts
        assert counts.consumed == 24 * turn
        assert counts.accepted == 20 * turn
        assert counts.rejected == {"decode": turn, "key": turn, "schema": turn}
        assert counts.tombstones == turn
        assert counts.unknown_models == 0


def test_events_without_features_are_learned_by_their_scores() -> None:
    events = draw(1, 1_500, 0, 200)
    for event in events:
        event["features"] = {}
    pipeline = learning(slices=["region"])
    learned_in(pipeline, events)
    schema = pipeline.engines[NAME].layout.schema
    assert (schema.numeric, schema.categorical, schema.boolean) == ((), (), ())
    watched = {subject.kind for _, subject in pipeline.engines[NAME].watches()}
    assert watched == {SubjectKind.SCORE, SubjectKind.PREDICTION, SubjectKind.SERVICE}


def test_a_regression_learns_bins_for_its_numbers() -> None:
    events = draw(1, 1_500, 0, 200)
    rng = np.random.default_rng(2)
    for event in events:
        event.pop("score", None)
        if event["status"] == "ok":
            event["prediction"] = round(float(rng.normal(100, 15)), 3)
    pipeline = learning(task="regression")
    used = events[: learned_in(pipeline, events)]
    reference = pipeline.engines[NAME].reference
    assert reference is not None
    position = reference.layout.position(Subject(SubjectKind.PREDICTION, "prediction"))
    assert position is not None
    assert isinstance(reference.layout.fields[position].bins, NumericBins)
    numbers = [event["prediction"] for event in used if "prediction" in event]
    assert reference.means(position)[0] == pytest.approx(np.mean(numbers))


def test_classes_are_learned_from_the_predictions() -> None:
    pipeline, events = learning(), draw(1, 1_500, 0, 200)
    learned_in(pipeline, events)
    layout = pipeline.engines[NAME].layout
    position = layout.position(Subject(SubjectKind.PREDICTION, "prediction"))
    assert position is not None
    bins = layout.fields[position].bins
    assert isinstance(bins, CategoricalBins)
    assert set(bins.categories) == {"0", "1"}
