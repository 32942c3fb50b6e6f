from pathlib import Path

from tests.suite import Run, last_lines
from tests.support.outside import Left, Used


def test_the_last_lines_speak_for_all_runs_and_for_one_without_a_result(tmp_path: Path) -> None:
    inside, brokers, harm = Run(("tests/unit", "tests/properties")), Run(("a",)), Run(("b",))
    leave = tmp_path / "left.json"
    Left("5 passed, 1 skipped", ["mvn is missing"], Used({"embedded": "tansu"}, {})).write(leave)
    inside.end(0, leave)
    Left("2 failed, 1 skipped", ["mvn is missing"], Used({"apache": "Kafka"}, {})).write(leave)
    brokers.end(1, leave)
    harm.end(3, tmp_path / "nothing.json")
    assert last_lines([inside, brokers, harm]) == [
        "tests/unit tests/properties: 5 passed, 1 skipped",
        "a: 2 failed, 1 skipped (exit code 1)",
        "b: ended without a result (exit code 3)",
        "brokers: tansu, Kafka",
        "outside programs: none",
        "skipped: 2 tests because mvn is missing",
    ]
