"""The exposition as Prometheus's own tool judges it."""

import subprocess

import pytest

from streamgauge.core.batch import Task
from streamgauge.core.snapshot import Snapshot
from streamgauge.io.metrics.exposition import render
from streamgauge.io.metrics.self_metrics import SelfMetrics
from tests.support import outcome_engines
from tests.support.exposed import NO_LIMITS
from tests.support.outside import require_program
from tests.support.snapshots import SnapshotShape, synthetic_snapshot
from tests.support.sources import FakeStatus

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "shape",
    [
        SnapshotShape(),
        SnapshotShape(regression=True, first_edge=-7),
        SnapshotShape(models=3, slices=((("tag", 'a "quoted" \\ value\nin two lines \r'),),)),
    ],
    ids=["binary", "regression", "three models, hostile slices"],
)
def test_promtool_has_nothing_to_say_about_the_metrics(shape: SnapshotShape) -> None:
    check(synthetic_snapshot(shape))


@pytest.mark.parametrize("task", Task)
def test_promtool_has_nothing_to_say_about_performance(task: Task) -> None:
    known = outcome_engines.reference(task)
    engine = outcome_engines.fed(outcome_engines.draw(task), task, known=known)
    check(Snapshot(0.0, (outcome_engines.snapshot(engine),)))


def check(snapshot: Snapshot) -> None:
    promtool = require_program("promtool")
    rendered = render(snapshot, NO_LIMITS)
    status = FakeStatus(lag={("predictions", 0): 3}, rejected={"schema": 2})
    self_metrics = SelfMetrics(lambda: status, lambda: rendered, config_read_at=1.76e9)
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=rendered.text.followed_by(self_metrics.text()),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert checked.stdout + checked.stderr == b""
    assert checked.returncode == 0
