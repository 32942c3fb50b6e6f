"""The monitor as the demo sees it: a process of its own, and what it says over HTTP."""

import contextlib
import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from streamgauge.demo.scrape import Scrape
from streamgauge.errors import StreamgaugeError
from streamgauge.io.child import ChildProcess
from streamgauge.io.loopback import HOST

_ANSWER_S: Final = 2.0
READING: Final = "reading"
"""What the status says of a monitor that reads events."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Monitor:
    """`streamgauge run` in a process that ends with ours."""

    port: int
    log: Path
    _child: ChildProcess

    @property
    def url(self) -> str:
        """The address of the status page."""
        return f"http://{HOST}:{self.port}"

    def check(self) -> None:
        """Raise StreamgaugeError, with the last line of its log, if the monitor has ended."""
        status = self._child.poll()
        if status is not None:
            raise StreamgaugeError(
                f"demo: the monitor ended with status {status}: {self.last_line()}"
            )

    def last_line(self) -> str:
        """Return the last line of its log."""
        return " ".join(self._child.last_lines(1)).removeprefix("error: ")

    def ready(self) -> bool:
        """Tell whether it reads events; one that only stands by counts as ready elsewhere."""
        status = self.status()
        return status is not None and status["reason"] == READING

    def status(self) -> Json | None:
        """Return `/api/v1/status`; None while there is no answer."""
        return self._json("/api/v1/status")

    def model(self, name: str, **choice: str) -> Json | None:
        """Return one model's figures in a `window`, for a `version` and `slice` of it."""
        return self._json(f"/api/v1/models/{quote(name, safe='')}?{urlencode(choice)}")

    def metrics(self) -> Scrape | None:
        """Return what `/metrics` says; None while there is no answer."""
        answer = self._get("/metrics")
        if answer is None or answer[0] != http.client.OK:
            return None
        return Scrape.parse(answer[1].decode())

    def _json(self, path: str) -> Json | None:
        answer = self._get(path)
        if answer is None or answer[0] != http.client.OK:
            return None
        parsed: Json = orjson.loads(answer[1])
        return parsed

    def _get(self, path: str) -> tuple[int, bytes] | None:
        # Not urllib: it would ask a proxy that the environment names.
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_ANSWER_S)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                return None


@contextmanager
def running_monitor(config: Path, port: int) -> Iterator[Monitor]:
    """Run the monitor of a configuration while the block runs; its log stands beside the file."""
    log_path = config.with_name("monitor.log")
    with log_path.open("w+b") as log:
        # -P: a folder of our name where the demo was called must not be taken for the package.
        command = [sys.executable, "-P", "-m", "streamgauge", "run", "-c", str(config)]
        child = ChildProcess(command, log=log)
        try:
            yield Monitor(port, log_path, child)
        finally:
            child.kill()
