"""What a test run takes from outside: brokers and programs, used or missed.

Tests ask for an outside program with `require_program`; what they got stands in `USED`, what they
missed in the reasons of the skipped tests. The run's last lines are made of both. Processes that
share a run's tests hand theirs over, and a run of the whole suite leaves its own (`--leave`).
"""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Where a missing program comes from: its Debian package.
PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "alertmanager": "prometheus-alertmanager",
    "chromium": "chromium",
    "java": "openjdk-17-jre-headless",
    "mvn": "maven",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}
_EXECUTABLES = {"alertmanager": "prometheus-alertmanager"}


@dataclass(slots=True)
class Used:
    """The brokers and the outside programs that the tests of this run were given."""

    brokers: dict[str, str] = field(default_factory=dict)  # name -> what it is, with its version
    programs: dict[str, Path] = field(default_factory=dict)

    def to_plain(self) -> dict[str, dict[str, str]]:
        """Return the same as plain data."""
        programs = {name: str(path) for name, path in self.programs.items()}
        return {"brokers": self.brokers, "programs": programs}

    def add(self, plain: dict[str, dict[str, str]]) -> None:
        """Take in what another process was given."""
        self.brokers |= plain["brokers"]
        self.programs |= {name: Path(path) for name, path in plain["programs"].items()}


USED = Used()


@dataclass(frozen=True, slots=True)
class Left:
    """What a run leaves for the last lines of the whole suite, which is several runs."""

    result: str  # such as `5 passed, 1 skipped`
    skip_reasons: list[str]
    used: Used

    @classmethod
    def read(cls, path: Path) -> "Left":
        """Read what `write` has written."""
        plain: dict[str, Any] = json.loads(path.read_text())
        used = Used()
        used.add(plain["used"])
        return cls(plain["result"], plain["skip_reasons"], used)

    def write(self, path: Path) -> None:
        """Write it to a file."""
        plain = {
            "result": self.result,
            "skip_reasons": self.skip_reasons,
            "used": self.used.to_plain(),
        }
        path.write_text(json.dumps(plain))


def find_program(name: str) -> Path | None:
    """Return the path of a program, or None when it is not installed."""
    found = shutil.which(name) or shutil.which(_EXECUTABLES.get(name, name))
    return None if found is None else Path(found)


def missing(name: str) -> str:
    """Return the reason for a skip: which program is missing, and which package brings it."""
    package = PACKAGES.get(name)
    return f"{name} is missing" + (f" (Debian package {package})" if package else "")


def require_program(name: str) -> Path:
    """Return the path of an outside program, or skip the test when it is not installed."""
    path = find_program(name)
    if path is None:
        pytest.skip(missing(name))
    USED.programs[name] = path
    return path


def program_version(path: Path) -> str:
    """Return the version a program tells of itself, such as `2.42.0`, or `?` when it tells none."""
    try:
        told = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    number = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
    return number.group() if number else "?"


def summary_lines(used: Used, skip_reasons: Iterable[str]) -> list[str]:
    """Return a run's last lines: brokers, outside programs, and what was skipped and why."""
    brokers = ", ".join(used.brokers.values()) or "none"
    programs = ", ".join(f"{n} {program_version(p)}" for n, p in sorted(used.programs.items()))
    lines = [f"brokers: {brokers}", f"outside programs: {programs or 'none'}"]
    reasons = Counter(skip_reasons)
    if not reasons:
        return [*lines, "skipped: nothing"]
    for reason, count in reasons.most_common():
        lines.append(f"skipped: {count} {'test' if count == 1 else 'tests'} because {reason}")
    return lines
