"""Replica: a process that runs the real loop and stops before any call that leaves it.

Replicas run in threads of which exactly one moves at a time, so that everything is repeatable.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any


class Killed(BaseException):
    """The process is gone: nothing it does from here on reaches anybody."""


Runs = Callable[["Replica"], None]
Pause = Callable[[str], bool]
"""Whether to stop before a call of this name."""


@dataclass(eq=False)
class Replica:
    """One process; `host` is what it shares with the one after it, its disk."""

    number: int
    host: int
    runs: Runs
    member: str | None = None
    """Its name in the group, None before it has joined."""
    epoch: int | None = None
    """Its epoch as the owner of the transactions."""
    stop: Event = field(default_factory=Event)
    at: str = "start"
    """The call before which it stands."""
    frozen: bool = False
    deaf: int = 0
    """How many polls of the group pass before it hears that it was given up."""
    killed: bool = False
    done: bool = False
    error: BaseException | None = None
    since: list[object] = field(default_factory=list)
    """What it has taken in, for the recount; see `checker`."""
    figures: Any = None
    """What it showed last."""
    troubled: bool = False
    """Whether the broker refused it anything."""

    def __post_init__(self) -> None:
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._pause: Pause = lambda _: False
        self._thread = threading.Thread(target=self._life, daemon=True)
        self._thread.start()

    def move(self, pause: Pause) -> None:
        """Let it go on until it ends or `pause` says so."""
        assert not self.done
        self._pause = pause
        self._go.release()
        self._back.acquire()

    def kill(self) -> None:
        """End it where it stands."""
        self.killed = True
        if not self.done:
            self.move(lambda _: False)
        self._thread.join()

    def gate(self, call: str) -> None:
        """Called by itself, before every call that leaves it."""
        if self.killed:
            raise Killed
        if self._pause(call):
            self.at = call
            self._back.release()
            self._go.acquire()
            if self.killed:
                raise Killed

    def _life(self) -> None:
        self._go.acquire()
        try:
            if not self.killed:
                self.runs(self)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001
            self.error = error
        finally:
            self.done = True
            self._back.release()
