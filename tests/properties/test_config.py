"""Any configuration that loads is loaded again from its own dump; any other text is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamgauge.config import Config, format_duration, parse_duration, slice_specs, yaml_text
from streamgauge.config.instants import format_instant
from streamgauge.config.slices import dump_slice, parse_slice
from streamgauge.core.slices import VERSION_DIMENSION
from streamgauge.errors import ConfigError
from tests.support.config_files import SMALLEST, loaded, problems

PANE = 10_000
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

printable = st.characters(categories=["L", "N", "P", "S"], exclude_characters="$,")
# PyYAML writes 1e5 without quotes, which YAML 1.2 reads as a number.
names = st.text(printable, min_size=1, max_size=20).filter(
    lambda text: text not in {".", ".."} and not re.fullmatch(r"[-+.0-9]+[eE][-+]?[0-9]+", text)
)
topics = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,30}", fullmatch=True)
durations = st.builds(
    lambda count, unit: f"{count}{unit}",
    st.integers(1, 400),
    st.sampled_from(["ms", "s", "m", "h", "d"]),
)
bounds = st.lists(
    st.integers(-9_999, 9_999) | st.sampled_from([0.5, 1.25, 1e300]), min_size=1, unique=True
).map(sorted)
dimensions = names | st.builds(lambda name, cuts: {name: cuts}, names, bounds)


def _names(entry: object) -> list[str]:
    entries = entry if isinstance(entry, list) else [entry]
    return [next(iter(e)) if isinstance(e, dict) else str(e) for e in entries]


def _apart(entries: list[Any]) -> bool:
    """Whether no dimension stands in two entries, so that none repeats or contradicts another."""
    flat = [name for entry in entries for name in _names(entry)]
    return len(flat) == len(set(flat))


slices = (
    st.lists(dimensions | st.lists(dimensions, min_size=2, max_size=3), max_size=4)
    .filter(_apart)
    .filter(lambda entries: VERSION_DIMENSION not in json.dumps(entries))
)
windows = st.lists(
    st.sampled_from([10, 60, 300, 900, 3_600, 86_400, 604_800]), min_size=1, max_size=7, unique=True
).map(lambda seconds: [format_duration(1_000 * s) for s in sorted(seconds)])
instants = st.integers(0, 4 * 10**12).map(format_instant)
detectors = st.fixed_dictionaries(
    {"detector": st.sampled_from(["adwin", "page_hinkley", "kswin"]), "series": names},
    optional={"feed": st.sampled_from(["event", "pane"])},
)
silences = st.fixed_dictionaries(
    {"until": instants},
    optional={
        "version": names,
        "subject": st.sampled_from(["score", "feature"])
        | names.map(lambda name: f"service:{name}"),
        "detector": names | st.none(),
        "comment": names,
    },
)
exclusions = st.builds(
    lambda start, length: {"start": format_instant(start), "end": format_instant(start + length)},
    st.integers(0, 4 * 10**12),
    st.integers(1, 10**10),
)
labels = st.dictionaries(st.from_regex(r"[a-z][A-Za-z0-9_]{0,9}", fullmatch=True), names)
models = st.fixed_dictionaries(
    {
        "task": st.sampled_from(["binary", "multiclass", "regression"]),
        "reference": names.map(lambda name: f"/{name}")
        | st.just({"learn": "24h"})
        | st.just({"learn": "10s"}),
    },
    optional={
        "slices": slices,
        "windows": windows,
        "pane": st.sampled_from(["100ms", "1s", "5s", "10s", None]),
        "labels": st.fixed_dictionaries({}, optional={"max_delay": durations}),
        "min_samples": st.integers(1, 10**9),
        "tolerance": st.floats(0, 0.5) | st.just(0),
        "severity": st.sampled_from(["info", "warning", "critical", None]),
        "weight": st.floats(0, 1_000, exclude_min=True),
        "latency": st.sampled_from([{"limit": "500ms", "share": 0.01}, None]),
        "detectors": st.lists(detectors, max_size=2, unique_by=lambda d: str(d["detector"])),
        "limits": st.fixed_dictionaries(
            {},
            optional={
                "slices_per_dimension": st.integers(1, 1_000_000),
                "versions": st.integers(1, 1_000),
                "exported_slices": st.integers(0, 100_000),
                "series": st.integers(1, 20_000),
            },
        ),
    },
)
configs = st.fixed_dictionaries(
    {
        "kafka": st.fixed_dictionaries(
            {"bootstrap_servers": st.sampled_from(["localhost:9092", "a:1,[::1]:2"])},
            optional={
                "librdkafka": st.dictionaries(
                    st.sampled_from(["client.rack", "debug", "fetch.max.bytes", "x.y"]),
                    st.integers(-(10**15), 10**15) | st.booleans() | st.floats(-1e9, 1e9) | names,
                ),
                "security": st.sampled_from(
                    [
                        {},
                        {"protocol": "SSL"},
                        {"protocol": "PLAINTEXT", "username": None},
                    ]
                ),
            },
        ),
        "models": st.dictionaries(names, models, min_size=1, max_size=3),
    },
    optional={
        "app": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
        "topics": st.lists(topics, min_size=6, max_size=6, unique=True).map(
            lambda t: {
                "predictions": t[:2], "labels": t[2:3], "alerts": t[3], "dead_letters": t[4],
                "state": t[5],
            }
        ),
        "start": st.sampled_from(["earliest", "latest"]),
        "events": st.fixed_dictionaries(
            {},
            optional={
                "timestamp_unit": st.sampled_from(["s", "ms", "us", "ns"]),
                "max_future": durations,
                "dead_letter_payload": st.sampled_from(["full", "hash", "none"]),
                "dead_letter_storm": st.fixed_dictionaries(
                    {}, optional={"ratio": st.floats(0, 1, exclude_min=True)}
                ),
            },
        ),
        "time": st.fixed_dictionaries(
            {},
            optional={
                "pane": st.sampled_from(["1s", "10s"]),
                "disorder": durations | st.just("0s"),
                "grace": durations | st.just("0ms"),
            },
        ),
        "alerts": st.fixed_dictionaries(
            {},
            optional={
                "budget": st.builds(
                    lambda count, period: f"{count} per {period}",
                    st.integers(1, 999_999) | st.sampled_from([0.5, 0.000001, 12.25]).map(str),
                    st.sampled_from(["hour", "day", "week", "month", "year"]),
                ).filter(lambda text: "e-" not in text),
                "pending_for": durations,
                "cool_down": durations,
                "weights": st.dictionaries(
                    st.sampled_from(["feature", "score"]), st.floats(0.001, 1_000)
                ),
                "labels": labels,
                "silences": st.lists(silences, max_size=3),
                "exclusions": st.lists(exclusions, max_size=2),
            },
        ),
        "http": st.fixed_dictionaries({"host": names, "port": st.integers(0, 65_535)}),
        "checkpoint_interval": st.sampled_from(["100ms", "5s", "5m"]),
    },
)  # fmt: skip


@FEW
@given(configs)
def test_a_valid_configuration_dumps_and_loads_to_itself(
    tmp_path: Path, data: dict[str, Any]
) -> None:
    config = loaded(tmp_path, json.dumps(data, ensure_ascii=False))
    again = config.model_dump(mode="json")
    assert loaded(tmp_path, json.dumps(again, ensure_ascii=False)) == config
    assert loaded(tmp_path, yaml.dump(again, allow_unicode=True, Dumper=_NoAliases)) == config
    for model in config.models.values():
        assert slice_specs(model) == model.slices


# PyYAML leaves texts without quotes that are something else in YAML 1.2, or to other readers of
# YAML 1.1 (0E0, 08, oN); here they are that, or refused.
ELSE_TO_SOME = re.compile(r"[-+.]*[0-9][-+._0-9a-zA-Z:]*|yes|no|on|off|true|false", re.IGNORECASE)


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True

    def represent_text(self, data: str) -> yaml.Node:
        quotes = '"' if ELSE_TO_SOME.fullmatch(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=quotes)


_NoAliases.add_representer(str, _NoAliases.represent_text)


@FEW
@given(configs)
def test_the_json_schema_takes_every_valid_configuration(data: dict[str, Any]) -> None:
    assert list(SCHEMA.iter_errors(data)) == []


SCHEMA = Draft202012Validator(Config.json_schema())


@FEW
@given(st.text(max_size=200) | st.text("{}[]:,-#&*!|>'\"%@` \n\tabc01.~?<=", max_size=60))
def test_any_text_is_read_or_refused_in_plain_words(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text.encode("utf-8", "ignore").decode())
    assert str(caught.value).startswith(str(tmp_path))


@FEW
@given(st.data())
def test_any_change_of_a_valid_file_is_read_or_refused_in_plain_words(
    tmp_path: Path, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(SMALLEST)))
    until = data.draw(st.integers(at, min(len(SMALLEST), at + 20)))
    put_in = data.draw(st.text("{}[]:,-#&*!|>'\"%@` \n\tabc01.~?<=$", max_size=8))
    text = SMALLEST[:at] + put_in + SMALLEST[until:]
    try:
        config = loaded(tmp_path, text)
    except ConfigError as error:
        for line in str(error).splitlines():
            assert line.startswith(str(tmp_path / "streamgauge.yaml"))
            assert line.isprintable()
    else:
        assert config.models


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@FEW
@given(
    st.sampled_from(
        [
            (section, field)
            for section, holder in Config.model_fields.items()
            for field in (
                ["", *getattr(holder.annotation, "model_fields", {})]
                if section != "models"
                else ["", "m"]
            )
        ]
    ),
    json_values,
)
def test_any_value_anywhere_is_read_or_refused_in_plain_words(
    tmp_path: Path, place: tuple[str, str], value: object
) -> None:
    section, field = place
    data: dict[str, object] = {"unknown": 1, "models": {"m": {"task": "binary", "reference": "r"}}}
    data[section] = {field: value} if field else value
    lines = problems(tmp_path, yaml.dump(data, Dumper=_NoAliases))
    assert all("Input should" not in line and "is not accepted" not in line for line in lines)


@given(st.integers(0, 3_650 * 86_400_000))
def test_a_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@given(dimensions | st.lists(dimensions, min_size=2, max_size=4).filter(lambda e: _apart([e])))
def test_a_slice_is_read_as_it_was_written(entry: object) -> None:
    assert parse_slice(dump_slice(parse_slice(entry))) == parse_slice(entry)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(-1e15, 1e15)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(plain)
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    text = yaml.dump(value, Dumper=_NoAliases)
    document = yaml_text.read(text)
    assert document.problems == ()
    assert document.data == value
