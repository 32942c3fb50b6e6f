"""Server: uvicorn in a thread of its own, started and stopped by its owner."""

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from streamgauge.errors import StreamgaugeError

_START_S: Final = 10.0
_KEEP_ALIVE_S: Final = 75
"""How long an idle connection is kept: longer than the time from one scrape to the next."""
_STOP_S: Final = 5.0
"""How long requests under way may take when the server is told to stop."""


class AddressError(StreamgaugeError):
    """The address to listen on cannot be had."""


class HttpServer:
    """An app that is being served; `port` is the one it listens on, also where 0 was asked for."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(_STOP_S),
        )
        self._server = uvicorn.Server(config)
        # uvicorn takes over signals in the main thread alone.
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="http", daemon=True
        )

    @property
    def url(self) -> str:
        """Return the address of the status page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Begin to serve, and return once requests are answered."""
        self._thread.start()
        deadline = threading.Event()
        for _ in range(int(_START_S / 0.01)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            deadline.wait(0.01)
        raise StreamgaugeError(f"http: the server at {self.url} did not start; see the log")

    def stop(self) -> None:
        """Stop serving: requests under way are finished, the address is free afterwards."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_S + 1.0)
        self._socket.close()


@contextlib.contextmanager
def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 9477) -> Iterator[HttpServer]:
    """Serve an app while the block runs. Raises AddressError where the address cannot be had."""
    server = HttpServer(app, host, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address. Raises AddressError."""
    place = f"http: cannot listen on {host} port {port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise AddressError(
            f"{place}: there is no such address; set http.host to an address of this machine,"
            " such as 127.0.0.1"
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening at once keeps a second server from binding to the same address.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise AddressError(f"{place}: {_advice(error)}") from error
    return listener


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program has it; stop that one, or set http.port to a free port"
    if error.errno == errno.EACCES:
        return "not allowed; ports below 1024 need special rights, so set http.port to a higher one"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine; set http.host to one, such as 127.0.0.1 or 0.0.0.0"
    return f"{error.strerror}; set http.host and http.port to others"
