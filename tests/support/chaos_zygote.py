"""Zygote: a process that has everything imported, of which replicas are forked.

Importing takes seconds of processor time, which a test that kills hundreds of replicas would spend
on little else. A fork is a process of its own in every way that matters here: it makes its clients,
threads and stores itself. `python -m tests.support.chaos_zygote` takes a JSON line for each replica
on standard input, and tells on standard output who was born and who is gone.
"""

import ctypes
import faulthandler
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.support.chaos_broken import break_by

_ROOT: Final = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG: Final = 1
_TURN_S: Final = 0.02


class Zygote:
    """The parent's end: starts replicas and knows how they ended."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.chaos_zygote"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._changed = threading.Condition()
        self._born: dict[int, int] = {}
        self._ended: dict[int, int] = {}
        self._next = 0
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(
        self, arguments: list[str], log: Path, *, bug: str = "", limits: Mapping[str, int] = {}
    ) -> int:
        """Fork a replica that runs the command with these arguments; return its process id."""
        with self._changed:
            number, self._next = self._next, self._next + 1
            order = {"number": number, "arguments": arguments, "log": str(log), "bug": bug}
            assert self._process.stdin is not None
            self._process.stdin.write(
                json.dumps({**order, "limits": dict(limits)}).encode() + b"\n"
            )
            self._process.stdin.flush()
            assert self._changed.wait_for(lambda: number in self._born, 60.0), "no zygote"
            return self._born[number]

    def status(self, pid: int) -> int | None:
        """Return how a replica ended: its exit code, or minus a signal; None while it runs."""
        with self._changed:
            return self._ended.get(pid)

    def wait(self, pid: int, timeout: float) -> int | None:
        """Wait for a replica's end and return it; None where it is not in time."""
        with self._changed:
            self._changed.wait_for(lambda: pid in self._ended, timeout)
            return self._ended.get(pid)

    def close(self) -> None:
        """End the zygote and, with it, all replicas that are left."""
        self._process.kill()
        self._process.wait()
        self._listener.join(10.0)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told: dict[str, int] = json.loads(line)
            with self._changed:
                if "born" in told:
                    self._born[told["born"]] = told["pid"]
                    # The number may have been another one's before: there are 32,768 of them.
                    self._ended.pop(told["pid"], None)
                else:
                    self._ended[told["ended"]] = os.waitstatus_to_exitcode(told["status"])
                self._changed.notify_all()


def _tell(**what: int) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201


def _replica(order: Mapping[str, Any]) -> NoReturn:
    """Become a replica, in the child."""
    # Nobody outlives the zygote, however it ends.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.closerange(3, 64)
    # What hangs is asked where it stands.
    faulthandler.register(signal.SIGUSR1)
    for name, limit in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if order["bug"]:
        break_by(order["bug"])
    sys.argv = ["streamgauge", *order["arguments"]]
    code: object = 1
    try:
        importlib.import_module("streamgauge.cli.main").main()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - printed, as the interpreter would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # As little as possible of the zygote's own end.
        os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Fork replicas until standard input ends."""
    for name in ("streamgauge.cli.main", "streamgauge.cli.run", "confluent_kafka"):
        importlib.import_module(name)
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], _TURN_S)
        if ready:
            read = os.read(0, 65_536)
            if not read:
                return
            buffer += read
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    _replica(order)
                _tell(born=order["number"], pid=pid)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            _tell(ended=pid, status=status)


if __name__ == "__main__":
    main()
