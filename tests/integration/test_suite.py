from pathlib import Path

import pytest

from tests.suite import Beside, Run


def test_what_runs_beside_is_shown_when_it_has_ended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tests = tmp_path / "test_it.py"
    tests.write_text("def test_it(): assert 1 + 1 == 2\n")
    run = Run((str(tests),), ("-p", "tests.conftest", "--rootdir", str(tmp_path)))
    with Beside(run, ["-q"], tmp_path) as beside:
        beside.show()
    assert "1 passed in" in capfd.readouterr().out
    assert (run.code, run.told()) == (0, f"{tests}: 1 passed")
