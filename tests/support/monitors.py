"""A `streamgauge run` of a test's own: a real process, watched through its HTTP server."""

import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

STREAMGAUGE = Path(sys.executable).parent / "streamgauge"


def wait_until(what: str, true: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait until something is true; fail with what was waited for when it is not in time."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.1)


class Monitor:
    """A running monitor; the log is in the configuration's folder."""

    def __init__(
        self, config: Path, port: int, *, name: str = "run", options: Sequence[str] = ()
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = config.with_name(f"{name}.log")
        self._file = self.log.open("wb")
        self.process = subprocess.Popen(
            [STREAMGAUGE, "run", "-c", config, *options],
            cwd=config.parent,
            stderr=self._file,
            stdout=self._file,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._file.close()

    def get(self, path: str) -> bytes:
        """Return what the server answers; empty while it does not."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10.0) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            return error.read()
        except (OSError, http.client.HTTPException):
            assert self.process.poll() is None, self.log.read_text()
            return b""

    def json(self, path: str) -> Any:
        """Return a JSON answer, None while there is none."""
        body = self.get(path)
        return json.loads(body) if body else None

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        text = self.get("/metrics").decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def phase(self) -> str:
        """Return the reason that readiness gives."""
        return self.get("/-/ready").decode()

    def stop(self, timeout: float = 15.0) -> int:
        """Ask the monitor to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)
