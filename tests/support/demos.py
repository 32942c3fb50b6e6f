"""A `streamgauge demo` of a test's own, without a terminal, in a folder for its temporary files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from streamgauge.io.loopback import free_port

STREAMGAUGE = Path(sys.executable).parent / "streamgauge"


class Demo:
    """A running demo. Its output and its own temporary files stand in `folder`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._output = folder / "output.txt"
        self._file = self._output.open("wb")
        self._seen: set[psutil.Process] = set()
        self.process = subprocess.Popen(
            [STREAMGAUGE, "demo", "--port", str(self.port), *arguments],
            cwd=folder,
            env=os.environ | {"TMPDIR": str(self.temporary)},
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._file.close()

    @property
    def output(self) -> str:
        """All that it has written."""
        return self._output.read_text()

    def wait_for(self, text: str, timeout: float = 60.0) -> None:
        """Wait until it has written a text."""
        deadline = time.monotonic() + timeout
        while text not in self.output:
            self._look()
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {text}\n{self.output}"
            time.sleep(0.05)

    def wait(self, timeout: float) -> int:
        """Wait for its end and return its exit code."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            self._look()
            assert time.monotonic() < deadline, f"runs after {timeout:.0f} s\n{self.output}"
            time.sleep(0.05)
        return self.process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, as a terminal would to the demo alone."""
        self._look()
        self.process.send_signal(number)

    def left_behind(self, timeout: float = 5.0) -> list[str]:
        """Return the processes it ever started that still run after some seconds."""
        assert self._seen, "none was seen, so none can be missed"
        _, alive = psutil.wait_procs(self._seen, timeout)
        return [str(process) for process in alive]

    def _look(self) -> None:
        try:
            self._seen |= set(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return
