"""Configuration files for tests: written to a folder, loaded, and the problems that come back."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from streamgauge.config import Config, load
from streamgauge.errors import ConfigError

KAFKA = "kafka: {bootstrap_servers: 'localhost:9092'}\n"
MODEL = "models:\n  churn:\n    task: binary\n    reference: churn.reference.json\n"
SMALLEST = KAFKA + MODEL


def loaded(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Config:
    """Write the text to a file and return the configuration in it."""
    path = folder / "streamgauge.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environment or {})


def problems(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """Write the text to a file and return the lines of the error, without the folder."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, environment)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def problem(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the only problem of a text."""
    lines = problems(folder, text, environment)
    assert len(lines) == 1, lines
    return lines[0]
