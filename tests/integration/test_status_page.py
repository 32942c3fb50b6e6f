"""The status page as a browser draws it, from hostile names."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from streamgauge.core.batch import Task
from streamgauge.core.snapshot import Snapshot
from streamgauge.web.app import build_app
from streamgauge.web.server import serve
from streamgauge.web.source import Health
from tests.support import outcome_engines
from tests.support.outside import require_program
from tests.support.snapshots import SnapshotShape, synthetic_snapshot
from tests.support.sources import FakeSource

pytestmark = pytest.mark.integration

MARKUP = "<img src=x onerror=alert(1)>"
Browse = Callable[..., str]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Return a function that opens the page of a source and returns the document it became."""
    chromium = require_program("chromium")

    def open_page(source: FakeSource, **chosen: str) -> str:
        app = build_app(source, source.self_metrics())
        with serve(app, port=0) as server:
            drawn = subprocess.run(
                [
                    chromium,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--disable-dev-shm-usage",
                    f"--user-data-dir={tmp_path / 'profile'}",
                    "--virtual-time-budget=4000",
                    "--dump-dom",
                    f"{server.url}/#{urlencode(chosen)}",
                ],
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
        return drawn.stdout

    return open_page


def texts(page: str, class_name: str) -> list[str]:
    """Return the texts of the elements of a class, without the markup inside."""
    found = re.findall(rf'class="[^"]*\b{class_name}\b[^"]*"[^>]*>(.*?)</(?:span|th|b|p)>', page)
    return [unescape(re.sub(r"<[^>]*>", "", text)) for text in found]


def hidden(page: str, element: str) -> bool:
    """Tell whether the element with an id is hidden."""
    (tag,) = re.findall(rf'<[^>]*\bid="{element}"[^>]*>', page)
    return bool(re.search(r"\bhidden\b", tag))


def hostile_snapshot() -> Snapshot:
    shape = SnapshotShape(
        numeric=("distance", MARKUP),
        slices=((("carrier", MARKUP),),),
        versions=("3", MARKUP),
    )
    snapshot = synthetic_snapshot(shape)
    (model,) = snapshot.models
    alert = replace(model.alerts[0], summary=f"{MARKUP} has drifted", slice=(("carrier", MARKUP),))
    model = replace(model, alerts=(alert,), unseen_values={"carrier": ((MARKUP, 4),)})
    return replace(snapshot, models=(model,))


def test_the_page_shows_alerts_and_fields_and_takes_no_text_for_markup(browse: Browse) -> None:
    page = browse(FakeSource(hostile_snapshot()), field="feature:carrier", version="3")
    assert texts(page, "summary") == [f"{MARKUP} has drifted"]
    names = texts(page, "name")
    assert {"distance", "carrier", MARKUP, "score", "prediction"} <= set(names)
    assert 'id="state" class="state" role="status" data-state="ready">Ready<' in page
    assert "<title>(1) Streamgauge</title>" in page
    assert "<img src=x" not in page
    assert page.count("<img ") == 1, "the icon is the only image"
    assert not hidden(page, "detail")
    assert "aria-selected" in page
    assert {"AA", "UA", "DL", "(other)"} == set(texts(page, "label"))


def test_fields_are_sorted_by_what_they_moved(browse: Browse) -> None:
    snapshot = synthetic_snapshot()
    page = browse(FakeSource(snapshot), window="1h", version="4", measure="js")
    window = snapshot.models[0].windows[1]
    row = next(i for i, key in enumerate(window.rows) if key.version == "4" and not key.slice)
    moved = {stats.subject.name: stats.corrected["js"][row] for stats in window.fields}
    shown = [name for name in texts(page, "name") if name in moved]
    assert shown == sorted(moved, key=lambda name: -moved[name])


def test_many_alerts_leave_the_figures_in_sight(browse: Browse) -> None:
    snapshot = synthetic_snapshot()
    model = snapshot.models[0]
    many = tuple(replace(model.alerts[0], alert_id=f"{i}", summary=f"no. {i}") for i in range(9))
    page = browse(FakeSource(replace(snapshot, models=(replace(model, alerts=many),))))
    assert len(texts(page, "summary")) == 4
    assert "Show all 9 alerts" in page
    assert "<title>(9) Streamgauge</title>" in page


def test_a_page_without_numbers_says_so_and_claims_no_silence(browse: Browse) -> None:
    page = browse(FakeSource(None, Health(True, False, "reading the reference")))
    assert "Not ready: reading the reference" in page
    assert not hidden(page, "waiting")
    assert hidden(page, "no-alerts")
    assert hidden(page, "model")


def test_silence_is_said_when_models_are_watched(browse: Browse) -> None:
    snapshot = synthetic_snapshot()
    snapshot = replace(snapshot, models=(replace(snapshot.models[0], alerts=()),))
    page = browse(FakeSource(snapshot))
    assert not hidden(page, "no-alerts")
    assert "<title>Streamgauge</title>" in page


def test_performance_shows_the_main_figures_and_what_is_waited_for(browse: Browse) -> None:
    task = Task.BINARY
    frame = outcome_engines.draw(task)
    engine = outcome_engines.fed(frame, task, known=outcome_engines.reference(task))
    model = outcome_engines.snapshot(engine)
    page = browse(FakeSource(Snapshot(0.0, (model,))), window="16d")
    assert not hidden(page, "performance")
    assert hidden(page, "no-labels")
    named = [name for name in texts(page, "name") if name in {"accuracy", "F1", "AUC", "mcc"}]
    assert named == ["accuracy", "F1", "AUC"]
    assert model.outcomes is not None
    accuracy = model.outcomes.realised[1].figures["accuracy"]
    assert f"<span>{accuracy.value[0]:.3f}</span>" in page
    assert f"{accuracy.lower[0]:.3f} to {accuracy.upper[0]:.3f}</small>" in page
    assert "Show all 13 figures" in page

    late = frame.assign(label_time=outcome_engines.END + 1)
    waiting = outcome_engines.snapshot(outcome_engines.fed(late, task))
    page = browse(FakeSource(Snapshot(0.0, (waiting,))))
    assert not hidden(page, "no-labels")
    assert "No labels yet: " in page
    assert "a label is joined up to 2 days after its prediction" in page
    assert hidden(page, "performance-table")

    page = browse(FakeSource(Snapshot(0.0, (replace(model, outcomes=None),))))
    assert hidden(page, "performance")
