"""From a file to a `Config`, or to the list of all that is wrong with it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from streamgauge.config import yaml_text
from streamgauge.config.environment import substitute
from streamgauge.config.kafka import SecurityConfig
from streamgauge.config.places import Place, Problem, place_text
from streamgauge.config.problems import explain
from streamgauge.config.root import Config
from streamgauge.errors import ConfigError

LARGEST_FILE: Final = 1024 * 1024
"""A longer file (bytes) is no configuration."""
MOST_PROBLEMS: Final = 20
"""As many problems are listed; they often have few causes."""


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration that a YAML file holds, with `environment` put in for `${NAME}`.

    Relative paths in it are resolved against the file's folder. Raises ConfigError with one line
    for each problem: `file.yaml:12: models.m.windows[1]: what is wrong; the remedy`.
    """
    document = _document(path, _text(path))
    data, unset = substitute(document.data, environment)
    problems = [*document.problems, *unset]
    if problems:
        raise _error(path, document, problems)
    try:
        config = Config.model_validate(data, context={"folder": path.absolute().parent})
    except ValidationError as error:
        raise _error(path, document, explain(error, Config)) from None
    if unreadable := list(_unreadable_files(config.kafka.security)):
        raise _error(path, document, unreadable)
    return config


def config_error(path: Path, place: Place, text: str) -> ConfigError:
    """Return the error of a problem that was found later, with its line in the file.

    `place` is where the value stands, such as `("models", "churn", "reference")`.
    """
    return _error(path, _document(path, _text(path)), [Problem(place, text)])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{path}: is larger than 1 MiB; is it the configuration file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text; save it as UTF-8") from None


def _document(path: Path, text: str) -> yaml_text.Document:
    try:
        document = yaml_text.read(text)
    except yaml_text.UnreadableError as error:
        raise ConfigError(f"{path}:{error.line}: {error.text}") from None
    if document.data is None:
        raise ConfigError(f"{path}: is empty; write at least kafka.bootstrap_servers and models")
    if not isinstance(document.data, dict):
        raise ConfigError(
            f"{path}:{document.line(())}: must hold 'key: value' lines at its top; write at least"
            " kafka.bootstrap_servers and models"
        )
    return document


def _unreadable_files(security: SecurityConfig) -> Iterable[Problem]:
    for name in ("password_file", "ca_file", "certificate_file", "key_file"):
        # The path is not shown: it may be a secret that was put into the wrong field.
        file: Path | None = getattr(security, name)
        if file is not None and not (file.is_file() and os.access(file, os.R_OK)):
            yield Problem(
                ("kafka", "security", name),
                "names no file that can be read; mount it or correct the path",
            )


def _line(document: yaml_text.Document, problem: Problem) -> int:
    place = problem.place if problem.key is None else (*problem.place, problem.key)
    return document.line(place)


def _error(path: Path, document: yaml_text.Document, problems: Iterable[Problem]) -> ConfigError:
    ordered = sorted(problems, key=lambda problem: _line(document, problem))
    lines = [
        f"{path}:{_line(document, problem)}: "
        + (f"{place_text(problem.place)}: " if problem.place else "")
        + problem.text
        for problem in ordered[:MOST_PROBLEMS]
    ]
    if len(ordered) > MOST_PROBLEMS:
        lines.append(f"{path}: and {len(ordered) - MOST_PROBLEMS} more problems")
    return ConfigError("\n".join(lines))
