"""The app: metrics, health, the status page and the JSON behind it."""

from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamgauge.clock import Clock, SystemClock
from streamgauge.io.metrics.self_metrics import SelfMetrics
from streamgauge.web.metrics import asked_for, scrape
from streamgauge.web.security import Guard
from streamgauge.web.source import SnapshotSource
from streamgauge.web.views import Choice, alerts_view, model_view, models_view, status_view

_PAGE: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/page.css": ("page.css", "text/css; charset=utf-8"),
    "/static/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Path → file and media type of everything the status page is made of."""

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    source: SnapshotSource,
    self_metrics: SelfMetrics,
    *,
    host: str = "127.0.0.1",
    names: Collection[str] = (),
    clock: Clock | None = None,
) -> Starlette:
    """Return the app. `host` is the address it will listen on, `names` further names of it."""
    endpoints = _Endpoints(source, self_metrics, clock or SystemClock())
    routes = [
        Route("/metrics", endpoints.metrics),
        Route("/-/healthy", endpoints.healthy),
        Route("/-/ready", endpoints.ready),
        Route("/api/v1/status", endpoints.status),
        Route("/api/v1/alerts", endpoints.alerts),
        Route("/api/v1/models", endpoints.models),
        Route("/api/v1/models/{model:path}", endpoints.model),
        *(Route(path, _file(name, media_type)) for path, (name, media_type) in _PAGE.items()),
    ]
    guard = Middleware(Guard, host=host, names=names)
    return Starlette(routes=routes, middleware=[guard])


class _Endpoints:
    """One method a route."""

    def __init__(self, source: SnapshotSource, self_metrics: SelfMetrics, clock: Clock) -> None:
        self._source = source
        self._self_metrics = self_metrics
        self._clock = clock

    async def metrics(self, request: Request) -> Response:
        form = asked_for(request)
        rendered = self._source.page.ready(form)
        if rendered is None:
            rendered = await run_in_threadpool(self._source.page.make, form)
        return scrape(form, rendered, self._self_metrics)

    async def healthy(self, _: Request) -> Response:
        health = self._source.health()
        return _verdict(health.alive, health.reason)

    async def ready(self, _: Request) -> Response:
        health = self._source.health()
        return _verdict(health.alive and health.ready, health.reason)

    async def status(self, _: Request) -> Response:
        health, snapshot = self._source.health(), self._source.snapshot()
        return json_response(status_view(health, snapshot, self._clock.wall()))

    async def alerts(self, _: Request) -> Response:
        return json_response(alerts_view(self._source.snapshot()))

    async def models(self, _: Request) -> Response:
        return json_response(models_view(self._source.snapshot()))

    async def model(self, request: Request) -> Response:
        snapshot = self._source.snapshot()
        name, query = request.path_params["model"], request.query_params
        choice = Choice(query.get("window"), query.get("version"), query.get("slice", ""))
        for model in snapshot.models if snapshot else ():
            if model.model == name:
                return json_response(model_view(model, choice))
        return json_response({"error": f"no model {name!r}"}, 404)


def json_response(data: Any, status: int = 200) -> Response:
    """Return data as JSON; NaN becomes null, lone surrogates in text become U+FFFD."""
    options = orjson.OPT_NON_STR_KEYS
    try:
        body = orjson.dumps(data, option=options)
    except orjson.JSONEncodeError:
        body = orjson.dumps(_printable(data), option=options)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(body, status, headers)


def _printable(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(data, dict):
        return {_printable(key): _printable(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_printable(value) for value in data]
    return data


def _verdict(good: bool, reason: str) -> Response:
    return PlainTextResponse(f"{reason}\n", 200 if good else 503)


def _file(name: str, media_type: str) -> Endpoint:
    content = files("streamgauge.web").joinpath("static", name).read_bytes()

    async def endpoint(_: Request) -> Response:
        # Always asked for again, so that page and JSON are of one version.
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return endpoint
