"""The scrape: content negotiation, and the rendered bulk with the self metrics behind it."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from streamgauge.io.metrics.exposition import Form, Rendered
from streamgauge.io.metrics.payload import Payload
from streamgauge.io.metrics.self_metrics import SelfMetrics

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_NOTHING: Final = Rendered(Payload(), Payload(), 0, {})


class _Accepted(NamedTuple):
    """One entry of an Accept header: what, with which version, how gladly."""

    what: str
    version: str
    quality: float


def asked_for(request: Request) -> Form:
    """Return the format that the client likes best, gzipped where it can be."""
    headers = request.headers
    return Form(
        prefers_openmetrics(headers.get("accept", "")),
        takes_gzip(headers.get("accept-encoding", "")),
    )


def scrape(form: Form, rendered: Rendered | None, self_metrics: SelfMetrics) -> Response:
    """Return all metrics in the form asked for: the page as it is, then the process's own."""
    bulk = (rendered or _NOTHING).payload(form)
    if form.openmetrics:
        media_type, tail = OPENMETRICS, self_metrics.openmetrics()
    else:
        media_type, tail = TEXT, self_metrics.text()
    headers = {"Content-Type": media_type, "Vary": "Accept, Accept-Encoding"}
    if form.gzip:
        headers["Content-Encoding"] = "gzip"
        return Response(bulk.gzip_followed_by(tail), headers=headers)
    return Response(bulk.followed_by(tail), headers=headers)


def prefers_openmetrics(accept: str) -> bool:
    """Tell whether OpenMetrics 1.0 is asked for, and liked at least as well as the text format."""
    openmetrics = text = 0.0
    for what, version, quality in _parse(accept):
        if what == "application/openmetrics-text" and version in {"", "1.0.0"}:
            openmetrics = max(openmetrics, quality)
        elif what == "text/plain" and version in {"", "0.0.4"}:
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


def takes_gzip(accept_encoding: str) -> bool:
    """Tell whether the client reads gzip."""
    qualities = {what: quality for what, _, quality in _parse(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _parse(header: str) -> Iterator[_Accepted]:
    for entry in header.split(","):
        what, *parameters = (part.strip().lower() for part in entry.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        yield _Accepted(what, values.get("version", "").strip('"'), _quality(values.get("q", "1")))


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
