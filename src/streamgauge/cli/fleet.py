"""Fleet: the processes of `run --workers N`, started and ended together."""

import logging
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import Final

LOOK_S: Final = 0.2
"""How often the processes are looked at."""
PATIENCE_S: Final = 20.0
"""How long a process may take to stop; after that it is killed, which loses nothing."""

log = logging.getLogger("streamgauge")


def run_fleet(config: Path, workers: int, port: int, stop: Event, *, discard_state: bool) -> int:
    """Run processes that count and one that analyses until `stop` is set or one of them ends.

    The one that analyses serves HTTP at `port`, the others at the ports after it, or all at any
    that are free where it is 0. Each writes its name in every line of the log. Those that are left
    behind, because this process was killed, end too: the end of their standard input tells them.
    Returns the exit code: that of the first that ended by itself, 1 if that was 0.
    """
    members = {"analyse": ["--role", "analyse", *(["--discard-state"] if discard_state else [])]}
    members |= {f"worker {n}": ["--role", "aggregate"] for n in range(1, workers + 1)}
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for number, (name, options) in enumerate(members.items()):
            at = 0 if port == 0 else port + number
            command = [sys.executable, "-m", "streamgauge", "run", "-c", str(config), *options]
            started[name] = subprocess.Popen(
                [*command, "--http-port", str(at), "--member", name],
                stdin=subprocess.PIPE,
                # A terminal's Ctrl-C is for us, who pass it on.
                start_new_session=True,
            )
        log.info("started %d workers, and one process that analyses", workers)
        while not stop.wait(LOOK_S):
            for name, process in started.items():
                status = process.poll()
                if status is not None:
                    log.error("%s ended with status %d; ending all", name, status)
                    return status if status > 0 else 1
        return 0
    finally:
        _end(started)


def _end(started: dict[str, subprocess.Popen[bytes]]) -> None:
    """Stop all processes, those that count first: nobody else reads what they ship at last."""
    deadline = time.monotonic() + PATIENCE_S
    for kind in ("worker", "analyse"):
        some = {name: process for name, process in started.items() if name.startswith(kind)}
        for process in some.values():
            process.terminate()
        for name, process in some.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not stop in time and is killed", name)
                process.kill()
                process.wait()
