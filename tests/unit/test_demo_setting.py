"""The reference of the demo."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.compute as pc
import pytest

from streamgauge.core.outcomes.figures import performance
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference
from streamgauge.core.timeline import HOURS_OF_WEEK
from streamgauge.demo.dataset import training_table
from streamgauge.demo.setting import make_reference
from streamgauge.formats.reference_file import read_reference


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return read_reference(make_reference(tmp_path_factory.mktemp("demo"), lambda _: None))


def test_how_well_the_model_did_is_part_of_the_reference(reference: Reference) -> None:
    assert reference.outcomes is not None
    labelled = training_table().filter(pc.field("label").is_valid())
    figures = performance(OutcomeLayout(reference.layout, "1"), reference.outcomes.block)
    right = labelled["label"].to_numpy() == labelled["prediction"].to_numpy()
    assert figures["accuracy"].value[0] == right.mean()
    arrivals = labelled["label_timestamp"].to_numpy()
    assert reference.outcomes.span == (int(arrivals.min()), int(arrivals.max()))


def test_flights_are_counted_by_the_hours_of_new_york(reference: Reference) -> None:
    new_york = ZoneInfo("America/New_York")
    times = training_table()["timestamp"].to_pylist()
    moments = [datetime.fromtimestamp(time / 1_000, new_york) for time in times]
    hours = [moment.weekday() * 24 + moment.hour for moment in moments]
    assert reference.hour_of_week is not None
    expected = np.bincount(hours, minlength=HOURS_OF_WEEK)
    assert reference.hour_of_week[:, 0].tolist() == expected.tolist()
