import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest

from streamgauge.io.child import ChildProcess
from streamgauge.io.loopback import HOST, accepts, free_port, is_free


@pytest.fixture
def log() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        yield file


def test_it_tells_the_exit_status_and_the_last_lines(log: BinaryIO) -> None:
    child = ChildProcess(["sh", "-c", "echo one; echo; echo two >&2; exit 7"], log=log)

    assert eventually(lambda: child.poll() is not None)
    child.kill()

    assert child.poll() == 7
    assert child.last_lines() == ["two"]
    assert child.last_lines(5) == ["one", "two"]


def test_a_program_ended_by_a_signal_has_128_plus_its_number_as_status(log: BinaryIO) -> None:
    child = ChildProcess(["sh", "-c", "kill -TERM $$"], log=log)

    assert eventually(lambda: child.poll() is not None)
    child.kill()

    assert child.poll() == 128 + signal.SIGTERM


def test_a_program_that_cannot_be_executed_says_so_in_its_log(
    log: BinaryIO, tmp_path: Path
) -> None:
    child = ChildProcess([str(tmp_path / "absent")], log=log)

    assert eventually(lambda: child.poll() is not None)
    child.kill()

    assert child.poll() == 126
    assert "No such file" in child.last_lines()[0]


def test_kill_leaves_no_process_behind_and_may_come_twice(log: BinaryIO) -> None:
    child = ChildProcess(ANNOUNCE_AND_SLEEP, log=log)
    pid = announced_pid(child)
    assert child.poll() is None

    child.kill()
    child.kill()

    assert not is_running(pid)
    assert child.poll() == 128 + signal.SIGKILL


def test_after_kill_the_port_of_a_server_is_free_at_once(log: BinaryIO) -> None:
    port = free_port()
    server = f"import socket, time; s = socket.create_server(('{HOST}', {port})); time.sleep(300)"
    child = ChildProcess([sys.executable, "-c", server], log=log)
    assert eventually(lambda: accepts(port))

    child.kill()

    assert is_free(port)


def test_a_program_whose_supervisor_was_killed_is_killed_all_the_same(log: BinaryIO) -> None:
    child = ChildProcess(ANNOUNCE_AND_SLEEP, log=log)
    pid = announced_pid(child)
    supervisor = psutil.Process(pid).parent()
    assert supervisor is not None
    supervisor.kill()
    assert eventually(lambda: child.poll() is not None)
    assert is_running(pid)

    child.kill()

    assert eventually(lambda: not is_running(pid))


def test_a_terminated_supervisor_takes_the_program_along(log: BinaryIO) -> None:
    child = ChildProcess(ANNOUNCE_AND_SLEEP, log=log)
    pid = announced_pid(child)
    supervisor = psutil.Process(pid).parent()
    assert supervisor is not None

    supervisor.terminate()

    assert eventually(lambda: not is_running(pid))
    child.kill()


def test_the_program_is_in_a_session_of_its_own(log: BinaryIO) -> None:
    child = ChildProcess(ANNOUNCE_AND_SLEEP, log=log)
    pid = announced_pid(child)

    session = os.getsid(pid)
    child.kill()

    assert session != os.getsid(0)


def test_the_program_gets_the_environment_it_was_given(log: BinaryIO) -> None:
    child = ChildProcess(["/bin/sh", "-c", "echo $ONLY-$HOME"], log=log, env={"ONLY": "this"})

    assert eventually(lambda: child.poll() is not None)
    child.kill()

    assert child.last_lines() == ["this-"]


@pytest.mark.parametrize("last_signal", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_does_not_outlive_a_killed_parent(last_signal: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *ANNOUNCE_AND_SLEEP], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_running(pid)

    parent.send_signal(last_signal)
    parent.communicate()

    assert eventually(lambda: not is_running(pid))


def test_a_program_does_not_outlive_its_parent_though_a_fork_of_the_parent_lives_on() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKING_PARENT, *ANNOUNCE_AND_SLEEP],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid, fork = (int(word) for word in parent.stdout.readline().split())
    parent.kill()
    parent.wait()

    try:
        assert eventually(lambda: not is_running(pid))
        assert is_running(fork)
    finally:
        os.kill(fork, signal.SIGKILL)
        parent.stdout.close()


ANNOUNCE_AND_SLEEP = ["sh", "-c", "echo $$; exec sleep 300"]

PARENT = """
import sys, tempfile, time
from streamgauge.io.child import ChildProcess
log = tempfile.TemporaryFile()
child = ChildProcess(sys.argv[1:], log=log)
while not child.last_lines():
    time.sleep(0.01)
print(child.last_lines()[0], flush=True)
time.sleep(300)
"""

FORKING_PARENT = """
import os, sys, tempfile, time
from streamgauge.io.child import ChildProcess
log = tempfile.TemporaryFile()
child = ChildProcess(sys.argv[1:], log=log)
while not child.last_lines():
    time.sleep(0.01)
fork = os.fork()
if fork:
    print(child.last_lines()[0], fork, flush=True)
time.sleep(300)
"""


def announced_pid(child: ChildProcess) -> int:
    assert eventually(lambda: bool(child.last_lines()))
    return int(child.last_lines()[0])


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], bool], timeout: float = 30.0) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
