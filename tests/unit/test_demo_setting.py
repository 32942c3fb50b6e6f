"""The reference of the demo."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from streamgauge.core.timeline import HOURS_OF_WEEK
from streamgauge.demo.dataset import training_table
from streamgauge.demo.setting import make_reference
from streamgauge.formats.reference_file import read_reference


def test_flights_are_counted_by_the_hours_of_new_york(tmp_path: Path) -> None:
    reference = read_reference(make_reference(tmp_path, lambda _: None))
    new_york = ZoneInfo("America/New_York")
    times = training_table()["timestamp"].to_pylist()
    moments = [datetime.fromtimestamp(time / 1_000, new_york) for time in times]
    hours = [moment.weekday() * 24 + moment.hour for moment in moments]
    assert reference.hour_of_week is not None
    expected = np.bincount(hours, minlength=HOURS_OF_WEEK)
    assert reference.hour_of_week[:, 0].tolist() == expected.tolist()
