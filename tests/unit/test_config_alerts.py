"""Keys of alerts, weights, latency limits and attached detectors, right and wrong."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from streamgauge.config import Budget, Config, yaml_text
from streamgauge.config.attached import RiverName
from streamgauge.config.instants import format_instant, parse_instant
from streamgauge.config.subjects import Subjects, parse_subjects
from streamgauge.core.alerts.policy import Severity
from streamgauge.core.detectors.river_detectors import BINARY, NUMERIC
from streamgauge.core.detectors.specs import AttachedSpec, Feed
from streamgauge.core.layout import SubjectKind
from tests.support.config_files import SMALLEST, loaded, problem

FULL = f"""{SMALLEST}    slices: [[carrier, origin]]
    weight: 2
    latency: {{limit: 500ms, share: 0.01}}
    detectors:
    - {{detector: adwin, series: score, parameters: {{delta: 0.01, clock: 8}}}}
    - {{detector: ddm, series: distance.missing}}
    - {{detector: page_hinkley, series: latency, feed: pane, parameters: {{mode: up}}}}
alerts:
  budget: 1 per week
  budgets: {{critical: 1 per year, info: 1 per day}}
  weights: {{feature: 1.0, data_quality: 0.5}}
  cool_down: 0s
  labels: {{team: ml, _desk: pricing}}
  silences:
  - until: 2026-12-01T00:00:00Z
  - until: 2026-12-01T01:00:00.25+01:00
    model: churn
    version: '3'
    subject: feature:distance
    slice: {{carrier: UA}}
    detector: distribution
    comment: carrier is being moved
  exclusions:
  - {{start: 2026-12-24T00:00:00Z, end: 2026-12-27T00:00:00Z, comment: holidays}}
"""
DECEMBER = 1_796_083_200_000
"""2026-12-01 00:00 UTC, from `date -d 2026-12-01T00:00:00Z +%s`."""
DAY = 86_400_000


def test_every_key_is_read(tmp_path: Path) -> None:
    config = loaded(tmp_path, FULL)
    alerts, model = config.alerts, config.models["churn"]
    assert alerts.levels == (
        (Severity.INFO, Budget(1.0, "day")),
        (Severity.WARNING, Budget(1.0, "week")),
        (Severity.CRITICAL, Budget(1.0, "year")),
    )
    assert alerts.weights == {SubjectKind.FEATURE: 1.0, SubjectKind.DATA_QUALITY: 0.5}
    assert alerts.cool_down == 0
    assert alerts.labels == {"team": "ml", "_desk": "pricing"}
    every, one = alerts.silences
    assert every.until == DECEMBER
    assert (every.model, every.version, every.subject, every.detector) == (None,) * 4
    assert every.slice == {}
    assert one.until == DECEMBER + 250
    assert (one.model, one.version, one.detector) == ("churn", "3", "distribution")
    assert one.subject == Subjects(SubjectKind.FEATURE, "distance")
    assert one.slice == {"carrier": "UA"}
    assert one.comment == "carrier is being moved"
    [holidays] = alerts.exclusions
    assert (holidays.start, holidays.end) == (DECEMBER + 23 * DAY, DECEMBER + 26 * DAY)
    assert model.weight == 2.0
    assert model.latency is not None
    assert (model.latency.limit, model.latency.share) == (500, 0.01)
    assert [detector.spec for detector in model.detectors] == [
        AttachedSpec("adwin", "score", Feed.EVENT, (("delta", 0.01), ("clock", 8))),
        AttachedSpec("ddm", "distance.missing"),
        AttachedSpec("page_hinkley", "latency", Feed.PANE, (("mode", "up"),)),
    ]


def test_the_json_schema_takes_every_key(tmp_path: Path) -> None:
    validator = Draft202012Validator(Config.json_schema())
    assert list(validator.iter_errors(yaml_text.read(FULL).data)) == []
    dumped = loaded(tmp_path, FULL).model_dump(mode="json")
    assert list(validator.iter_errors(dumped)) == []
    assert Config.model_validate(dumped).alerts == loaded(tmp_path, FULL).alerts


def test_without_keys_there_is_one_budget_and_all_models_and_series_weigh_the_same(
    tmp_path: Path,
) -> None:
    config = loaded(tmp_path, SMALLEST)
    assert config.alerts.levels == ((Severity.WARNING, Budget(1.0, "week")),)
    assert config.alerts.weights == {}
    assert config.alerts.cool_down == 600_000
    assert config.models["churn"].weight == 1.0
    assert config.models["churn"].latency is None
    assert config.models["churn"].detectors == ()
    assert config.models["churn"].min_samples == 30


def test_a_budget_may_be_the_same_as_that_of_the_next_severity(tmp_path: Path) -> None:
    text = f"{SMALLEST}alerts: {{budget: 1 per day, budgets: {{critical: 7 per week}}}}\n"
    assert len(loaded(tmp_path, text).alerts.levels) == 2


def test_a_parameter_may_come_from_the_environment(tmp_path: Path) -> None:
    entry = "{detector: adwin, series: score, parameters: {delta: '${D}', clock: '${C}'}}"
    config = loaded(tmp_path, f"{SMALLEST}    detectors: [{entry}]\n", {"D": "0.01", "C": "16"})
    [detector] = config.models["churn"].detectors
    assert detector.spec.parameters == (("delta", 0.01), ("clock", 16))


def test_every_detector_that_can_be_attached_can_be_named(tmp_path: Path) -> None:
    names = sorted({*NUMERIC, *BINARY})
    entries = ", ".join(f"{{detector: {name}, series: status}}" for name in names)
    config = loaded(tmp_path, f"{SMALLEST}    detectors: [{entries}]\n")
    assert [detector.spec.detector for detector in config.models["churn"].detectors] == names
    assert set(RiverName) == set(names)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-12-01T00:00:00Z", DECEMBER),
        ("2026-11-30T19:00:00-05:00", DECEMBER),
        ("2026-12-01T00:00:00.001999Z", DECEMBER + 1),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_an_instant_is_read_with_its_offset(text: str, milliseconds: int) -> None:
    assert parse_instant(text) == milliseconds
    assert parse_instant(format_instant(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01", "2026-12-01T00:00:00", "2026-12-01 00:00:00Z", "2026-12-01T24:00:00Z",
        "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00", "2026-12-01T00:00Z", "2026-W49-2T00:00:00Z",
        "2026-12-01T00:00:00+0100", "1.12.2026", "",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as in 2026-12-01T00:00:00Z"):
        parse_instant(text)


def test_a_subject_is_a_kind_or_a_kind_and_a_name_that_may_hold_colons() -> None:
    for text, kind, name in (
        ("score", SubjectKind.SCORE, None),
        ("data_quality:distance.missing", SubjectKind.DATA_QUALITY, "distance.missing"),
        ("feature:a:b", SubjectKind.FEATURE, "a:b"),
    ):
        assert parse_subjects(text) == Subjects(kind, name)
        assert str(parse_subjects(text)) == text


ALERTS = [
    # what stands below alerts, place below alerts, words of problem and remedy
    ("cool_down: 10", "cool_down", "must be a duration with its unit; write"),
    ("labels: {a-b: c}", "labels.a-b", "is no name of a Prometheus"),
    ("labels: {__a: c}", "labels.__a", "beginning with a letter, or with one '_'"),
    ("labels: {'1a': c}", "labels.1a", "is no name of a Prometheus label; write letters"),
    ("labels: {team: 5}", "labels.team", "must be text, not a whole number; put it in quotes"),
    ("labels: {team: ''}", "labels.team", "must not be empty; write a text"),
    ("labels: ml", "labels", "must hold 'key: value' lines, not text; indent"),
    ("weights: {features: 1}", "weights.features", "must be one of feature, score, prediction"),
    ("weights: {feature: 0}", "weights.feature", "too small; write a number above 0"),
    ("weights: {feature: 2000}", "weights.feature", "too large; write a number up to 1,000"),
    ("budgets: {page: 1 per day}", "budgets.page", "must be one of info, warning, critical; write"),
    ("budgets: {critical: 1}", "budgets.critical", "a number of false alarms in a period; write"),
    (
        "budgets: {warning: 1 per day}", "budgets.warning",
        "is the level of alerts.severity, whose budget is alerts.budget; remove it here",
    ),
    (
        "budgets: {critical: 1 per day}", "budgets.critical",
        "is larger than the budget of warning (1 per week), which is less severe; write at most",
    ),
    (
        "budgets: {info: 1 per year}", "budgets.info",
        "is smaller than the budget of warning (1 per week), which is more severe; write at least",
    ),
    (
        "{severity: info, budgets: {warning: 1 per year, critical: 2 per year}}",
        "budgets.critical", "is larger than the budget of warning (1 per year)",
    ),
    ("silences: [{}]", "silences[0]", "the key 'until' is missing; add it"),
    ("silences: [{until: 2026-12-01}]", "silences[0].until", "is no date and time with its"),
    ("silences: [{until: 5}]", "silences[0].until", "must be a date and time with its offset; wri"),
    ("silences: {until: 5}", "silences", "must be a list, not keys and values; put brackets"),
    ("exclusions: [{start: 2026-12-01T00:00:00Z}]", "exclusions[0]", "'end' is missing; add it"),
    (
        "exclusions: [{start: 2026-12-01T00:00:00Z, end: 2026-12-01T00:00:00Z}]",
        "exclusions[0].end", "is not after start; write a later time",
    ),
]  # fmt: skip
SILENCES = [
    # what a silence holds, place in it, words of problem and remedy
    ("model: chum", ".model", "is none of models; correct it, or remove it to cover all"),
    ("subject: features", ".subject", "a kind out of feature, score, prediction, label"),
    (
        "subject: 'feature:'",
        ".subject",
        "or a kind and a name; write it as in feature or feature:d",
    ),
    ("subject: 5", ".subject", "must be text; write it as in feature or feature:distance"),
    ("version: 3", ".version", "must be text, not a whole number; put it in quotes"),
    ("slice: {carrier: UA}", ".slice", "no model here is sliced by together; write those of one"),
    ("untl: x", "", "unknown key 'untl'; did you mean 'until'?"),
]
MODELS = [
    # what stands below the model, place below the model, words of problem and remedy
    ("weight: 0", "weight", "too small; write a number above 0"),
    ("weight: '1'", "weight", "must be a number, not text; write digits"),
    ("latency: {limit: 300ms, share: 0.1}", "latency.limit", "counted between; write 200ms or 500"),
    ("latency: {limit: 2m, share: 0.1}", "latency.limit", "counted between; write 1m"),
    ("latency: {limit: 500ms}", "latency", "the key 'share' is missing; add it"),
    ("latency: {limit: 500ms, share: 0}", "latency.share", "too small; write a number above 0"),
    ("latency: {limit: 500ms, share: 1}", "latency.share", "too large; write a number up to 0.99"),
    ("detectors: [{detector: adwin}]", "detectors[0]", "'series' is missing; add it"),
    (
        "detectors: [{detector: adwine, series: score}]", "detectors[0].detector",
        "fhddm; did you mean 'adwin'?",
    ),
    (
        "detectors: [{detector: adwin, series: score, fed: pane}]", "detectors[0]",
        "unknown key 'fed'; did you mean 'feed'?",
    ),
    (
        "detectors: [{detector: ddm, series: distance}]", "detectors[0].series",
        "is no yes or no, which alone ddm follows; write status or a rate of bad values",
    ),
    (
        "detectors: [{detector: eddm, series: status, feed: pane}]", "detectors[0].feed",
        "makes a share of what eddm takes as 0 or 1; write event",
    ),
    (
        "detectors: [{detector: adwin, series: score, parameters: {dleta: 1}}]",
        "detectors[0].parameters", "adwin has no parameter dleta: it has delta, clock",
    ),
    (
        "detectors: [{detector: adwin, series: score, parameters: {delta: x}}]",
        "detectors[0].parameters", "delta of adwin is a number, not 'x'; correct it",
    ),
    (
        "detectors: [{detector: kswin, series: score, parameters: {stat_size: 80}}]",
        "detectors[0].parameters", "kswin cannot work with these parameters",
    ),
    (
        "detectors: [{detector: adwin, series: score, parameters: {delta: [1]}}]",
        "detectors[0].parameters", "delta must be one value; write a number",
    ),
    (
        "detectors: [{detector: adwin, series: score, parameters: 5}]",
        "detectors[0].parameters", "the detector's own parameters; write them as in",
    ),
    (
        "detectors: [{detector: adwin, series: a}, {detector: adwin, series: a, feed: pane}]",
        "detectors[1]", "follows the same series as detectors[0]; keep one of them",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("below", "place", "words"), ALERTS)
def test_wrong_alerts_give_one_line(tmp_path: Path, below: str, place: str, words: str) -> None:
    inner = below if below.startswith("{") else f"{{{below}}}"
    found = problem(tmp_path, f"{SMALLEST}alerts: {inner}\n")
    assert found.startswith(f"streamgauge.yaml:6: alerts.{place}: ")
    assert words in found
    assert "; " in found


@pytest.mark.parametrize(("key", "place", "words"), SILENCES)
def test_a_wrong_silence_gives_one_line(tmp_path: Path, key: str, place: str, words: str) -> None:
    silence = f"{{until: 2026-12-01T00:00:00Z, {key}}}"
    found = problem(
        tmp_path, f"{SMALLEST}    slices: [origin]\nalerts: {{silences: [{silence}]}}\n"
    )
    assert found.startswith(f"streamgauge.yaml:7: alerts.silences[0]{place}: ")
    assert words in found
    assert "; " in found


@pytest.mark.parametrize(("below", "place", "words"), MODELS)
def test_a_wrong_key_of_a_model_gives_one_line(
    tmp_path: Path, below: str, place: str, words: str
) -> None:
    found = problem(tmp_path, f"{SMALLEST}    {below}\n")
    assert found.startswith(f"streamgauge.yaml:6: models.churn.{place}: ")
    assert words in found
    assert "; " in found


def test_a_regression_model_has_no_score_to_follow(tmp_path: Path) -> None:
    text = SMALLEST.replace("binary", "regression")
    found = problem(tmp_path, f"{text}    detectors: [{{detector: adwin, series: score}}]\n")
    assert found.startswith("streamgauge.yaml:6: models.churn.detectors[0].series: is not there in")


def test_a_silence_of_a_slice_that_only_another_model_has_is_refused(tmp_path: Path) -> None:
    other = "  other: {task: binary, reference: r, slices: [carrier]}\n"
    silence = "{until: 2026-12-01T00:00:00Z, slice: {carrier: UA}"
    all_models = f"{SMALLEST}{other}alerts: {{silences: [{silence}}}]}}\n"
    assert len(loaded(tmp_path, all_models).alerts.silences) == 1
    one_model = f"{SMALLEST}{other}alerts: {{silences: [{silence}, model: churn}}]}}\n"
    assert "alerts.silences[0].slice: names dimensions" in problem(tmp_path, one_model)


def test_a_severity_of_a_model_contradicts_budgets_of_severities(tmp_path: Path) -> None:
    text = f"{SMALLEST}    severity: info\nalerts: {{budgets: {{critical: 1 per year}}}}\n"
    assert problem(tmp_path, text) == (
        "streamgauge.yaml:6: models.churn.severity: has no effect where alerts.budgets grades by"
        " evidence; remove one of them"
    )


@pytest.mark.parametrize(
    "text",
    [
        "alerts: {silences: [{until: '${SECRET}'}]}",
        "alerts: {silences: [{until: 2026-12-01T00:00:00Z, model: '${SECRET}'}]}",
        "alerts: {silences: [{until: 2026-12-01T00:00:00Z, subject: '${SECRET}'}]}",
        "alerts: {budgets: {critical: '${SECRET}'}}",
        "alerts: {weights: {feature: '${SECRET}'}}",
        "    latency: {limit: '${SECRET}', share: 0.1}",
        "    detectors: [{detector: '${SECRET}', series: score}]",
        "    detectors: [{detector: ddm, series: '${SECRET}'}]",
        "    detectors: [{detector: adwin, series: a, parameters: {delta: '${SECRET}'}}]",
    ],
)
def test_a_value_from_the_environment_is_never_shown(tmp_path: Path, text: str) -> None:
    secret = "hunter2 canary/,"
    assert secret not in problem(tmp_path, f"{SMALLEST}{text}\n", {"SECRET": secret})
