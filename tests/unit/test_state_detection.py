"""State of detectors: a snapshot now and then, and in between what they were told."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from streamgauge.core.alerts.record import AlertStatus
from streamgauge.core.detection import Detection
from streamgauge.core.detectors.attached_track import CALM
from streamgauge.core.detectors.calls import MOST_PANES
from streamgauge.core.detectors.specs import AttachedSpec, Feed
from streamgauge.core.detectors.traffic import TrafficDetector
from streamgauge.core.detectors.traffic_profile import measure_traffic
from streamgauge.core.engine import ModelEngine
from streamgauge.core.model_spec import ModelSpec
from streamgauge.core.reference import Reference
from streamgauge.core.timeline import HOUR_MS
from streamgauge.errors import StateError
from tests.support import traffic
from tests.support.engines import PANE, SECOND, SPEC, T0, engine, parts, stream
from tests.support.kept import Checkpoint, adopt, difference, kept, taken
from tests.support.made_up_model import MONTH_MS, made_up_events, made_up_reference


@cache
def reference() -> Reference:
    return made_up_reference(made_up_events(20_000, span_ms=MONTH_MS, seed=1), SPEC.slices)


def detection(model: ModelEngine) -> Detection:
    assert model._detection is not None
    return model._detection


def fed(model: ModelEngine, seed: int, panes: int, each: int = 60) -> Iterator[ModelEngine]:
    """Yield the engine after each of some panes."""
    batch = stream(seed, panes * each, 0, panes * PANE // SECOND)
    for number, part in enumerate(parts(batch, each)):
        model.add(part)
        model.advance(T0 + number * PANE)
        yield model


def detectors(point: Checkpoint) -> dict[str, object]:
    """The tokens of the detectors' parts."""
    begin = "detection/"
    return {k.removeprefix(begin): t for k, t in point.tokens.items() if k.startswith(begin)}


def test_snapshots_are_rare_and_calls_are_written_once() -> None:
    points = [taken(model) for model in fed(engine(SPEC, reference()), 3, 150)]
    found = [detectors(point) for point in points]
    snapshots = [each["snapshot"] for each in found]
    assert 2 <= len(set(snapshots)) <= 150 // MOST_PANES + 3
    assert max(map(len, found)) <= MOST_PANES + 2
    for before, after in pairwise(found):
        written = {key for key in after if after[key] != before.get(key)}
        # A pane's calls, or a snapshot instead of all of them.
        assert len(written) <= 1
        if "snapshot" in written:
            assert after.keys() == {"snapshot"}


def test_what_is_told_again_makes_the_same_bits_at_every_pane() -> None:
    model = engine(SPEC, reference())
    for number, _ in enumerate(fed(model, 4, 80)):
        data = kept(model)
        if number % 9:
            continue
        again = engine(SPEC, reference())
        again.restore(data)
        adopt(again, data)
        assert difference(data, kept(again)) == ""
        ours, theirs = detection(model)._detectors.data(), detection(again)._detectors.data()
        assert difference(ours, theirs) == ""


def test_nothing_is_noted_until_state_is_taken_nor_once_a_snapshot_is_due() -> None:
    model = engine(SPEC, reference())
    for _ in fed(model, 5, 5):
        assert detection(model)._log is None
    kept(model)
    assert detection(model)._log is not None
    batch = stream(6, 100 * MOST_PANES, 50, 50 + 3 * MOST_PANES * PANE // SECOND)
    model.add(batch)
    model.advance(T0 + 1_000_000_000)
    assert detection(model)._log is None, "or a process that falls behind would run out of memory"


def test_state_of_another_configuration_is_refused_by_name() -> None:
    model = engine(SPEC, reference())
    data = [kept(each) for each in fed(model, 3, 8)][-1]
    fewer = replace(SPEC, windows=SPEC.windows[:1])
    engine(fewer, reference()).restore(data)  # what is no more is forgotten
    more = replace(SPEC, windows=(*SPEC.windows, replace(SPEC.windows[0], name="9m")))
    with pytest.raises(StateError, match=r"^state track/window/9m/place: is missing"):
        engine(more, reference()).restore(data)
    with pytest.raises(StateError, match=r"^state place: .*the reference was ref, not None"):
        engine(SPEC).restore(data)
    snapshot = data["detection/snapshot"]
    rows = dict(snapshot["detectors"]["rows"])
    rows["log"] = rows["log"][:, 1:]
    spoilt = {**snapshot, "detectors": {**snapshot["detectors"], "rows": rows}}
    with pytest.raises(StateError, match=r"^state detection/snapshot: .*log is"):
        engine(SPEC, reference()).restore({**data, "detection/snapshot": spoilt})
    calls = next(key for key in data if key.startswith("detection/calls/"))
    for wrong in ([], [*data[calls], *data[calls]], None):
        with pytest.raises(StateError, match=rf"^state {calls}: "):
            engine(SPEC, reference()).restore({**data, calls: wrong})


def test_alerts_of_attached_detectors_resolve_once_they_have_become_calm_again() -> None:
    attached = (AttachedSpec("page_hinkley", "length", Feed.EVENT),)
    spec: ModelSpec = replace(SPEC, attached=attached)
    model = engine(spec, reference())
    batch = stream(8, 3_000, 0, 600)
    numeric = batch.numeric.copy()
    numeric[0, batch.timestamp >= T0 + 300 * SECOND] *= 50
    model.add(replace(batch, numeric=numeric))
    fired = model.advance(T0 + 600 * SECOND)
    assert "river.page_hinkley" in {record.detector for record in fired}
    again = engine(spec, reference())
    again.restore(kept(model))
    assert again.book.active() == model.book.active()
    calm = stream(9, 3 * CALM, 600, 1_200)
    numeric = np.repeat(batch.numeric[:, :1], len(calm), axis=1)
    again.add(replace(calm, numeric=numeric))
    records = again.advance(T0 + 1_200 * SECOND)
    ended = [r for r in records if r.detector == "river.page_hinkley"]
    assert [record.status for record in ended][-1] is AlertStatus.RESOLVED


def watcher() -> TrafficDetector:
    profile = measure_traffic(
        traffic.reference_of(np.rint(traffic.season(8 * 168, 400.0)).astype(np.int64))
    )
    return TrafficDetector("m", profile, 0.1, 1e-6, HOUR_MS)


def test_traffic_is_followed_on_from_every_hour() -> None:
    rng = np.random.default_rng(3)
    mean = traffic.season(500, 400.0)
    mean[200:260] *= 0.3
    mean[300:310] = 0.0
    counts = traffic.totals(rng, mean).tolist()
    expected = [repr(each) for each in traffic.follow(watcher(), counts)]
    assert len(expected) > 20
    for cut in range(0, 500, 45):
        first, second = watcher(), watcher()
        found = traffic.follow(first, counts[:cut])
        second.restore(kept(first))
        assert difference(kept(first), kept(second)) == ""
        found += traffic.follow(second, counts[cut:], traffic.MONDAY + cut * HOUR_MS)
        assert [repr(each) for each in found] == expected
