from pathlib import Path

import pytest

from tests.support import outside
from tests.support.outside import Left, Used, find_program, require_program, summary_lines


def test_the_summary_names_brokers_programs_and_each_reason_for_a_skip(tmp_path: Path) -> None:
    promtool = tmp_path / "promtool"
    promtool.write_text("#!/bin/sh\necho 'promtool, version 2.42.0 (branch: debian)'\n")
    promtool.chmod(0o755)
    used = Used({"apache": "Apache Kafka 4.1.1"}, {"promtool": promtool})

    lines = summary_lines(used, ["mvn is missing", "amtool is missing", "mvn is missing"])

    assert lines == [
        "brokers: Apache Kafka 4.1.1",
        "outside programs: promtool 2.42.0",
        "skipped: 2 tests because mvn is missing",
        "skipped: 1 test because amtool is missing",
    ]


def test_the_summary_says_so_when_nothing_was_used_or_skipped() -> None:
    assert summary_lines(Used(), []) == [
        "brokers: none",
        "outside programs: none",
        "skipped: nothing",
    ]


def test_a_missing_program_skips_the_test_and_names_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(
        pytest.skip.Exception, match=r"promtool is missing \(Debian package prometheus\)"
    ):
        require_program("promtool")


def test_a_program_that_was_required_is_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(outside, "USED", Used())
    program = tmp_path / "prometheus-alertmanager"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert require_program("alertmanager") == program
    assert outside.USED.programs == {"alertmanager": program}
    assert find_program("amtool") is None


def test_what_a_run_leaves_is_read_again(tmp_path: Path) -> None:
    used = Used({"apache": "Apache Kafka"}, {"amtool": Path("/bin/amtool")})
    left = Left("3 passed, 1 skipped", ["mvn is missing"], used)
    left.write(tmp_path / "left.json")
    assert Left.read(tmp_path / "left.json") == left
