"""Security: which host names are answered, and headers that keep the page to itself.

A page of another site can make a browser fetch from 127.0.0.1 once its own name resolves to that
address (DNS rebinding). The browser then still sends the other name in the Host header, so a
server on a loopback address answers to the names of this machine alone.
"""

import ipaddress
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Middleware that refuses foreign host names and adds the security headers.

    `names` are further host names to answer to on a loopback address; on any other address all
    names are answered, since nobody knows by which one a scraper comes.
    """

    def __init__(self, app: ASGIApp, *, host: str, names: Collection[str] = ()) -> None:
        self._app = app
        self._guarded = is_loopback(host)
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if self._answers_to(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send_with_headers)
        else:
            refusal = PlainTextResponse("Not a name of this server.\n", 421)
            await refusal(scope, receive, send_with_headers)

    def _answers_to(self, host: str) -> bool:
        # A request without the header comes from no browser.
        if not self._guarded or not host:
            return True
        name = host_name(host)
        return is_loopback(name) or name in self._names


def host_name(header: str) -> str:
    """Return the name in a Host header, in lower case, without port, brackets and final dot."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].removesuffix(".")


def is_loopback(host: str) -> bool:
    """Tell whether a name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
