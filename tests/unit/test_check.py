"""The command `check` as it is called, where no broker is asked."""

import re
from pathlib import Path

import orjson
import pytest

from streamgauge.cli.check_output import size
from tests.support.commands import Called, call_main
from tests.support.made_up_model import made_up_events, made_up_reference, write_config
from tests.unit.test_config_docs import commands
from tests.unit.test_config_errors import FILES, SHIPPED


def call(*arguments: str) -> Called:
    return call_main("check", *arguments)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("options", [(), ("--offline",)])
def test_a_wrong_file_ends_with_78_and_one_line(name: str, options: tuple[str, ...]) -> None:
    path = FILES / f"{name}.yaml"
    line, place, what, remedy = SHIPPED[name]
    code, output, errors = call("-c", str(path), *options)
    assert code == 78
    assert output == ""
    [error] = errors
    assert error.startswith(f"error: {path}:{line}: {place}: ")
    assert what in error
    assert remedy in error
    assert "8675309867530986" not in error


def test_several_problems_are_a_line_each(tmp_path: Path) -> None:
    path = write_config(tmp_path, more="http: {port: -1}\nstart: now")
    code, _, errors = call("-c", str(path))
    assert code == 78
    assert [error.split(": ")[:3] for error in errors] == [
        ["error", f"{path}:2", "http.port"],
        ["error", f"{path}:3", "start"],
    ]


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert call("-c", str(path)) == (
        78, "", [f"error: {path}: cannot be read: No such file or directory; check the path"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file; make it with `streamgauge profile DATA -o"),
        (b"{", "is cut off after 1 bytes"),
        (b'{"format": "x", "version": 1}', "is no reference file"),
    ],
)
def test_a_reference_that_cannot_be_used_is_said_with_its_line(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = write_config(tmp_path)
    reference = tmp_path / "made-up.json"
    reference.unlink()
    if content is not None:
        reference.write_bytes(content)
    code, _, [error] = call("-c", str(path))
    assert code == 78
    assert error.startswith(f"error: {path}:6: models.made-up.reference: {reference}: ")
    assert words in error


def test_a_reference_that_does_not_fit_is_said_with_its_line(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("task: binary", "task: regression"))
    code, _, [error] = call("-c", str(path), "--offline")
    assert code == 78
    assert error.startswith(f"error: {path}:6: models.made-up.reference: was made for a binary")


@pytest.mark.parametrize(
    ("kafka", "place", "words"),
    [
        ("librdkafka: {fetch.max.byte: 1}", 'kafka.librdkafka["fetch.max.byte"]', "no setting"),
        ("librdkafka: {linger.ms: -1}", 'kafka.librdkafka["linger.ms"]', "is not from 0 to"),
        ("librdkafka: {acks: 1}", "kafka.librdkafka", "`acks` must be set to `all`"),
        (
            "security: {protocol: SSL, ca_file: made-up.json}",
            "kafka.security.ca_file",
            "no certificate",
        ),
        (
            "security: {protocol: SASL_SSL, mechanism: PLAIN, username: u, password_file: empty}",
            "kafka.security.password_file",
            "the file does not hold a password",
        ),
    ],
)
def test_a_client_setting_that_librdkafka_refuses_is_found_offline(
    tmp_path: Path, kafka: str, place: str, words: str
) -> None:
    path = write_config(tmp_path)
    (tmp_path / "empty").write_text("")
    text = path.read_text().replace("localhost:9092'}", f"localhost:9092',\n  {kafka}}}")
    path.write_text(text)
    code, _, [error] = call("-c", str(path), "--offline")
    assert code == 78
    assert error.startswith(f"error: {path}:2: {place}: kafka client: ")
    assert words in error


def test_plain_lines_are_for_reading_and_for_grep(tmp_path: Path) -> None:
    path = write_config(tmp_path, slices="[colour, region]")
    code, output, errors = call("-c", str(path), "--offline")
    assert (code, errors) == (0, [])
    lines = output.splitlines()
    assert {line.split(": ")[0] for line in lines} == {"ok", "note", "projection"}
    assert f"ok: configuration {path} is complete (1 model)" in lines
    assert "ok: kafka client: all settings are accepted" in lines
    [note] = [line for line in lines if "region" in line]
    assert note.startswith(f"note: {path}:7: models.made-up.slices[1]: model made-up will have no")
    assert "projection: model made-up: a version has 7 rows" in output
    [budget] = [line for line in lines if "false alarm" in line]
    assert budget.startswith("ok: model made-up is allowed 1 false alarm per week over ")


def test_a_note_says_that_events_could_be_read_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tmp_path)
    notes = [note for note in call("-c", str(path), "--offline")[1].splitlines() if "JSON" in note]
    monkeypatch.setattr("streamgauge.runner.environment.library", lambda: None)
    code, output, _ = call("-c", str(path), "--offline")
    assert code == 0
    [note] = [note for note in output.splitlines() if "JSON" in note]
    assert note.startswith("note: ")
    assert note.endswith("install a C compiler (cc), then streamgauge again")
    # Without a compiler, the tests too run without the reader.
    assert notes in ([], [note])


def test_a_terminal_gets_a_checklist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    path = write_config(tmp_path, slices="[colour, region]")
    path.write_text(path.read_text().replace("9092'}", "9092', librdkafka: {a.b: 1}}"))
    code, styled, errors = call("-c", str(path), "--offline")
    output = re.sub(r"\x1b\[\d+m", "", styled)
    assert code == 78
    assert output.startswith(f"✓ configuration {path} is complete (1 model)")
    assert "! model made-up will have no distances for slices[1] (region)" in output
    assert f"\n  {path}:7: models.made-up.slices[1]: profile again with --slice region" in output
    assert "✗ kafka client: a.b is no setting of librdkafka" in output
    assert re.search(r"\n *made-up +7 ", output)
    # The standard error is no terminal here, so problems stand there too.
    assert [error.split(": ")[2] for error in errors] == ['kafka.librdkafka["a.b"]']


def test_names_are_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("  made-up:", "  '[red]x[/red]':"))
    code, output, _ = call("-c", str(path), "--offline")
    assert code == 0
    assert "✓ model [red]x[/red] has reference" in output


def test_json_is_one_object_with_all_that_was_found(tmp_path: Path) -> None:
    path = write_config(tmp_path, slices="[colour, region]")
    code, output, errors = call("-c", str(path), "--offline", "--json")
    found = orjson.loads(output)
    assert (code, errors) == (0, [])
    assert found["ok"] is True
    assert found["exit_code"] == 0
    assert found["errors"] == []
    assert {item["grade"] for item in found["items"]} == {"ok", "note"}
    [note] = [item for item in found["items"] if "region" in item["text"]]
    assert note["place"] == "models.made-up.slices[1]"
    [budget] = found["alert_budget"]
    assert budget["model"] == "made-up"
    assert [delay["change"] for delay in budget["delays"]] == [0.05, 0.1, 0.5]
    [model] = found["models"]
    assert model["model"] == "made-up"
    assert model["rows"] == 1 + model["slices"] == 7
    assert model["watched"] == 7 * model["subjects"]


def test_json_is_there_when_the_file_is_wrong_too() -> None:
    path = FILES / "yaml_no.yaml"
    code, output, errors = call("-c", str(path), "--json")
    found = orjson.loads(output)
    assert code == found["exit_code"] == 78
    assert found["ok"] is False
    assert [f"error: {line}" for line in found["errors"]] == errors
    assert len(errors) == 1


def test_creating_without_a_broker_is_a_contradiction(tmp_path: Path) -> None:
    code, _, [error] = call("-c", str(write_config(tmp_path)), "--offline", "--create")
    assert code == 2
    assert error.startswith("error: --create needs a broker; ")


def test_a_file_must_be_named() -> None:
    code, output, errors = call()
    assert (code, output) == (2, "")
    assert any("Missing option" in line for line in errors)


def test_the_help_has_an_example() -> None:
    code, output, _ = call("--help")
    assert code == 0
    assert "Example: streamgauge check -c streamgauge.yaml" in " ".join(output.split())


def test_the_commands_in_the_documentation_have_the_options_that_they_use() -> None:
    _, output, _ = call("--help")
    used = [word for command in commands() if command[1] == "check" for word in command[2:]]
    options = {word for word in used if word.startswith("-")}
    assert options == {"-c", "--offline", "--create"}
    assert all(option in output for option in options)


def test_a_model_without_slices_is_projected_too(tmp_path: Path) -> None:
    reference = made_up_reference(made_up_events(), ())
    path = write_config(tmp_path, slices="[]", reference=reference)
    code, output, _ = call("-c", str(path), "--offline", "--json")
    assert code == 0
    [model] = orjson.loads(output)["models"]
    assert (model["rows"], model["slices"], model["exported_slices"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1_572_864, "1.5 MiB"), (2**40, "1.0 TiB")],
)
def test_sizes_are_in_binary_units(count: int, text: str) -> None:
    assert size(count) == text
