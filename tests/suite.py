"""The whole suite, as `make test` runs it: `python -m tests.suite [pytest's arguments]`.

Tests with brokers wait for much of their time, those of the code alone hardly ever: so the latter
run beside them, on what they leave of the processors. Tests that do harm to brokers, under a steady
stream that must be kept up with, run alone after all others, whatever became of those. The last
lines speak for all: results, brokers used, tests skipped and why.
"""

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from tests.support.outside import Left, Used, summary_lines

NICENESS = 10


@dataclass(slots=True)
class Run:
    """One run of pytest."""

    tests: tuple[str, ...]
    options: tuple[str, ...] = ()
    code: int | None = field(default=None, init=False)
    left: Left | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """The folders of its tests."""
        return " ".join(self.tests)

    def command(self, arguments: Sequence[str], leave: Path) -> list[str]:
        """Return the command that does it."""
        pytest = [sys.executable, "-m", "pytest", *self.options, *self.tests]
        return [*pytest, "--leave", str(leave), *arguments]

    def shown(self, arguments: Sequence[str]) -> str:
        """Return the command as people would write it."""
        return shlex.join(["pytest", *self.options, *self.tests, *arguments])

    def do(self, arguments: Sequence[str], leave: Path) -> None:
        """Do it now."""
        print(self.shown(arguments), flush=True)
        self.end(subprocess.run(self.command(arguments, leave), check=False).returncode, leave)

    def end(self, code: int, leave: Path) -> None:
        """Take what it came to."""
        self.code = code
        self.left = Left.read(leave) if leave.exists() else None

    def told(self) -> str:
        """Return its line."""
        result = "ended without a result" if self.left is None else self.left.result
        return f"{self.name}: {result}" + (f" (exit code {self.code})" if self.code else "")


class Beside:
    """A run in the background, at most as long as the context lasts."""

    def __init__(self, run: Run, arguments: Sequence[str], folder: Path) -> None:
        self._run, self._leave, self._output = run, folder / "beside.json", folder / "beside.txt"
        command = ["nice", "-n", str(NICENESS), *run.command(arguments, self._leave)]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def show(self) -> None:
        """Wait for its end and show what it has written."""
        self._run.end(self._process.wait(), self._leave)
        print(self._output.read_text(errors="replace"), end="", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def last_lines(runs: Sequence[Run]) -> list[str]:
    """Return the lines that speak for all runs."""
    used, reasons = Used(), []
    for run in runs:
        if run.left is not None:
            used.add(run.left.used.to_plain())
            reasons += run.left.skip_reasons
    return [*(run.told() for run in runs), *summary_lines(used, reasons)]


def main(arguments: Sequence[str]) -> int:
    """Run all; return 0 if every run passed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    inside = Run(("tests/unit", "tests/properties"), ("-n", "logical"))
    brokers = Run(("tests/integration",), ("-n", "logical", "--dist", "worksteal"))
    harm = Run(("tests/chaos",))
    began = time.monotonic()
    with TemporaryDirectory(prefix="suite-") as name:
        folder = Path(name)
        print(f"{inside.shown(arguments)}, shown when it has ended; beside it", flush=True)
        with Beside(inside, arguments, folder) as beside:
            brokers.do(arguments, folder / "brokers.json")
            print(inside.shown(arguments), flush=True)
            beside.show()
        harm.do(arguments, folder / "harm.json")
    runs = [inside, brokers, harm]
    passed = not any(run.code for run in runs)
    result, seconds = "passed" if passed else "FAILED", time.monotonic() - began
    print(f"the whole suite: {result} in {seconds:.0f} s", *last_lines(runs), sep="\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
