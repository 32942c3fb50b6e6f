"""The command `streamgauge profile` as a person calls it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from streamgauge.cli.main import main
from streamgauge.formats.reference_file import read_reference, reference_id
from tests.support.training import training, write


class Result:
    """How a command ended, and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


class Shell:
    """Calls the program with arguments, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["streamgauge", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        printed = self._capsys.readouterr()
        return Result(int(code or 0), printed.out, printed.err)

    def json(self, *arguments: object) -> dict[str, Any]:
        result = self(*arguments, "--json")
        assert result.code == 0, result.err
        value = orjson.loads(result.out)
        assert isinstance(value, dict)
        return value


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(monkeypatch, capsys)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(training(300), tmp_path / "training.csv")


def test_a_profile_is_written_and_shown(shell: Shell, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "churn.reference.json"
    result = shell("profile", data, "-o", output, "--slice", "plan", "--meta", "run=17")
    reference = read_reference(output)
    assert result.code == 0
    assert result.err == ""
    for word in ("tenure", "numeric", "plan", "categorical", "active", "boolean", "missing"):
        assert word in result.out
    assert "task binary: 2 classes: 0, 1 (--task says otherwise)" in result.out
    assert f"{output}: reference {reference_id(reference)}" in result.out.splitlines()[-1]
    assert reference.layout.schema.model == "churn"
    assert reference.meta == {"run": "17"}
    assert [source.name for source in reference.sources] == ["training.csv"]
    assert len(reference.rows) == 5


def test_the_summary_as_json_says_the_same(shell: Shell, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    summary = shell.json("profile", data, "-o", output, "--slice", "plan,active")
    reference = read_reference(output)
    assert summary["reference_id"] == reference_id(reference)
    assert (summary["rows"], summary["slices"], summary["task"]) == (300, 8, "binary")
    fields = {field["name"]: field for field in summary["fields"]}
    frame = training(300)
    assert fields["tenure"]["missing"] == pytest.approx(frame["tenure"].isna().mean())
    low, high = frame["fee"].min(), frame["fee"].max()
    assert fields["fee"]["range"] == f"{low:.6g} to {high:.6g}"
    assert fields["plan"]["kind"] == "categorical"


def test_slices_may_be_ranges_and_crossed(shell: Shell, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    shell.json("profile", data, "-o", output, "--slice", "fee:25:35,active", "--slice", "plan")
    frame = training(300)
    row = read_reference(output).row((("fee", "[25, 35)"), ("active", "true")))
    assert row is not None
    expected = int((frame["active"] & frame["fee"].between(25, 35, inclusive="left")).sum())
    assert int(read_reference(output).block.counts[row, :2].sum()) == expected


def test_a_file_is_replaced_only_by_force(shell: Shell, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    output.write_text("precious")
    refused = shell("profile", data, "-o", output)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == f"error: {output}: exists already; replace it with --force\n"
    assert output.read_text() == "precious"
    assert shell("profile", data, "-o", output, "--force").code == 0
    assert read_reference(output).events == 300


def test_a_failed_profile_leaves_the_file_before_it(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "r.json"
    output.write_text("precious")
    assert shell("profile", data, "-o", output, "--force", "--slice", "nothing").code == 2
    assert output.read_text() == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r.json", "training.csv"]


def test_parts_in_the_same_bins_merge(shell: Shell, tmp_path: Path) -> None:
    frame = training(400)
    whole, one, two, sum_ = (tmp_path / f"{name}.json" for name in ("whole", "one", "two", "sum"))
    write(frame, tmp_path / "whole.csv")
    write(frame[:150], tmp_path / "one.csv")
    write(frame[150:], tmp_path / "two.csv")
    shell.json("profile", tmp_path / "whole.csv", "-o", whole, "--slice", "plan")
    for part in (one, two):
        shell.json("profile", part.with_suffix(".csv"), "-o", part, "--edges-from", whole)
    summary = shell.json("profile", "--merge", one, two, "-o", sum_, "--meta", "made=merged")
    merged, expected = read_reference(sum_), read_reference(whole)
    assert summary["rows"] == 400
    np.testing.assert_array_equal(merged.block.counts, expected.block.counts)
    assert merged.meta == {"made": "merged"}
    assert [source.name for source in merged.sources] == ["one.csv", "two.csv"]


CONFIG = """
kafka: {bootstrap_servers: "localhost:9092"}
events: {timestamp_unit: s}
models:
  churn:
    task: regression
    reference: made/churn.json
    slices: [plan, {fee: [30]}, model_version]
"""


def test_a_configuration_says_task_slices_unit_and_output(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    config = tmp_path / "streamgauge.yaml"
    config.write_text(CONFIG)
    (tmp_path / "made").mkdir()
    frame = training(300)
    write(frame.assign(timestamp=frame["timestamp"] // 1_000), data)
    summary = shell.json("profile", data, "-c", config)
    reference = read_reference(tmp_path / "made" / "churn.json")
    assert (summary["task"], summary["model"]) == ("regression", "churn")
    assert [spec.name for spec in reference.slices] == ["plan", "fee"]
    assert reference.span is not None
    assert reference.span[0] == frame["timestamp"].min() // 1_000 * 1_000


def test_hours_of_the_week_are_those_of_the_zone_that_is_named(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    whole, local = tmp_path / "whole.json", tmp_path / "local.json"
    assert shell.json("profile", data, "-o", whole)["timezone"] == "UTC"
    named = ("--edges-from", whole, "--timezone", "America/New_York")
    assert shell.json("profile", data, "-o", local, *named)["timezone"] == "America/New_York"
    times = pd.to_datetime(training(300)["timestamp"], unit="ms", utc=True)
    for path, name in ((whole, "UTC"), (local, "America/New_York")):
        reference = read_reference(path)
        moments = times.dt.tz_convert(name).dt
        expected = np.bincount(moments.day_of_week * 24 + moments.hour, minlength=168)
        assert reference.zone.name == name
        assert reference.hour_of_week is not None
        np.testing.assert_array_equal(reference.hour_of_week[:, 0], expected)


def test_references_of_different_zones_do_not_merge(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    write(training(100, seed=2), tmp_path / "other.csv")
    shell.json("profile", data, "-o", one)
    named = ("--edges-from", one, "--timezone", "Europe/Berlin")
    shell.json("profile", tmp_path / "other.csv", "-o", two, *named)
    code, err = wrong(shell, "--merge", one, two, "-o", tmp_path / "sum.json")
    assert code == 2
    assert "time zones differ (UTC and Europe/Berlin): profile both with the same --timez" in err


def test_a_zone_without_times_to_place_in_it_is_remarked_upon(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    options = ("--ignore", "timestamp", "--timezone", "Asia/Tokyo")
    summary = shell.json("profile", data, "-o", tmp_path / "r.json", *options)
    assert summary["timezone"] == "UTC"
    assert "without times the time zone Asia/Tokyo changes nothing" in summary["remarks"]


def test_a_configuration_that_learns_names_the_zone_of_a_profile_too(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    config, output = tmp_path / "c.yaml", tmp_path / "r.json"
    text = CONFIG.replace("made/churn.json", "{learn: 1d, timezone: Asia/Tokyo}")
    config.write_text(text.replace("unit: s", "unit: ms"))
    assert shell.json("profile", data, "-c", config, "-o", output)["timezone"] == "Asia/Tokyo"
    summary = shell.json(
        "profile", data, "-c", config, "-o", output, "--force", "--timezone", "UTC"
    )
    assert summary["timezone"] == "UTC"


def wrong(shell: Shell, *arguments: object) -> tuple[int, str]:
    result = shell("profile", *arguments)
    assert result.out == ""
    return result.code, result.err


def test_wrong_usage_ends_with_2_and_a_remedy(shell: Shell, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    config = tmp_path / "c.yaml"
    config.write_text(
        CONFIG.replace("models:", "models:\n  other: {task: binary, reference: x.json}")
    )
    cases: list[tuple[tuple[object, ...], str]] = [
        ((data,), "no output file; name it with -o REF"),
        ((data, "-o", output, "--meta", "run"), "--meta run: write KEY=VALUE"),
        ((data, "-o", output, "--slice", "fee:x"), "cut points of 'fee' must be numbers"),
        ((data, "-o", output, "--slice", "fee:3:1"), "--slice fee:3:1: bounds must ascend"),
        ((data, "-o", output, "--slice", ""), "--slice : must name a feature"),
        ((data, "-o", output, "--slice", "plan,plan"), "names the dimension 'plan' twice"),
        ((data, "-o", output, "--categorical", "plna"), "no column 'plna'; did you mean 'plan'?"),
        ((data, "-o", output, "--timezone", "europe/berlin"), "did you mean 'Europe/Berlin'?"),
        ((data, "-o", output, "--timezone", ""), "--timezone: '' is not the name of a time zone;"),
        ((data, data, "-o", output, "--merge", "--timezone", "UTC"), "leave out the other options"),
        ((data, "-o", output, "-c", config), "has several models; choose one with --model NAME"),
        ((data, "-o", output, "-c", config, "--model", "x"), "has other, churn, but not 'x'"),
        ((data, "-o", output, "--merge"), "--merge needs two references or more"),
        ((data, data, "-o", output, "--merge", "--slice", "plan"), "leave out the other options"),
    ]
    for arguments, message in cases:
        code, err = wrong(shell, *arguments)
        assert code == 2, err
        assert message in err
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_wrong_options_are_refused_before_anything_is_read(shell: Shell, tmp_path: Path) -> None:
    result = shell("profile", tmp_path / "no.csv", "-o", tmp_path / "r.json", "--task", "ranking")
    assert result.code == 2
    assert "ranking" in result.err


def test_merging_what_does_not_go_together_is_refused(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    one, two, three = (tmp_path / f"{name}.json" for name in ("one", "two", "three"))
    write(training(100, seed=2), tmp_path / "other.csv")
    shell.json("profile", data, "-o", one)
    shell.json("profile", tmp_path / "other.csv", "-o", two, "--model", "one")
    shell.json(
        "profile", tmp_path / "other.csv", "-o", three, "--edges-from", one, "--slice", "plan"
    )
    output = tmp_path / "sum.json"
    code, err = wrong(shell, "--merge", one, two, "-o", output)
    assert (code, "bins differ: profile one of them with --edges-from" in err) == (2, True)
    code, err = wrong(shell, "--merge", one, three, "-o", output)
    assert (code, "slices differ" in err) == (2, True)
    code, err = wrong(shell, "--merge", one, one, "-o", output)
    assert (code, "both count training.csv; merge it once" in err) == (2, True)


def test_what_fails_at_run_time_ends_with_1_and_no_traceback(shell: Shell, tmp_path: Path) -> None:
    result = shell("profile", tmp_path / "no.csv", "-o", tmp_path / "r.json")
    assert result.code == 1
    assert result.err == f"error: {tmp_path / 'no.csv'}: there is no such file or folder\n"


def test_a_reference_that_cannot_be_read_ends_with_78(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    result = shell("profile", data, "-o", tmp_path / "r.json", "--edges-from", bad)
    assert (result.code, result.err.startswith(f"error: {bad}: format: is no ref")) == (78, True)


def test_debug_shows_where_a_command_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ["--debug", "profile", str(tmp_path / "no.csv"), "-o", str(tmp_path / "r.json")]
    monkeypatch.setattr(sys, "argv", ["streamgauge", *arguments])
    with pytest.raises(Exception, match="there is no such file"):
        main()


def test_long_profiles_report_now_and_then_where_there_is_no_terminal(
    shell: Shell, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamgauge.cli.profile_output.PLAIN_SECONDS", 0.0)
    result = shell("profile", data, "-o", tmp_path / "r.json")
    lines = result.err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "pass 1 of 2: 300 rows",
        "pass 2 of 2: 300 rows",
    ]


def test_a_terminal_shows_bars(
    shell: Shell, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = shell("profile", data, "-o", tmp_path / "r.json")
    assert "pass 2 of 2" in result.err
    assert "300 rows" in result.err
