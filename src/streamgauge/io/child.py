"""A child program that cannot outlive this process.

Between us and the program stands a small supervisor, a bare Python interpreter, in a session of its
own. It holds the read end of a pipe whose write end is ours alone: when we end, however we end, the
pipe closes and the supervisor kills its process group, the program included. The kernel's own
means, `PR_SET_PDEATHSIG`, is not used because it follows the *thread* that forked, not the process,
and exists on Linux alone. The session of its own keeps a terminal's Ctrl-C away from the program:
we are the ones to stop it, after what needs it has stopped.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import BinaryIO

# Arguments: our process id, the pipe that tells us whether anybody is left, and the command. Asked
# to end, it waits for the program first, so that the program's sockets are free when it is gone
# itself; then it takes along what the program may have started. A second pipe tells it that the
# program ended; the look at the parent's id each second covers a fork of ours that holds the first
# one open.
_SUPERVISOR = """
import os, select, signal, subprocess, sys

program = None

def end(*_):
    if program is not None:
        program.kill()
        program.wait()
    os.killpg(0, signal.SIGKILL)

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
parent, alive, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
ended = os.pipe()
try:
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(alive, ended[1]))
except OSError as error:
    print(error, file=sys.stderr, flush=True)
    sys.exit(126)
os.close(ended[1])
while True:
    ready = select.select([0, ended[0]], [], [], 1.0)[0]
    if ended[0] in ready:
        status = program.wait()
        sys.exit(status if status >= 0 else 128 - status)
    if ready or os.getppid() != parent:
        end()
"""


class ChildProcess:
    """A running program in its own session, killed with certainty when this process ends.

    Its output, standard error included, goes to `log`, which stays the caller's to close. Raises
    OSError when not even the supervisor can be started; a program that cannot be executed ends with
    status 126 and says why in the log.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: BinaryIO,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._log = log
        # Held open by the supervisor and the program: at its end of file both are gone.
        self._alive, alive_writer = os.pipe()
        try:
            supervisor = [sys.executable, "-I", "-S", "-c", _SUPERVISOR]
            self._process = subprocess.Popen(
                [*supervisor, str(os.getpid()), str(alive_writer), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=None if env is None else dict(env),
                pass_fds=(alive_writer,),
                start_new_session=True,
            )
        except OSError:
            os.close(self._alive)
            raise
        finally:
            os.close(alive_writer)
        self._released = False

    def poll(self) -> int | None:
        """Return the program's exit status, 128 + n after signal n, or None while it runs."""
        status = self._process.poll()
        return status if status is None or status >= 0 else 128 - status

    def kill(self, timeout: float = 10.0) -> None:
        """Kill the program and wait until it is gone, its sockets and file locks with it.

        Harmless when it has ended already. Raises TimeoutError when the kernel does not let go of
        it within `timeout` seconds.
        """
        if self._released:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        # Only a supervisor that was itself killed, or is stopped, leaves somebody behind. As long
        # as somebody is left, the group's id cannot have passed to strangers.
        if not self._all_gone(0.0):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            if not self._all_gone(timeout):
                raise TimeoutError(
                    f"a killed program still runs after {timeout} s: {self._command}"
                )
        self._process.wait()
        os.close(self._alive)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._released = True

    def last_lines(self, count: int = 1) -> list[str]:
        """Return the last `count` lines of output that are not blank, the oldest first."""
        fd = self._log.fileno()
        size = os.fstat(fd).st_size
        tail = os.pread(fd, 16_384, max(0, size - 16_384)).decode(errors="replace")
        return [line.rstrip() for line in tail.splitlines() if line.strip()][-count:]

    def _all_gone(self, timeout: float) -> bool:
        return bool(select.select([self._alive], [], [], timeout)[0])
