"""Commands called as people call them, but in the test's own process."""

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from streamgauge.cli.main import main


class Called(NamedTuple):
    """How a command ended: its exit code, what it printed, and the lines of its errors."""

    code: int
    output: str
    errors: list[str]


def call_main(*arguments: str) -> Called:
    """Call `streamgauge` with these arguments; neither stream is a terminal."""
    output, errors = io.StringIO(), io.StringIO()
    code: str | int | None = 0
    called = patch("sys.argv", ["streamgauge", *arguments])
    with called, redirect_stdout(output), redirect_stderr(errors):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert code is None or isinstance(code, int), "every end has an exit code"
    return Called(code or 0, output.getvalue(), errors.getvalue().splitlines())
