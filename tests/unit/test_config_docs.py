"""The page docs/configuration.md."""

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from streamgauge.config import Config, load
from streamgauge.config.docs import configuration_page, rows, sections
from tests.unit.test_config_errors import SHIPPED

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_committed_page_is_what_the_schema_gives() -> None:
    assert PAGE.read_text() == configuration_page(), (
        "run python -m streamgauge.config.docs > docs/configuration.md"
    )


def test_every_key_of_every_section_is_on_the_page_once() -> None:
    schema = Config.json_schema()
    described = [section for _, section in sections(schema)]
    with_keys = [d for d in schema["$defs"].values() if "properties" in d]
    assert all(described.count(section) == 1 for section in (schema, *with_keys))
    page = configuration_page()
    for section in described:
        for row in rows(section, schema):
            assert page.count(f"| {' | '.join(row)} |") >= 1
            assert row.key.strip("`") in section["properties"]
            assert row.type
            assert row.meaning
        assert len(list(rows(section, schema))) == len(section["properties"])


def test_a_file_with_every_default_of_the_page_is_the_same_as_one_without(tmp_path: Path) -> None:
    short: dict[str, Any] = {
        "kafka": {"bootstrap_servers": "b:1"},
        "models": {"m": {"task": "binary", "reference": "r.json"}},
    }
    long = copy.deepcopy(short)
    schema = Config.json_schema()
    written = 0
    for place, section in sections(schema):
        defaults = [row for row in rows(section, schema) if row.default.startswith("`")]
        # What stands in a list is there by no default, nor what stands instead of a file's name.
        if not defaults or "[]" in place or place.endswith(".reference"):
            continue
        here: Any = long
        for key in place.replace("<id>", "m").split(".") if place else ():
            here = here.setdefault(key, {})
        for row in defaults:
            here[row.key.strip("`")] = yaml.safe_load(row.default.strip("`"))
            written += 1
    assert written > 30
    files = [tmp_path / "short.yaml", tmp_path / "long.yaml"]
    for file, data in zip(files, (short, long), strict=True):
        file.write_text(yaml.safe_dump(data))
    assert load(files[1], {}) == load(files[0], {})


def test_the_example_on_the_page_is_a_configuration(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", configuration_page(), re.DOTALL)
    path = tmp_path / "streamgauge.yaml"
    path.write_text(example)
    assert set(load(path, {}).models) == {"flight-delay"}


def test_the_error_on_the_page_is_one_that_people_get() -> None:
    [line] = re.findall(r"^error: (.*)$", configuration_page(), re.MULTILINE)
    _, number, place, text = line.split(":", 3)
    assert number.isdigit()
    assert place.strip() == SHIPPED["window_without_unit"][1]
    assert SHIPPED["window_without_unit"][2] in text


def commands() -> list[list[str]]:
    """Return the commands on the page, split as a shell does."""
    lines = re.findall(r"^streamgauge .*$", configuration_page(), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]
