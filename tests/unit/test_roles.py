"""Split roles at the command line: what they refuse, and how."""

from pathlib import Path

import numpy as np
import pytest

from streamgauge.formats.reference_file import write_reference
from tests.support.commands import Called, call_main
from tests.support.flights import flights, reference_of

SPLIT = (("--role", "aggregate"), ("--role", "analyse"), ("--workers", "2"))
BEGIN = """
kafka: {bootstrap_servers: "localhost:1"}
models:
"""


def run(folder: Path, models: str, *options: str) -> Called:
    path = folder / "streamgauge.yaml"
    path.write_text(BEGIN + models)
    return call_main("run", "-c", str(path), *options)


@pytest.mark.parametrize("options", SPLIT)
def test_a_model_that_is_learned_is_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    called = run(tmp_path, "  m: {task: binary, reference: {learn: 1h}}\n", *options)
    assert called.code == 78
    [line] = called.errors
    assert "models.m.reference: is learned from the stream, which needs every event in" in line
    assert "use --role all" in line


def test_detectors_of_river_are_refused(tmp_path: Path) -> None:
    write_reference(
        reference_of(flights(np.random.default_rng(1), 300, 0, 600)), tmp_path / "r.json"
    )
    models = """
  m:
    task: binary
    reference: r.json
    detectors: [{detector: adwin, series: score, feed: event}]
"""
    called = run(tmp_path, models, "--role", "aggregate")
    assert called.code == 78, called.errors
    [line] = called.errors
    assert "models.m.detectors: are of River and take events one by one" in line


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--workers", "2", "--role", "analyse"), "--workers starts processes of both"),
        (("--role", "aggregate", "--discard-state"), "has no state to discard"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    tmp_path: Path, options: tuple[str, ...], text: str
) -> None:
    called = run(tmp_path, "  m: {task: binary, reference: {learn: 1h}}\n", *options)
    assert called.code == 2
    assert text in called.errors[0]


def test_help_tells_of_the_roles() -> None:
    called = call_main("run", "--help")
    assert called.code == 0
    for word in ("--role", "aggregate", "analyse", "--workers", "--http-port", "docs/roles.md"):
        assert word in called.output
    assert "--member" not in called.output
