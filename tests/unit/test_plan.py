"""From a configuration to what the engine is built from, and what is refused on the way."""

from pathlib import Path

import numpy as np
import pytest

from streamgauge.config import load
from streamgauge.core.alerts.policy import Severity, Silence
from streamgauge.core.batch import ModelSchema, Task
from streamgauge.core.detectors.specs import (
    AttachedSpec,
    Exclusion,
    Feed,
    LatencyLimit,
    Spending,
    TrafficLimit,
)
from streamgauge.core.layout import LATENCY_EDGES, SubjectKind
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.core.windows import WindowSpec
from streamgauge.errors import ConfigError
from streamgauge.formats.reference_file import reference_id
from streamgauge.runner.plan import (
    Plan,
    fit_schema,
    model_spec,
    plan,
    render_limits,
    slice_tags,
)
from tests.support.batches import SLICES
from tests.support.flights import configured
from tests.support.made_up_model import made_up_events, made_up_reference, write_config
from tests.support.references import assert_identical

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000


def planned(path: Path) -> Plan:
    return plan(load(path, {}), path)


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        planned(path)
    return str(caught.value).removeprefix(f"{path.parent}/")


def test_a_known_model_comes_with_its_reference(tmp_path: Path) -> None:
    reference = made_up_reference(made_up_events())
    (known,) = planned(write_config(tmp_path, reference=reference)).known
    assert_identical(known.reference, reference)
    assert known.reference_id == reference_id(reference)
    assert known.spec.model == "made-up"
    assert known.spec.slices == SLICES


def test_a_model_to_be_learned_comes_with_its_time(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    text = path.read_text().replace("reference: made-up.json", "reference: {learn: 36h}")
    path.write_text(text)
    found = planned(path)
    assert found.known == ()
    (learned,) = found.learned
    assert learned.learn_ms == 36 * 3_600 * SECOND
    assert learned.config is found.config.models["made-up"]
    assert found.specs == (learned.spec,)


def test_a_specification_holds_what_the_file_says() -> None:
    config = configured(
        {
            "churn": {
                "task": "binary",
                "reference": "churn.json",
                "slices": ["plan", "model_version", [{"age": [20, 40]}, "plan"]],
                "windows": ["5m", "1d"],
                "pane": "5s",
                "tolerance": 0.03,
                "min_samples": 77,
                "severity": "critical",
                "limits": {"slices_per_dimension": 9, "versions": 3, "exported_slices": 4},
            },
            "other": {"task": "regression", "reference": "other.json"},
        },
        app="shop",
        time={"grace": "2m"},
        alerts={"budget": "3 per day", "pending_for": "1m", "resolve_after": "7m"},
    )
    spec = model_spec(config, "churn")
    assert (spec.app, spec.model) == ("shop", "churn")
    assert spec.slices == (
        SliceSpec((Dimension("plan"),)),
        SliceSpec((Dimension("age", (20.0, 40.0)), Dimension("plan"))),
    )
    assert spec.pane_ms == 5 * SECOND
    assert spec.grace_ms == 2 * MINUTE
    assert (spec.tolerance, spec.min_samples) == (0.03, 77)
    assert spec.spending == Spending(1.5, DAY)
    assert (spec.latency, spec.traffic, spec.attached) == (None, None, ())
    assert (spec.max_slices, spec.max_versions, spec.exported_slices) == (9, 3, 4)
    assert (spec.policy.pending_for, spec.policy.resolve_after) == (MINUTE, 7 * MINUTE)
    assert {grade.severity for grade in spec.policy.grades} == {Severity.CRITICAL}
    assert [window.name for window in spec.windows] == ["5m", "1d"]
    assert model_spec(config, "other").pane_ms == 10 * SECOND


ALERTS = {
    "budget": "1 per week",
    "budgets": {"critical": "1 per year", "info": "1 per day"},
    "weights": {"feature": 1.0, "data_quality": 0.5},
    "cool_down": "5m",
    "labels": {"team": "ml", "desk": "pricing"},
    "silences": [
        {"until": "1970-01-01T00:00:01Z"},
        {
            "until": "1970-01-01T01:00:02+01:00",
            "model": "churn",
            "version": "3",
            "subject": "feature:distance",
            "slice": {"carrier": "UA", "origin": "EWR"},
            "detector": "distribution",
            "comment": "is being moved",
        },
    ],
    "exclusions": [{"start": "1970-01-01T00:00:03Z", "end": "1970-01-01T00:00:04Z"}],
}


def test_a_policy_holds_what_the_file_says_of_alerts() -> None:
    model = {"task": "binary", "reference": "m.json", "slices": [["carrier", "origin"]]}
    spec = model_spec(configured({"churn": model}, alerts=ALERTS), "churn")
    policy = spec.policy
    assert policy.cool_down == 5 * MINUTE
    assert policy.labels == (("team", "ml"), ("desk", "pricing"))
    assert policy.silences == (
        Silence(1_000),
        Silence(
            2_000,
            model="churn",
            version="3",
            kind=SubjectKind.FEATURE,
            name="distance",
            detector="distribution",
            slice=(("carrier", "UA"), ("origin", "EWR")),
            comment="is being moved",
        ),
    )
    assert spec.exclusions == (Exclusion(3_000, 4_000),)


def test_the_threshold_is_that_of_the_most_generous_budget_and_severer_ones_need_more() -> None:
    model = {"task": "binary", "reference": "m.json", "slices": [["carrier", "origin"]]}
    spec = model_spec(configured({"churn": model}, alerts=ALERTS), "churn")
    weights = ((SubjectKind.FEATURE, 1.0), (SubjectKind.DATA_QUALITY, 0.5))
    assert spec.spending == Spending(1.0, DAY, weights)
    assert [severity for severity, _ in spec.policy.levels] == list(Severity)
    nats = [needed for _, needed in spec.policy.levels]
    assert nats == pytest.approx([0.0, np.log(7), np.log(365)], abs=1e-6)


def test_one_budget_grades_nothing() -> None:
    config = configured(
        {"m": {"task": "binary", "reference": "m.json", "severity": "info"}},
        alerts={"budget": "1 per month"},
    )
    spec = model_spec(config, "m")
    assert spec.policy.levels == ()
    assert spec.spending == Spending(1.0, 30 * DAY)


def test_models_share_the_budget_by_their_weights() -> None:
    model = {"task": "binary", "reference": "m.json"}
    config = configured(
        {"a": model | {"weight": 3.0}, "b": model, "c": model | {"weight": 0.5}},
        alerts={"budget": "9 per day"},
    )
    alarms = [model_spec(config, name).spending.alarms for name in "abc"]
    assert alarms == pytest.approx([6.0, 2.0, 1.0])


def test_latency_limits_are_in_seconds_and_detectors_come_as_they_stand() -> None:
    config = configured(
        {
            "m": {
                "task": "binary",
                "reference": "m.json",
                "latency": {"limit": "500ms", "share": 0.01},
                "traffic": {"tolerance": 0.4},
                "detectors": [
                    {"detector": "adwin", "series": "score", "parameters": {"delta": 0.01}},
                    {"detector": "kswin", "series": "latency", "feed": "pane"},
                ],
            }
        }
    )
    spec = model_spec(config, "m")
    assert spec.latency == LatencyLimit(0.5, 0.01)
    assert spec.latency.limit in LATENCY_EDGES
    assert spec.traffic == TrafficLimit(0.4)
    assert spec.attached == (
        AttachedSpec("adwin", "score", Feed.EVENT, (("delta", 0.01),)),
        AttachedSpec("kswin", "latency", Feed.PANE),
    )


@pytest.mark.parametrize(
    ("series", "problem"),
    [
        ("hight", "hight is no series of this model: name a numeric feature, score"),
        ("colour", "colour is no number: name a numeric feature, or one of colour.missing"),
        ("colour.out_of_range", "(of colour: missing, wrong_type, unseen)"),
    ],
)
def test_a_detector_on_what_the_reference_does_not_have_is_refused_with_its_place(
    tmp_path: Path, series: str, problem: str
) -> None:
    entries = f"[{{detector: adwin, series: score}}, {{detector: adwin, series: {series}}}]"
    text = refusal(write_config(tmp_path, model=f"detectors: {entries}"))
    assert ": models.made-up.detectors[1].series: " in text
    assert problem in text


def test_detectors_on_all_kinds_of_series_are_taken(tmp_path: Path) -> None:
    names = ("length", "score", "latency", "status", "length.out_of_range", "colour.unseen")
    entries = ", ".join(f"{{detector: adwin, series: {name}}}" for name in names)
    (known,) = planned(write_config(tmp_path, model=f"detectors: [{entries}]")).known
    assert tuple(attached.series for attached in known.spec.attached) == names


def test_traffic_needs_a_reference_with_timestamps(tmp_path: Path) -> None:
    line = "traffic: {tolerance: 0.5}"
    reference = made_up_reference(made_up_events(), timed=False)
    text = refusal(write_config(tmp_path, model=line, reference=reference))
    assert ": models.made-up.traffic: needs a reference with timestamps; profile data" in text
    (known,) = planned(write_config(tmp_path, model=line)).known
    assert known.spec.traffic == TrafficLimit(0.5)


def test_windows_are_made_of_few_steps_of_whole_panes() -> None:
    for pane, windows in (("10s", ["1m", "5m", "1h", "1d", "7d"]), ("7s", ["7s", "49s", "21m"])):
        config = configured(
            {"m": {"task": "binary", "reference": "m.json", "windows": windows, "pane": pane}}
        )
        spec = model_spec(config, "m")
        for window in spec.windows:
            assert window.step_ms % spec.pane_ms == 0
            assert window.steps * window.step_ms == window.length_ms
            assert window.steps <= 64
        assert spec.windows[0].step_ms == spec.pane_ms
    assert WindowSpec("49s", 49 * SECOND, 7 * SECOND) in spec.windows


def test_an_alert_outlives_every_window_that_it_may_come_from() -> None:
    """A row is judged once a step at least, so a window's length without any means it is gone."""
    config = configured({"m": {"task": "binary", "reference": "m.json", "windows": ["1m", "2d"]}})
    policy = model_spec(config, "m").policy
    assert policy.expire_after > 2 * DAY


def test_a_reference_of_another_task_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("task: binary", "task: multiclass"))
    text = refusal(path)
    assert "models.made-up.reference: was made for a binary model, but task is multiclass" in text


def test_a_reference_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    (tmp_path / "made-up.json").write_text("{}")
    assert "models.made-up.reference: " in refusal(path)


@pytest.mark.parametrize(
    ("slices", "problem"),
    [
        ("[length]", "has a numeric feature 'length', which slices names without bounds"),
        ("[{colour: [1, 2]}]", "has no numeric feature 'colour', which slices cuts"),
        ("[{height: [1, 2]}]", "has no numeric feature 'height', which slices cuts"),
    ],
)
def test_slices_that_the_reference_cannot_be_cut_by_are_refused(
    tmp_path: Path, slices: str, problem: str
) -> None:
    text = refusal(write_config(tmp_path, slices=slices))
    assert f"models.made-up.reference: {problem}" in text


def test_what_is_no_feature_is_a_tag() -> None:
    schema = ModelSchema("m", Task.BINARY, ("age",), ("plan",), ("active",))
    slices = (
        SliceSpec((Dimension("region"),)),
        SliceSpec((Dimension("plan"), Dimension("desk"))),
        SliceSpec((Dimension("active"), Dimension("age", (1.0,)), Dimension("region"))),
    )
    assert slice_tags(slices, schema) == ("region", "desk")
    assert slice_tags((), schema) == ()


def test_the_schema_to_decode_by_is_the_references_with_the_tags_of_the_slices(
    tmp_path: Path,
) -> None:
    path = write_config(tmp_path, slices="[colour, [site, desk]]")
    found = planned(path)
    (known,) = found.known
    schema = fit_schema("renamed", found.config.models["made-up"], known.reference)
    before = known.reference.layout.schema
    assert schema.model == "renamed"
    assert schema.tags == ("site", "desk")
    assert (schema.numeric, schema.categorical, schema.boolean) == (
        before.numeric,
        before.categorical,
        before.boolean,
    )


def test_series_are_limited_by_model_and_in_all() -> None:
    model = {"task": "binary", "reference": "m.json"}
    config = configured(
        {"a": model | {"limits": {"series": 50}}, "b": model}, limits={"series": 3_000}
    )
    limits = render_limits(config)
    assert limits.total == 3_000
    assert limits.models == {"a": 50, "b": 2_000}
