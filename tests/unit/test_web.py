"""The HTTP server: scrapes, health, the JSON behind the page, and who is answered."""

import gzip
import http.client
import json
import re
import socket
import threading
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.applications import Starlette

import streamgauge
from streamgauge.core.bins import CategoricalBins, NumericBins
from streamgauge.core.snapshot import ModelSnapshot, Snapshot
from streamgauge.errors import StreamgaugeError
from streamgauge.web.app import build_app
from streamgauge.web.field_view import group_names
from streamgauge.web.metrics import OPENMETRICS, TEXT, prefers_openmetrics, takes_gzip
from streamgauge.web.security import host_name, is_loopback
from streamgauge.web.server import AddressError, HttpServer, serve
from streamgauge.web.source import Health
from tests.support.asgi import Answer, ask
from tests.support.snapshots import SnapshotShape, synthetic_snapshot
from tests.support.sources import GOOD, FakeSource

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class FixedClock:
    """A clock that stands still."""

    def wall(self) -> float:
        return 1_764_000_060.0

    def monotonic(self) -> float:
        return 0.0


def app_of(source: FakeSource, **more: Any) -> Starlette:
    return build_app(source, source.self_metrics(), clock=FixedClock(), **more)


def get(snapshot: Snapshot | None, url: str, headers: dict[str, str] | None = None) -> Answer:
    return ask(app_of(FakeSource(snapshot)), url, headers)


def get_json(snapshot: Snapshot | None, url: str) -> Any:
    answer = get(snapshot, url)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)


def only_model(snapshot: Snapshot) -> ModelSnapshot:
    (model,) = snapshot.models
    return model


# --- Scrapes


def test_a_scrape_holds_the_models_and_the_process_in_one_exposition() -> None:
    snapshot = synthetic_snapshot()
    answer = get(snapshot, "/metrics")
    assert answer.headers["content-type"] == TEXT
    names = [family.name for family in parse_text(answer.body.decode())]
    assert len(set(names)) == len(names)
    assert {"streamgauge_predictions", "streamgauge_active", "process_cpu_seconds"} <= set(names)


def test_prometheus_gets_openmetrics_with_one_end() -> None:
    answer = get(synthetic_snapshot(), "/metrics", {"Accept": PROMETHEUS_3})
    assert answer.headers["content-type"] == OPENMETRICS
    text = answer.body.decode()
    assert text.count("# EOF") == 1
    assert text.endswith("# EOF\n")
    names = [family.name for family in parse_openmetrics(text)]  # type: ignore[no-untyped-call]
    assert len(set(names)) == len(names)
    assert {"streamgauge_predictions", "streamgauge_active"} <= set(names)


@pytest.mark.parametrize("accept", [PROMETHEUS_3, "text/plain"])
def test_a_gzipped_scrape_is_the_plain_one(accept: str) -> None:
    source = FakeSource(synthetic_snapshot())
    app = app_of(source)
    plain = ask(app, "/metrics", {"Accept": accept})
    packed = ask(app, "/metrics", {"Accept": accept, "Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.headers["vary"] == "Accept, Accept-Encoding"

    def stable(body: bytes) -> list[bytes]:
        # The process's own figures differ from one scrape to the next.
        return [line for line in body.splitlines() if not line.startswith(b"process_")]

    assert stable(gzip.decompress(packed.body)) == stable(plain.body)


def test_before_the_first_snapshot_a_scrape_holds_the_process_alone() -> None:
    answer = get(None, "/metrics")
    assert answer.status == 200
    names = {family.name for family in parse_text(answer.body.decode())}
    assert "streamgauge_active" in names
    assert "streamgauge_predictions" not in names


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ('application/openmetrics-text; version="1.0.0"', True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.9", False),
        ("application/openmetrics-text;q=nonsense", False),
        ("TEXT/PLAIN;Q=0.1, Application/OpenMetrics-Text;Q=0.2", True),
    ],
)
def test_the_format_follows_the_accept_header(accept: str, openmetrics: bool) -> None:
    assert prefers_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("accepted", "gzipped"),
    [
        ("", False),
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("zstd", False),
    ],
)
def test_gzip_follows_the_accept_encoding_header(accepted: str, gzipped: bool) -> None:
    assert takes_gzip(accepted) is gzipped


# --- Health


@pytest.mark.parametrize(
    ("health", "healthy", "ready"),
    [
        (GOOD, 200, 200),
        (Health(True, False, "waiting for the first assignment"), 200, 503),
        (Health(False, True, "the loop has stalled for 60 s"), 503, 503),
    ],
)
def test_health_answers_with_the_reason(health: Health, healthy: int, ready: int) -> None:
    app = app_of(FakeSource(None, health))
    for path, status in (("/-/healthy", healthy), ("/-/ready", ready)):
        answer = ask(app, path)
        assert answer.status == status
        assert answer.body.decode() == f"{health.reason}\n"


# --- JSON


def test_the_status_tells_how_the_process_is() -> None:
    snapshot = synthetic_snapshot(SnapshotShape(models=2))
    slow = replace(snapshot.models[0], watermark=1_763_999_999_000)
    snapshot = replace(snapshot, models=(slow, snapshot.models[1]))
    assert get_json(snapshot, "/api/v1/status") == {
        "version": streamgauge.__version__,
        "alive": True,
        "ready": True,
        "reason": "active",
        "lag_messages": 12,
        "events_per_second": 1_250.5,
        "now": "2025-11-24T16:01:00.000Z",
        "snapshot_at": "2025-11-24T16:00:30.000Z",
        "event_time": "2025-11-24T15:59:59.000Z",
        "models": 2,
        "alerts_firing": {"critical": 2, "warning": 0, "info": 0},
    }


def test_the_watermark_of_the_run_is_newer_than_that_of_the_snapshot() -> None:
    source = FakeSource(synthetic_snapshot(), replace(GOOD, event_time=1_764_000_123_000))
    app = build_app(source, source.self_metrics())
    status = json.loads(ask(app, "/api/v1/status").body)
    assert status["event_time"] == "2025-11-24T16:02:03.000Z"


def test_everything_answers_before_the_first_snapshot() -> None:
    status = get_json(None, "/api/v1/status")
    assert status["models"] == 0
    assert status["event_time"] is None
    assert get_json(None, "/api/v1/models") == {"models": []}
    assert get_json(None, "/api/v1/alerts") == {"alerts": []}
    assert get(None, "/api/v1/models/model-0").status == 404


def test_alerts_come_gravest_and_newest_first() -> None:
    snapshot = synthetic_snapshot()
    (alert,) = only_model(snapshot).alerts
    alerts = (
        replace(alert, alert_id="a", severity="info"),
        replace(alert, alert_id="b", severity="critical", starts_at=alert.starts_at - 1),
        replace(alert, alert_id="c", severity="warning"),
        replace(alert, alert_id="d", severity="critical"),
        replace(alert, alert_id="e", severity="unheard of"),
    )
    snapshot = replace(snapshot, models=(replace(only_model(snapshot), alerts=alerts),))
    found = get_json(snapshot, "/api/v1/alerts")["alerts"]
    assert [entry["alert_id"] for entry in found] == ["d", "b", "c", "a", "e"]
    assert found[0] == {
        "alert_id": "d",
        "model": "model-0",
        "model_version": "3",
        "slice": "carrier=UA",
        "subject": {"kind": "feature", "name": "distance"},
        "detector": "bank",
        "severity": "critical",
        "summary": alert.summary,
        "starts_at": "2025-11-24T15:50:00.000Z",
        "onset": "2025-11-24T15:35:00.000Z",
        "statistic": 31.5,
        "threshold": 14.25,
    }


def test_models_list_versions_by_traffic() -> None:
    snapshot = synthetic_snapshot()
    model = only_model(snapshot)
    assert model.counters is not None
    events = {
        key.version: int(model.counters.counts[row, :6].sum())
        for row, key in enumerate(model.counters.rows)
        if not key.slice
    }
    (found,) = get_json(snapshot, "/api/v1/models")["models"]
    assert {entry["version"]: entry["events"] for entry in found["versions"]} == events
    counts = [entry["events"] for entry in found["versions"]]
    assert counts == sorted(counts, reverse=True)
    assert found["task"] == "binary"
    assert found["windows"] == ["5m", "1h"]
    assert found["alerts_firing"] == 1


@pytest.mark.parametrize("window", ["5m", "1h"])
@pytest.mark.parametrize("version", ["3", "4"])
@pytest.mark.parametrize("slice_", ["", "carrier=UA", "carrier=UA,origin=EWR"])
def test_a_model_shows_the_window_version_and_slice_asked_for(
    window: str, version: str, slice_: str
) -> None:
    snapshot = synthetic_snapshot()
    query = urlencode({"window": window, "version": version, "slice": slice_})
    view = get_json(snapshot, f"/api/v1/models/model-0?{query}")
    stats = next(w for w in only_model(snapshot).windows if w.window == window)
    row = next(
        i for i, key in enumerate(stats.rows) if (key.version, key.label()) == (version, slice_)
    )
    assert view["window"] == {
        "name": window,
        "start": "2025-11-24T15:55:00.000Z",
        "end": "2025-11-24T16:00:00.000Z",
        "version": version,
        "slice": slice_,
        "events": stats.events[row],
        "samples": stats.samples[row],
    }
    assert [field["name"] for field in view["fields"]] == [f.subject.name for f in stats.fields]
    for field, wanted in zip(view["fields"], stats.fields, strict=True):
        assert field["count"] == wanted.count[row]
        assert field["missing"] == wanted.missing[row]
        assert field["groups"]["counts"] == wanted.groups[row].tolist()  # type: ignore[index]
        assert field["groups"]["reference"] == wanted.reference_groups[row].tolist()  # type: ignore[index]
        assert len(field["groups"]["names"]) == len(field["groups"]["counts"])
        assert field["distances"]["psi"] == {
            "raw": wanted.raw["psi"][row],
            "corrected": wanted.corrected["psi"][row],
            "p_value": wanted.p_value["psi"][row],
        }
    slices = {entry["slice"]: entry["samples"] for entry in view["slices"]}
    of_version = {
        key.label(): stats.samples[i]
        for i, key in enumerate(stats.rows)
        if key.version == version and key.slice
    }
    assert slices == of_version


def test_what_a_model_does_not_have_is_replaced_by_the_first_there_is() -> None:
    snapshot = synthetic_snapshot()
    busiest = get_json(snapshot, "/api/v1/models/model-0")["window"]
    assert busiest["name"] == "5m"
    assert busiest["slice"] == ""
    stats = only_model(snapshot).windows[0]
    whole = {k.version: n for k, n in zip(stats.rows, stats.samples, strict=True) if not k.slice}
    assert busiest["version"] == max(whole, key=whole.__getitem__)
    query = urlencode({"window": "9y", "version": "77", "slice": "carrier=??"})
    assert get_json(snapshot, f"/api/v1/models/model-0?{query}")["window"] == busiest
    query = urlencode({"version": "4", "slice": "carrier=??"})
    other = get_json(snapshot, f"/api/v1/models/model-0?{query}")["window"]
    assert (other["version"], other["slice"]) == ("4", "")


def test_a_version_without_events_in_the_window_is_shown_as_empty() -> None:
    snapshot = synthetic_snapshot()
    model = only_model(snapshot)
    window = model.windows[0]
    keep = np.array(
        [i for i, key in enumerate(window.rows) if key.version == "3" and not key.slice]
    )
    window = replace(
        window,
        rows=tuple(window.rows[i] for i in keep),
        samples=window.samples[keep],
        events=window.events[keep],
    )
    snapshot = replace(snapshot, models=(replace(model, windows=(window,)),))
    view = get_json(snapshot, "/api/v1/models/model-0?version=4&slice=carrier%3DUA")
    shown = view["window"]
    assert (shown["version"], shown["slice"], shown["samples"]) == ("4", "carrier=UA", 0)
    assert view["fields"] == []
    assert {entry["samples"] for entry in view["slices"]} == {0}
    assert len(view["slices"]) == 3
    of_the_other = get_json(snapshot, "/api/v1/models/model-0")
    assert of_the_other["window"]["version"] == "3"
    assert of_the_other["fields"] != []


def test_undefined_figures_are_null() -> None:
    snapshot = synthetic_snapshot()
    stats = only_model(snapshot).windows[0].fields[-2]
    assert stats.mean is not None
    stats.mean[:] = np.nan
    stats.corrected["psi"][:] = np.inf
    view = get_json(snapshot, "/api/v1/models/model-0")
    (field,) = [f for f in view["fields"] if f["name"] == stats.subject.name]
    assert field["mean"] is None
    assert field["distances"]["psi"]["corrected"] is None
    assert field["distances"]["psi"]["raw"] is not None


def test_a_field_without_a_reference_has_counts_alone() -> None:
    snapshot = synthetic_snapshot()
    model = only_model(snapshot)
    window = model.windows[0]
    fields = tuple(
        replace(
            field,
            raw={},
            corrected={},
            p_value={},
            reference_groups=np.zeros_like(field.groups),
            reference_missing=None,
        )
        for field in window.fields
    )
    model = replace(model, windows=(replace(window, fields=fields),))
    view = get_json(replace(snapshot, models=(model,)), "/api/v1/models/model-0")
    for field in view["fields"]:
        assert field["distances"] == {}
        assert field["groups"]["reference"] is None
        assert sum(field["groups"]["counts"]) == field["count"]
        assert field["reference_missing"] is None


def test_unseen_values_stand_with_their_feature() -> None:
    view = get_json(synthetic_snapshot(), "/api/v1/models/model-0")
    unseen = {field["name"]: field["unseen_values"] for field in view["fields"]}
    assert unseen["carrier"] == [["ZZ", 41], ["YY", 3]]
    assert unseen["distance"] == []


def test_groups_are_named_for_people() -> None:
    edges = (0.0, 1.5, 20.0, 30.0)
    assert group_names(NumericBins(edges, (0, 2, 3))) == ["< 1.5", "1.5 – 20", "≥ 20"]
    assert group_names(NumericBins(edges, (0,))) == ["all"]
    assert group_names(CategoricalBins(("a", "b"))) == ["a", "b", "(other)"]


def test_a_model_whose_id_needs_escaping_can_be_asked_for() -> None:
    snapshot = synthetic_snapshot()
    for name in ("../../x", "a b/c?d#e", "é%2F"):
        named = replace(snapshot, models=(replace(only_model(snapshot), model=name),))
        view = get_json(named, f"/api/v1/models/{quote(name, safe='')}")
        assert view["model"] == name


def test_lone_surrogates_do_not_break_the_json() -> None:
    snapshot = synthetic_snapshot(SnapshotShape(versions=("v\ud800",)))
    for url in ("/api/v1/alerts", "/api/v1/models", "/api/v1/models/model-0"):
        body = get(snapshot, url).body
        assert "�" in body.decode()
        json.loads(body)


def test_a_model_without_windows_shows_what_it_has() -> None:
    model = replace(only_model(synthetic_snapshot()), windows=(), layout=None, counters=None)
    view = get_json(Snapshot(0.0, (model,)), "/api/v1/models/model-0")
    assert view["window"] is None
    assert view["fields"] == []
    assert view["versions"] == []


def test_times_past_the_calendar_are_unknown() -> None:
    model = replace(only_model(synthetic_snapshot()), watermark=10**17, last_event=-(10**17))
    (view,) = get_json(Snapshot(0.0, (model,)), "/api/v1/models")["models"]
    assert view["event_time"] is None
    assert view["last_event"] is None


# --- The page, and who is answered


def test_the_page_names_only_files_that_are_served() -> None:
    app = app_of(FakeSource())
    page = ask(app, "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    wanted = re.findall(r'(?:src|href)="([^"#]+)"', page.body.decode())
    assert {"static/page.js", "static/page.css", "static/icon.svg", "metrics"} <= set(wanted)
    for path in wanted:
        assert "//" not in path
        assert ask(app, f"/{path}").status == 200


def test_the_page_has_no_inline_script_or_style() -> None:
    page = ask(app_of(FakeSource()), "/").body.decode()
    assert re.search(r"<script(?![^>]*\ssrc=)", page) is None
    assert "<style" not in page
    assert re.search(r'\s(style|on\w+)="', page) is None


def test_every_answer_carries_the_security_headers() -> None:
    app = app_of(FakeSource(synthetic_snapshot()))
    for path in ("/", "/metrics", "/api/v1/status", "/-/ready", "/nowhere"):
        headers = ask(app, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"


def test_nothing_can_be_written() -> None:
    app = app_of(FakeSource())
    for method in ("POST", "PUT", "DELETE"):
        assert ask(app, "/api/v1/status", method=method).status == 405


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("localhost:9477", True),
        ("LOCALHOST", True),
        ("127.0.0.1:9477", True),
        ("127.1.2.3", True),
        ("[::1]:9477", True),
        ("localhost.", True),
        ("monitor.internal:9477", True),
        ("evil.example", False),
        ("evil.example:9477", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.1.7:9477", False),
        ("[::2]:9477", False),
    ],
)
def test_on_a_loopback_address_foreign_names_are_refused(host: str, answered: bool) -> None:
    app = app_of(FakeSource(), host="127.0.0.1", names=("monitor.internal",))
    answer = ask(app, "/metrics", {"Host": host})
    assert answer.status == (200 if answered else 421)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_on_other_addresses_every_name_is_answered() -> None:
    app = app_of(FakeSource(), host="0.0.0.0")
    assert ask(app, "/metrics", {"Host": "10.1.2.3:9477"}).status == 200
    assert ask(app, "/metrics", {"Host": "streamgauge.monitoring.svc"}).status == 200


def test_host_names_are_read_without_port_and_brackets() -> None:
    assert host_name("Example.org:80") == "example.org"
    assert host_name("[::1]:9477") == "::1"
    assert host_name("localhost.") == "localhost"
    assert is_loopback("::1")
    assert not is_loopback("localhost.evil.example")


# --- The server


def fetch(server: HttpServer, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_server_answers_on_a_free_port_and_gives_it_back() -> None:
    with serve(app_of(FakeSource()), port=0) as server:
        assert server.port > 0
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert fetch(server, "/-/healthy") == (200, b"active\n")
        threads = [thread for thread in threading.enumerate() if thread.name == "http"]
        assert len(threads) == 1
    assert not threads[0].is_alive()
    with serve(app_of(FakeSource()), port=server.port) as again:
        assert fetch(again, "/-/healthy")[0] == 200


def test_a_kept_alive_connection_does_not_hold_up_the_stop() -> None:
    with serve(app_of(FakeSource()), port=0) as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
        connection.request("GET", "/-/healthy")
        connection.getresponse().read()
    assert not any(thread.name == "http" for thread in threading.enumerate())
    connection.close()


def test_an_address_in_use_is_an_error_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=rf"127\.0\.0\.1 port {port}.*http\.port") as caught:
            HttpServer(app_of(FakeSource()), "127.0.0.1", port)
    assert isinstance(caught.value, StreamgaugeError)


@pytest.mark.parametrize("host", ["192.0.2.1", "x" * 64])
def test_an_address_of_no_machine_of_ours_is_an_error(host: str) -> None:
    with pytest.raises(AddressError, match=r"http\.host"):
        HttpServer(app_of(FakeSource()), host, 0)
