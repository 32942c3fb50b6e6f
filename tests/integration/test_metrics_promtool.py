"""The exposition as Prometheus's own tool judges it."""

import subprocess

import pytest

from streamgauge.io.metrics.exposition import render
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.io.metrics.self_metrics import SelfMetrics
from tests.support.outside import require_program
from tests.support.snapshots import SnapshotShape, synthetic_snapshot
from tests.support.sources import FakeStatus

pytestmark = pytest.mark.integration

EVERYTHING = RenderLimits(
    per_model=10**9, total=10**9, measures=None, slice_measures=None, quantiles=None
)


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
    promtool = require_program("promtool")
    rendered = render(synthetic_snapshot(shape), EVERYTHING)
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
