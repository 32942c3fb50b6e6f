"""Wrong configurations, each with the one line that people get."""

from pathlib import Path

import pytest

from streamgauge.config import load
from streamgauge.errors import ConfigError
from tests.support.config_files import KAFKA, MODEL, SMALLEST, problem, problems

FILES = Path(__file__).parents[1] / "data" / "wrong_configs"
M = "models.flight-delay"

SHIPPED = {
    # file: (line, place, words of the problem, words of the remedy)
    "unknown_key": (8, M, "unknown key 'windos'", "did you mean 'windows'?"),
    "missing_broker": (2, "kafka", "'bootstrap_servers' is missing", "localhost:9092"),
    "misspelt_task": (6, f"{M}.task", "binary, multiclass, regression", "did you mean 'binary'?"),
    "window_without_unit": (8, f"{M}.windows[1]", "duration with its unit", "10s"),
    "window_of_zero": (8, f"{M}.windows[0]", "longer than zero", "such as 10s"),
    "window_not_a_multiple": (12, f"{M}.windows[1]", "no multiple of the pane of 7s", "301s"),
    "input_is_output": (6, "topics.dead_letters", "same as topics.predictions[0]", "of its own"),
    "setting_loads_code": (6, 'kafka.librdkafka["plugin.library.paths"]', "loads code", "remove"),
    "setting_in_both_places": (
        5, 'kafka.librdkafka["bootstrap.servers"]', "field of its own", "kafka.bootstrap_servers",
    ),
    "key_stands_twice": (8, M, "stands twice, first in line 5", "keep one"),
    "yaml_no": (8, f"{M}.slices[1]", "true or false to others", "quote"),
    "yaml_octal": (5, "http.port", "leading zero", "in decimal"),
    "yaml_sexagesimal": (9, f"{M}.labels.max_delay", "base 60", "such as 90m"),
    "yaml_alias": (2, "kafka", "anchors and aliases", "write the value out"),
    "secret_of_wrong_type": (8, "kafka.security.password", "must be text", "quotes"),
}  # fmt: skip


def test_every_shipped_file_is_in_the_table_and_says_what_is_wrong_with_it() -> None:
    files = sorted(FILES.glob("*.yaml"))
    assert {file.stem for file in files} == set(SHIPPED)
    assert all(file.read_text().startswith("# Wrong: ") for file in files)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_wrong_file_gives_one_line_with_place_and_remedy(name: str) -> None:
    path = FILES / f"{name}.yaml"
    line, place, what, remedy = SHIPPED[name]
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}:{line}: {place}: ")
    problem_text, _, remedy_text = text.removeprefix(f"{path}:{line}: {place}: ").partition("; ")
    assert what in problem_text
    assert remedy in remedy_text


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_wrong_file_is_right_but_for_what_it_says(name: str, tmp_path: Path) -> None:
    lines = (FILES / f"{name}.yaml").read_text().splitlines()
    repairs = {
        "unknown_key": ("windos", "windows"),
        "missing_broker": ("{}", "{bootstrap_servers: 'localhost:9092'}"),
        "misspelt_task": ("binry", "binary"),
        "window_without_unit": (" 60", " 60m"),
        "window_of_zero": ("0s", "5m"),
        "window_not_a_multiple": ("- 5m", "- 7m"),
        "input_is_output": ("dead_letters: predictions", "dead_letters: rest"),
        "setting_loads_code": ("plugin.library.paths", "client.rack"),
        "setting_in_both_places": ("bootstrap.servers", "client.rack"),
        "key_stands_twice": ("  flight-delay:", "  flight-delay-2:"),
        "yaml_no": (" no]", " country]"),
        "yaml_octal": ("012", "9477"),
        "yaml_sexagesimal": ("1:30", "90m"),
        "yaml_alias": (" &kafka", ""),
        "secret_of_wrong_type": ("password: 8675309867530986", "password: '8675309867530986'"),
    }
    wrong = SHIPPED[name][0] - 1
    old, new = repairs[name]
    assert old in lines[wrong]
    lines[wrong] = lines[wrong].replace(old, new)
    path = tmp_path / "repaired.yaml"
    path.write_text("\n".join(lines))
    load(path, {})


MODEL_PROBLEMS = [
    # what stands below the model, place below the model, words of problem and remedy
    ("windows: [1h, 5m]", "windows[1]", "shorter than 1h; write short windows first"),
    ("windows: [5m, 300s]", "windows[1]", "stands twice; keep one"),
    ("windows: [5m, 400d]", "windows[1]", "longer than 366d; write a shorter"),
    ("windows: [5s]", "windows[0]", "shorter than one pane of 10s; write 10s"),
    ("windows: [670s]", "windows[0]", "only move by 670s at a time, because"),
    ("windows: []", "windows", "too short; write at least 1 entry"),
    ("windows: [1m,2m,3m,4m,5m,6m,7m,8m,9m]", "windows", "too long; write at most 8 entries"),
    ("windows: 5m", "windows", "must be a list, not text; put brackets"),
    ("windows: [5 minutes]", "windows[0]", "'5 minutes' is not a duration; write a whole number"),
    ("windows:", "windows", "has no value; write one, or remove the key"),
    ("pane: 25h", "pane", "between 100ms and 1h"),
    ("slices: [[carrier]]", "slices[0]", "needs two or more; write one without brackets"),
    ("slices: [a, [a, b], a]", "slices[2]", "the same slice as slices[0]; keep one"),
    ("slices: [[a, b], [b, a]]", "slices[1]", "the same slice as slices[0]"),
    ("slices: [[a, a]]", "slices[0]", "names the dimension 'a' twice; keep one"),
    ("slices: [[a, b, c, d, e]]", "slices[0]", "crosses 5 dimensions; cross at most 4"),
    ("slices: ['a,b']", "slices[0]", "holds a comma; write [a, b]"),
    ("slices: [5]", "slices[0]", "must be a name, {feature"),
    ("slices: ['']", "slices[0]", "printable characters"),
    ("slices: [{d: [2, 1]}]", "slices[0]", "must ascend; write each once"),
    ("slices: [{d: [1, 1]}]", "slices[0]", "must ascend; write each once"),
    ("slices: [{d: [1, x]}]", "slices[0]", "must be numbers; write"),
    ("slices: [{d: [true, false]}]", "slices[0]", "must be numbers; write"),
    ("slices: [{d: []}]", "slices[0]", "list of 1 to 100 numbers"),
    ("slices: [{d: 5}]", "slices[0]", "list of 1 to 100 numbers"),
    ("slices: [{d: [1], e: [1]}]", "slices[0]", "one feature per entry"),
    (
        "slices: [{d: [1]}, [a, {d: [2]}]]",
        "slices[1]",
        "another way than slices[0]; write the same bounds",
    ),
    ("slices: [{d: [1000000, 1000001]}]", "slices[0]", "look alike; write fewer"),
    ("slices: [{model_version: [1]}]", "slices[0]", "model_version is text; remove the bounds"),
    ("features: {d: numeric}", "features", "the reference file says the kinds already"),
    ("features: {d: real}", "features.d", "must be one of numeric, categorical, boolean"),
    ("min_samples: 0", "min_samples", "too small; write a number from 1 up"),
    ("min_samples: 1.5", "min_samples", "a whole number, not a number with a fraction"),
    ("min_samples: '200'", "min_samples", "a whole number, not text; write digits"),
    ("min_samples: true", "min_samples", "a whole number, not true or false"),
    ("tolerance: 0.6", "tolerance", "too large; write a number up to 0.5"),
    ("tolerance: [1]", "tolerance", "must be a number, not a list"),
    ("severity: page", "severity", "must be one of info, warning, critical; write one of them"),
    ("labels: 48h", "labels", "must hold 'key: value' lines, not text"),
    ("labels: {max_delay: 10000d}", "labels.max_delay", "longer than ten years"),
    ("limits: {series: 30000}", "limits.series", "above limits.series (20000) of the process"),
    ("limits: {slices: 10}", "limits", "unknown key 'slices'"),
]


@pytest.mark.parametrize(("below", "place", "words"), MODEL_PROBLEMS)
def test_a_wrong_model_gives_one_line(tmp_path: Path, below: str, place: str, words: str) -> None:
    found = problem(tmp_path, f"{SMALLEST}    {below}\n")
    assert found.startswith(f"streamgauge.yaml:6: models.churn.{place}: ")
    assert words in found
    assert "; " in found
    assert found.isprintable()


@pytest.mark.parametrize(
    ("model", "place", "words"),
    [
        ("{task: binary}", "m", "'reference' is missing; add it, such as reference: flight"),
        ("{reference: r}", "m", "'task' is missing; add it, such as task: binary"),
        ("{task: binary, reference: 5}", "m.reference", "the path of a file, not a whole number"),
        ("{task: binary, reference: ''}", "m.reference", "the path of a file"),
        ("{task: binary, reference: {}}", "m.reference", "'learn' is missing; add it"),
        ("{task: binary, reference: {lern: 1h}}", "m.reference", "did you mean 'learn'?"),
        ("{task: binary, reference: {learn: 5s}}", "m.reference.learn", "shorter than one pane"),
        (
            "{task: binary, reference: {learn: 1d, timezone: Europe/Berln}}",
            "m.reference.timezone", "'Europe/Berln' is not the name of a time zone; did you mean",
        ),
        (
            "{task: binary, reference: {learn: 1d, timezone: 2}}",
            "m.reference.timezone", "must be text, not a whole number; put it in quotes",
        ),
        ("{task: binary, reference: {learn: 24}}", "m.reference.learn", "duration with its unit"),
        (
            "{task: binary, reference: {learn: 1d}, slices: [z], features: {z: numeric}}",
            "m.slices[0]", "calls 'z' numeric; cut it at bounds",
        ),
        (
            "{task: binary, reference: {learn: 1d}, slices: [{z: [1]}], features: {z: boolean}}",
            "m.slices[0]", "calls 'z' boolean; remove the bounds",
        ),
        ("5", "m", "must hold 'key: value' lines, not a whole number"),
    ],
)  # fmt: skip
def test_a_model_without_what_it_needs_gives_its_problem(
    tmp_path: Path, model: str, place: str, words: str
) -> None:
    found = problems(tmp_path, f"{KAFKA}models:\n  m: {model}\n")
    assert any(f"yaml:3: models.{place}: " in line and words in line for line in found), found


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("app: a b", "app", "become"),
        ("app: a.b", "app", "letters, digits, '_' or '-'"),
        ("app: 5", "app", "must be text, not a whole number; put it in quotes"),
        ("topics: {labels: [predictions]}", "topics.labels[0]", "same as topics.predictions[0]"),
        ("topics: {predictions: [a, a]}", "topics.predictions[1]", "same as topics.predictions[0]"),
        ("topics: {alerts: labels}", "topics.alerts", "same as topics.labels[0]; name a topic of"),
        ("topics: {state: x, partials: x}", "topics.partials", "same as topics.state"),
        (
            "topics: {labels: [streamgauge.streamgauge.state]}", "topics.state",
            "same as topics.labels[0]",
        ),
        ("topics: {predictions: []}", "topics.predictions", "too short"),
        ("topics: {predictions: p}", "topics.predictions", "must be a list, not text"),
        ("topics: {predictions: ['a/b']}", "topics.predictions[0]", "is no name of a Kafka topic"),
        ("topics: {predictions: ['..']}", "topics.predictions[0]", "is no name of a Kafka topic"),
        ("topics: {prediction: [p]}", "topics", "did you mean 'predictions'?"),
        ("start: now", "start", "must be one of earliest, latest; write one"),
        ("events: {timestamp_unit: millis}", "events.timestamp_unit", "must be one of s, ms, us"),
        ("events: {max_future: 0s}", "events.max_future", "longer than zero"),
        ("events: {dead_letter_storm: {ratio: 0}}", "events.dead_letter_storm.ratio", "above 0"),
        ("time: {pane: 10ms}", "time.pane", "between 100ms and 1h"),
        ("time: 10s", "time", "must hold 'key: value' lines, not text"),
        ("alerts: {budget: 1}", "alerts.budget", "for example 1 per week"),
        ("alerts: {budget: 1 per fortnight}", "alerts.budget", "is not a budget; write a number"),
        ("alerts: {budget: 0 per week}", "alerts.budget", "silence every alert; write"),
        ("http: {port: 70000}", "http.port", "too large; write a number up to 65,535"),
        ("http: {port: '9477'}", "http.port", "must be a whole number, not text"),
        ("http: {host: ''}", "http.host", "must not be empty"),
        ("http: {host: ' x'}", "http.host", "begins or ends with a space; remove it"),
        ('http: {host: "a\\u202eb"}', "http.host", "invisible characters"),
        ("checkpoint_interval: 1ms", "checkpoint_interval", "between 100ms and 5m"),
        ("log: {format: xml}", "log.format", "must be one of auto, json, text"),
        ("log:", "log", "has no value; write one, or remove the key"),
        ("app: ${UNSET}", "app", "UNSET is not set; set it or write ${UNSET:-...}"),
        ("app: ${unclosed", "app", "holds a broken '${'; write ${NAME}"),
        ("app: ${a-b}", "app", "holds a broken '${'; write ${NAME}"),
        ("colour: red", None, "unknown key 'colour'; known are app, kafka, topics"),
        ("'a\\u001b[31m': red", None, r"unknown key 'a\\u001b[31m'"),
    ],
)  # fmt: skip
def test_a_wrong_setting_gives_one_line(
    tmp_path: Path, text: str, place: str | None, words: str
) -> None:
    found = problem(tmp_path, SMALLEST + text + "\n")
    assert found.startswith("streamgauge.yaml:6: " + (f"{place}: " if place else ""))
    assert words in found
    assert "; " in found


def test_a_file_without_broker_or_models_says_so(tmp_path: Path) -> None:
    assert problems(tmp_path, "app: x\n") == [
        "streamgauge.yaml:1: the key 'kafka' is missing; add it",
        "streamgauge.yaml:1: the key 'models' is missing; add it, such as models: {flight-delay:"
        " {task: binary, reference: flight-delay.reference.json}}",
    ]
    assert "models: is too short" in problem(tmp_path, KAFKA + "models: {}\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("''", 'models[""]: must not be empty'),
        ("'..'", 'models[".."]: cannot stand in an address'),
        ('"a\\nb"', r'models["a\nb"]: holds control'),
        ('"a\\u001b[31m"', r'models["a\u001b[31m"]: holds control'),
        ("'a '", 'models["a "]: begins or ends with a space'),
        ("x" * 201, "is too long; write at most 200 characters"),
    ],
)
def test_a_model_id_that_would_harm_a_page_or_terminal_is_refused(
    tmp_path: Path, name: str, words: str
) -> None:
    found = problem(tmp_path, f"{KAFKA}models:\n  {name}: {{task: binary, reference: r}}\n")
    assert words in found
    assert found.isprintable()


CANARY = "hunter2canary"


@pytest.mark.parametrize(
    "security",
    [
        "password: 12{c}",
        "password: [{c}]",
        "password: {{{c}: 1}}",
        "password: {{a: {c}}}",
        "password: !{c} x",
        "password: !a!{c} x",
        "password: &{c} x",
        "password: *{c}",
        "password: @{c}",
        "password: '{c}",
        "password: {c}: x",
        "password: {{{c}",
        "password: 0{c}",
        "pasword: {c}",
        "passwords: [{c}]",
        "key_password: [{c}]",
        "token_url: http://{c}@x",
        "token_url: {c}",
        "protocol: {c}",
        "mechanism: {c}",
        "password_file: [{c}]",
        "password_file: {c}\n    protocol: SASL_SSL\n    mechanism: PLAIN",
        "ca_file: {c}\n    protocol: SSL",
        "username: [{c}]",
        "password: ${{SECRET}}",
        "protocol: ${{SECRET}}",
        "password: ${{SECRET}}\n    password_file: x",
    ],
)
def test_no_message_shows_a_secret(tmp_path: Path, security: str) -> None:
    text = (
        "kafka:\n  bootstrap_servers: localhost:9092\n  security:\n    username: u\n    "
        + security.format(c=CANARY).replace("username: u\n    username", "username")
        + "\n"
        + MODEL
    )
    assert text.count(CANARY) or "SECRET" in text
    lines = problems(tmp_path, text, {"SECRET": CANARY})
    shown = [line for line in lines if CANARY in line]
    assert shown == []


@pytest.mark.parametrize("secret", ["086753098675309", "1:30:59", "9" * 60, ".inf", "5:5"])
def test_a_secret_that_looks_like_a_number_is_not_shown(tmp_path: Path, secret: str) -> None:
    text = f"kafka: {{bootstrap_servers: 'a:1', security: {{password: {secret}}}}}\n" + MODEL
    assert all(secret not in line.partition(": ")[2] for line in problems(tmp_path, text))


@pytest.mark.parametrize(
    "place",
    [
        "app: '${SECRET}'",
        "topics: {alerts: '${SECRET}'}",
        "start: '${SECRET}'",
        "time: {pane: '${SECRET}'}",
        "alerts: {budget: '${SECRET}'}",
        "http: {port: '${SECRET}'}",
        "http: '${SECRET}'",
        "limits: {series: '${SECRET}'}",
        "log: {level: '${SECRET}'}",
    ],
)
def test_a_value_from_the_environment_is_never_shown(tmp_path: Path, place: str) -> None:
    secret = "hunter2 canary/,"
    assert secret not in problem(tmp_path, f"{SMALLEST}{place}\n", {"SECRET": secret})


@pytest.mark.parametrize(
    "slices", ["['${SECRET}']", "[[a, '${SECRET}']]", "[['${SECRET}', '${SECRET}']]"]
)
def test_a_slice_from_the_environment_is_never_shown(tmp_path: Path, slices: str) -> None:
    secret = "hunter2,canary"
    found = problem(tmp_path, f"{SMALLEST}    slices: {slices}\n", {"SECRET": secret})
    assert secret not in found
