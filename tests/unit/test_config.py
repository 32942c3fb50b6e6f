from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from streamgauge.config import Budget, Config, Learn, config_error, load, slice_specs, yaml_text
from streamgauge.config.section import Section
from streamgauge.core.alerts.policy import Severity
from streamgauge.core.batch import FeatureKind, Task
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.errors import ConfigError
from tests.support.config_files import KAFKA, MODEL, SMALLEST, loaded, problem, problems

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart" / "streamgauge.yaml"
WRONG = Path(__file__).parents[1] / "data" / "wrong_configs"

FULL = """
app: flights
kafka:
  bootstrap_servers: broker-1:9092,broker-2:9092
  librdkafka: {fetch.max.bytes: 16777216, socket.keepalive.enable: true}
topics: {predictions: [eu, us], labels: []}
start: latest
events:
  timestamp_unit: us
  dead_letter_storm: {ratio: 0.25}
time: {pane: 1m, disorder: 0s, grace: 10m, idle_after: 45s}
models:
  flight-delay:
    task: binary
    reference: {learn: 24h}
    slices: [carrier, origin, [carrier, origin], {distance: [500, 1500.5]},
             [carrier, {distance: [500, 1500.5]}], model_version, [origin, model_version]]
    windows: [5m, 1h, 1d, 4w]
    labels: {max_delay: 48h}
    tolerance: 0
    severity: critical
    features: {distance: numeric, zip_code: categorical}
    limits: {series: 100}
  "../../x":
    task: regression
    reference: /var/lib/price.json
    pane: 10s
alerts: {budget: 0.5 per day, severity: info, pending_for: 500ms}
http: {host: 0.0.0.0, port: 0}
checkpoint_interval: 1s
limits: {series: 5000}
log: {level: debug, format: json}
"""


def test_the_smallest_configuration_names_a_broker_and_a_model_alone(tmp_path: Path) -> None:
    config = loaded(tmp_path, SMALLEST)
    assert config.app == "streamgauge"
    assert config.topics.predictions == ("predictions",)
    assert config.topics.labels == ("labels",)
    assert config.models["churn"].windows == (300_000, 3_600_000, 86_400_000)
    assert config.alerts.budget == Budget(1.0, "week")
    assert (config.http.host, config.http.port) == ("127.0.0.1", 9477)
    assert config.pane_ms("churn") == 10_000
    assert config.severity("churn") is Severity.WARNING


def test_the_quickstart_example_loads_and_finds_its_reference_beside_it() -> None:
    config = load(EXAMPLE)
    assert config.models["churn"].reference == EXAMPLE.parent / "churn.reference.json"
    assert slice_specs(config.models["churn"]) == (SliceSpec((Dimension("plan"),)),)
    assert len(EXAMPLE.read_text().splitlines()) <= 12


def test_every_section_is_read(tmp_path: Path) -> None:
    config = loaded(tmp_path, FULL)
    model = config.models["flight-delay"]
    assert model.task is Task.BINARY
    assert model.reference == Learn.model_validate({"learn": "1d"})
    assert model.windows == (300_000, 3_600_000, 86_400_000, 28 * 86_400_000)
    assert model.labels.max_delay == 48 * 3_600_000
    assert model.features == {
        "distance": FeatureKind.NUMERIC,
        "zip_code": FeatureKind.CATEGORICAL,
    }
    assert config.models["../../x"].reference == Path("/var/lib/price.json")
    assert config.pane_ms("flight-delay") == 60_000
    assert config.pane_ms("../../x") == 10_000
    assert config.severity("flight-delay") is Severity.CRITICAL
    assert config.severity("../../x") is Severity.INFO
    assert config.alerts.budget.count / config.alerts.budget.period_ms == 0.5 / 86_400_000
    assert config.events.dead_letter_storm.ratio == 0.25
    assert config.events.dead_letter_storm.consecutive == 10_000
    assert config.time.disorder == 0


def test_names_of_internal_topics_come_from_the_app_unless_given(tmp_path: Path) -> None:
    config = loaded(tmp_path, "app: flights\n" + SMALLEST)
    assert config.group_id == "streamgauge.flights"
    assert config.state_topic == "streamgauge.flights.state"
    assert config.partials_topic == "streamgauge.flights.partials"
    named = loaded(tmp_path, SMALLEST + "topics: {state: my-state, partials: my-partials}\n")
    assert (named.state_topic, named.partials_topic) == ("my-state", "my-partials")


def test_the_version_adds_nothing_to_a_slice_and_no_slice_is_counted_twice(tmp_path: Path) -> None:
    carrier, origin = Dimension("carrier"), Dimension("origin")
    distance = Dimension("distance", (500.0, 1500.5))
    assert slice_specs(loaded(tmp_path, FULL).models["flight-delay"]) == (
        SliceSpec((carrier,)),
        SliceSpec((origin,)),
        SliceSpec((carrier, origin)),
        SliceSpec((distance,)),
        SliceSpec((carrier, distance)),
    )


def test_a_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = loaded(tmp_path, SMALLEST)
    with pytest.raises(ValueError, match="frozen"):
        config.http.port = 1


def test_environment_variables_are_put_into_texts_and_numbers_of_numeric_fields(
    tmp_path: Path,
) -> None:
    text = (
        "kafka: {bootstrap_servers: '${HOST}:${PORT:-9092}'}\n"
        "http: {port: '${HTTP_PORT}'}\n"
        "events: {dead_letter_storm: {ratio: '${RATIO}'}}\n"
        "alerts: {budget: '${BUDGET:-2 per day}'}\n"
        "log: {level: '${LEVEL:-error}'}\n"
        "models: {m: {task: binary, reference: '$${HOST}/${EMPTY:-r}.json', windows: ['${W}']}}\n"
    )
    environment = {
        "HOST": "kafka", "HTTP_PORT": "8080", "RATIO": "0.75", "W": "10m", "EMPTY": "",
    }  # fmt: skip
    config = loaded(tmp_path, text, environment)
    assert config.kafka.bootstrap_servers == "kafka:9092"
    assert config.http.port == 8080
    assert config.events.dead_letter_storm.ratio == 0.75
    assert str(config.alerts.budget) == "2 per day"
    assert config.log.level == "error"
    assert config.models["m"].reference == tmp_path / "${HOST}" / "r.json"
    assert config.models["m"].windows == (600_000,)


def test_keys_are_texts_and_never_take_values_from_the_environment(tmp_path: Path) -> None:
    text = (
        KAFKA
        + "models:\n"
        + "".join(
            f"  {key}: {{task: binary, reference: r.json}}\n" for key in ("1", "no", "~", "'${A}'")
        )
    )
    assert list(loaded(tmp_path, text, {"A": "b"}).models) == ["1", "no", "~", "${A}"]


def test_a_problem_found_later_gets_the_line_of_its_place(tmp_path: Path) -> None:
    loaded(tmp_path, SMALLEST)
    path = tmp_path / "streamgauge.yaml"
    error = config_error(path, ("models", "churn", "reference"), "is not there; make it")
    assert isinstance(error, ConfigError)
    assert str(error) == f"{path}:5: models.churn.reference: is not there; make it"


def test_all_problems_of_a_file_are_listed_in_the_order_of_its_lines(tmp_path: Path) -> None:
    text = KAFKA + "http: {port: 70000}\nlog: {level: loud}\n" + MODEL + "    windows: []\n"
    places = [line.split(": ")[1] for line in problems(tmp_path, text)]
    assert places == ["http.port", "log.level", "models.churn.windows"]


def test_a_file_with_hundreds_of_problems_lists_some_and_counts_the_rest(tmp_path: Path) -> None:
    text = SMALLEST + "".join(f"    wrong_{i}: 1\n" for i in range(300))
    lines = problems(tmp_path, text)
    assert len(lines) == 21
    assert lines[-1].endswith("and 280 more problems")


def test_every_field_of_every_section_is_described() -> None:
    sections = Section.__subclasses__()
    assert len(sections) > 12
    bare = [
        f"{section.__name__}.{name}"
        for section in sections
        for name, field in section.model_fields.items()
        if not field.description
    ]
    assert bare == []


def test_the_json_schema_is_one_and_takes_every_example() -> None:
    schema = Config.json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for text in (EXAMPLE.read_text(), FULL, SMALLEST):
        assert list(validator.iter_errors(yaml_text.read(text).data)) == []


@pytest.mark.parametrize(
    "name",
    [
        "unknown_key",
        "missing_broker",
        "misspelt_task",
        "window_without_unit",
        "window_of_zero",
        "secret_of_wrong_type",
    ],
)
def test_the_json_schema_refuses_wrong_shapes_already_in_the_editor(name: str) -> None:
    data = yaml_text.read((WRONG / f"{name}.yaml").read_text()).data
    assert list(Draft202012Validator(Config.json_schema()).iter_errors(data)) != []


@pytest.mark.parametrize("bad", ["windows: [5]", "tolerance: 0.9", "slices: [[a]]"])
def test_the_json_schema_knows_the_limits_of_a_model(tmp_path: Path, bad: str) -> None:
    text = SMALLEST + f"    {bad}\n"
    problem(tmp_path, text)
    assert list(Draft202012Validator(Config.json_schema()).iter_errors(yaml_text.read(text).data))
