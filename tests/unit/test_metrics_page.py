"""When the page of metrics is written, for whom, and what is served meanwhile."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from streamgauge.core.snapshot import Snapshot
from streamgauge.io.metrics.exposition import Form, Rendered, Renderer, render
from streamgauge.io.metrics.page import KEPT_READY_S, MetricsPage
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.io.metrics.self_metrics import SelfMetrics
from streamgauge.web.app import build_app
from tests.support.asgi import ask
from tests.support.kafka_fakes import FakeClock
from tests.support.snapshots import synthetic_snapshot
from tests.support.sources import FakeSource, FakeStatus

TEXT = Form(openmetrics=False, gzip=False)
PACKED = Form(openmetrics=True, gzip=True)
LONGEST_S = 10.0


class CountingRenderer(Renderer):
    """Notes what it renders, and can be held up."""

    def __init__(self) -> None:
        super().__init__(RenderLimits())
        self.seen: list[Snapshot] = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Semaphore(0)
        self.trouble: Exception | None = None

    def render(self, snapshot: Snapshot) -> Rendered:
        self.seen.append(snapshot)
        self.begun.release()
        assert self.go.wait(LONGEST_S)
        if self.trouble is not None:
            raise self.trouble
        return super().render(snapshot)


@pytest.fixture
def renderer() -> Iterator[CountingRenderer]:
    renderer = CountingRenderer()
    yield renderer
    renderer.go.set()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def page(renderer: CountingRenderer, clock: FakeClock) -> MetricsPage:
    return MetricsPage(renderer, clock.monotonic)


def snapshots(number: int) -> list[Snapshot]:
    return [synthetic_snapshot(seed=seed) for seed in range(number)]


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_before_the_first_snapshot_there_is_no_page(page: MetricsPage) -> None:
    assert page.ready(TEXT) is None
    assert page.make(TEXT) is None
    assert page.latest() is None


@pytest.mark.parametrize("form", [TEXT, PACKED])
def test_scrapes_of_one_snapshot_get_the_same_bytes(
    page: MetricsPage, renderer: CountingRenderer, form: Form
) -> None:
    page.offer(synthetic_snapshot())
    first = page.make(form)
    again = page.ready(form)
    assert first is not None
    assert again is first
    assert again.payload(form).data is first.payload(form).data
    assert len(renderer.seen) == 1


@pytest.mark.parametrize("form", [TEXT, PACKED])
def test_a_page_is_what_rendering_anew_gives(page: MetricsPage, form: Form) -> None:
    for snapshot in snapshots(3):
        page.offer(snapshot)
        made, anew = page.make(form), render(snapshot)
        assert made is not None
        assert made.text.data == anew.text.data
        assert made.openmetrics.data == anew.openmetrics.data
        tail = b"# EOF\n"
        packed = made.payload(form).gzip_followed_by(tail)
        assert gzip.decompress(packed) == anew.payload(form).followed_by(tail)
        samples = [s for family in parse(made.text.data.decode()) for s in family.samples]
        assert len(samples) == made.series


def test_a_form_that_was_not_asked_for_is_not_ready(page: MetricsPage) -> None:
    page.offer(synthetic_snapshot())
    made = page.make(PACKED)
    assert made is not None
    assert page.ready(TEXT) is None
    assert page.make(TEXT) is made
    assert page.ready(TEXT) is made


def test_nothing_is_rendered_for_nobody(
    page: MetricsPage, renderer: CountingRenderer, clock: FakeClock
) -> None:
    first, second, third = snapshots(3)
    page.offer(first)
    page.offer(second)
    page.make(PACKED)
    assert renderer.seen == [second]
    clock.now += KEPT_READY_S + 1.0
    page.offer(third)
    page.offer(first)
    assert renderer.seen == [second]


def test_after_a_long_while_a_scrape_gets_the_latest_snapshot(
    page: MetricsPage, renderer: CountingRenderer, clock: FakeClock
) -> None:
    first, second = snapshots(2)
    page.offer(first)
    old = page.make(PACKED)
    clock.now += KEPT_READY_S + 1.0
    page.offer(second)
    assert page.ready(PACKED) is None
    assert page.ready(PACKED) is None, "nor does a second one get the old page"
    made = page.make(PACKED)
    assert made is not None
    assert made is not old
    assert renderer.seen == [first, second]
    assert page.ready(PACKED) is made


def test_scrapes_at_the_same_time_render_once(
    page: MetricsPage, renderer: CountingRenderer
) -> None:
    page.offer(synthetic_snapshot())
    renderer.go.clear()
    with ThreadPoolExecutor(8) as pool:
        scrapes = [pool.submit(page.make, PACKED) for _ in range(8)]
        assert renderer.begun.acquire(timeout=LONGEST_S)
        renderer.go.set()
        made = [scrape.result(LONGEST_S) for scrape in scrapes]
    assert len(renderer.seen) == 1
    assert all(each is made[0] for each in made)


def test_while_a_page_is_made_ahead_the_one_before_is_served(
    page: MetricsPage, renderer: CountingRenderer
) -> None:
    first, second = snapshots(2)
    page.offer(first)
    old = page.make(PACKED)
    assert renderer.begun.acquire(timeout=LONGEST_S)
    renderer.go.clear()
    page.offer(second)
    assert renderer.begun.acquire(timeout=LONGEST_S)
    assert page.ready(PACKED) is old
    renderer.go.set()
    until(lambda: page.latest() is not old)
    new = page.ready(PACKED)
    assert new is page.latest(), "it is ready in the form that was asked for as soon as it is shown"
    assert renderer.seen == [first, second]


def test_of_snapshots_that_come_meanwhile_the_latest_is_shown(
    page: MetricsPage, renderer: CountingRenderer
) -> None:
    first, *more = snapshots(5)
    page.offer(first)
    page.make(TEXT)
    renderer.go.clear()
    for snapshot in more:
        page.offer(snapshot)
    renderer.go.set()
    latest = page.make(TEXT)
    assert latest is page.latest()
    assert latest is not None
    assert latest.text.data == render(more[-1]).text.data


def test_pages_are_made_ahead_only_in_forms_asked_for_lately(
    page: MetricsPage, clock: FakeClock
) -> None:
    first, second = snapshots(2)
    page.offer(first)
    page.make(TEXT)
    clock.now += KEPT_READY_S - 1.0
    page.make(PACKED)
    clock.now += 2.0
    page.offer(second)
    page.make_ahead()
    latest = page.latest()
    assert latest is not None
    assert latest.is_ready(PACKED)
    assert not latest.is_ready(TEXT)


def test_what_went_wrong_beside_the_loop_is_raised_in_it(
    page: MetricsPage, renderer: CountingRenderer
) -> None:
    first, second, third = snapshots(3)
    page.offer(first)
    page.make(PACKED)
    renderer.trouble = ValueError("no such label")
    page.offer(second)
    until(lambda: renderer.seen == [first, second])

    def raised() -> bool:
        try:
            page.offer(third)
        except ValueError as error:
            return error is renderer.trouble
        return False

    until(raised)


def test_a_cleared_page_shows_nothing_until_the_next_snapshot(page: MetricsPage) -> None:
    first, second = snapshots(2)
    page.offer(first)
    page.make(PACKED)
    page.clear()
    assert page.latest() is None
    assert page.ready(PACKED) is None
    assert page.make(PACKED) is None
    page.offer(second)
    made = page.make(PACKED)
    assert made is not None
    assert made.openmetrics.data == render(second).openmetrics.data


def test_the_processs_own_figures_are_fresh_in_every_scrape_of_one_snapshot() -> None:
    source, status = FakeSource(synthetic_snapshot()), FakeStatus()
    metrics = SelfMetrics(lambda: status, source.rendered, config_read_at=1.76e9)
    app = build_app(source, metrics)
    packed = {"Accept-Encoding": "gzip"}
    found = []
    for consumed in (17, 18):
        status.consumed = consumed
        plain = ask(app, "/metrics").body
        assert f"streamgauge_messages_consumed_total {consumed}.0\n".encode() in plain
        unpacked = gzip.decompress(ask(app, "/metrics", packed).body)
        assert f"streamgauge_messages_consumed_total {consumed}.0\n".encode() in unpacked
        rendered = source.rendered()
        assert rendered is not None
        assert plain.startswith(rendered.text.data)
        assert unpacked.startswith(rendered.text.data)
        found.append(rendered)
    assert found[0] is found[1]
