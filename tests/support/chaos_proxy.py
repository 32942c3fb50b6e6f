"""A TCP proxy between a client and its broker that can be cut, or fall silent."""

import contextlib
import selectors
import socket
import threading
from enum import Enum
from typing import Final, Self

from streamgauge.io.loopback import HOST

_TURN_S: Final = 0.05
_CHUNK: Final = 1 << 16


class Wire(Enum):
    """What becomes of the bytes."""

    WHOLE = "whole"
    """They pass."""
    CUT = "cut"
    """Connections are closed, and new ones are too."""
    SILENT = "silent"
    """Connections stay open, and nothing passes: neither side can tell it from a slow one."""


class Proxy:
    """Listens on a port of its own and passes on to another; one thread for all connections."""

    def __init__(self, listen: int, target: int) -> None:
        self.wire = Wire.WHOLE
        self._target = target
        self._listener = socket.create_server((HOST, listen))
        self._listener.setblocking(False)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._waiting: dict[socket.socket, bytearray] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10.0)
        for one in list(self._peers):
            self._close(one)
        self._listener.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self.wire is Wire.SILENT:
                self._stop.wait(_TURN_S)
                continue
            if self.wire is Wire.CUT:
                for one in list(self._peers):
                    self._close(one)
            self._turn()

    def _turn(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            for one, peer in self._peers.items():
                # Nothing more is read from a side whose other side has not taken the last yet.
                events = 0 if self._waiting[peer] else selectors.EVENT_READ
                events |= selectors.EVENT_WRITE if self._waiting[one] else 0
                if events:
                    selector.register(one, events)
            ready = selector.select(_TURN_S)
        for key, events in ready:
            ready_one = key.fileobj
            assert isinstance(ready_one, socket.socket)
            if ready_one is self._listener:
                self._accept()
            elif ready_one in self._peers:
                self._serve(ready_one, events)

    def _accept(self) -> None:
        one, _ = self._listener.accept()
        if self.wire is not Wire.WHOLE:
            one.close()
            return
        try:
            other = socket.create_connection((HOST, self._target), 2.0)
        except OSError:
            one.close()
            return
        for mine, peer in ((one, other), (other, one)):
            mine.setblocking(False)
            self._peers[mine] = peer
            self._waiting[mine] = bytearray()

    def _serve(self, one: socket.socket, events: int) -> None:
        peer = self._peers[one]
        try:
            if events & selectors.EVENT_READ:
                read = one.recv(_CHUNK)
                if not read:
                    self._close(one)
                    return
                self._waiting[peer] += read
                self._push(peer)
            if events & selectors.EVENT_WRITE:
                self._push(one)
        except OSError:
            self._close(one)

    def _push(self, one: socket.socket) -> None:
        waiting = self._waiting[one]
        with contextlib.suppress(BlockingIOError):
            sent = one.send(waiting)
            del waiting[:sent]

    def _close(self, one: socket.socket) -> None:
        peer = self._peers.pop(one, None)
        for mine in (one, peer):
            if mine is not None:
                self._peers.pop(mine, None)
                self._waiting.pop(mine, None)
                mine.close()
