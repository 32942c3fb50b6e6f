"""The quick start's data: the same every time, fit for the command and for the decoder."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from examples.quickstart import make_data
from streamgauge.config import load, slice_specs
from streamgauge.core.batch import EventBatch, Task
from streamgauge.core.bins import NumericBins
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.reference import Reference
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.profiling import ProfileRequest, profile

END_MS = 1_764_000_000_000
CONFIG = Path(make_data.__file__).parent / "streamgauge.yaml"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    path = tmp_path_factory.mktemp("quickstart") / "training.csv"
    make_data.main(["--output", str(path)])
    slices = slice_specs(load(CONFIG).models[make_data.MODEL])
    return profile(ProfileRequest((path,), make_data.MODEL, slices=slices)).reference


def decoded(reference: Reference, count: int, *, fault: bool) -> EventBatch:
    found = list(make_data.events(make_data.live(count, END_MS, fault=fault)))
    predictions = [(key, event) for topic, key, event in found if topic == "predictions"]
    assert len(found) == 2 * len(predictions) == 2 * count
    messages = RawMessages(
        values=[json.dumps(event).encode() for _, event in predictions],
        keys=[key.encode() for key, _ in predictions],
        partition=np.zeros(count, np.int32),
        offset=np.arange(count),
        broker_timestamp=np.full(count, END_MS),
    )
    result = NativeDecoder([reference.layout.schema]).decode(messages)
    assert (result.rejected, result.unknown_fields, result.unknown_models) == ((), 0, 0)
    (batch,) = result.batches
    return batch


def test_the_training_data_is_the_same_every_time(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        make_data.write_training(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    frame = pd.read_csv(paths[0])
    assert len(frame) == make_data.TRAINING_ROWS
    assert frame["timestamp"].is_monotonic_increasing
    assert ((frame["score"] >= make_data.THRESHOLD) == frame["prediction"]).all()


def test_the_model_is_good_on_the_training_data(tmp_path: Path) -> None:
    make_data.write_training(tmp_path / "training.csv")
    frame = pd.read_csv(tmp_path / "training.csv")
    by_score = frame.groupby(pd.cut(frame["score"], [0, 0.2, 0.4, 0.8]), observed=True)
    gap = by_score["label"].mean() - by_score["score"].mean()
    assert gap.abs().max() < 0.05


def test_the_reference_has_what_the_page_says(reference: Reference) -> None:
    schema = reference.layout.schema
    assert schema.task is load(CONFIG).models[make_data.MODEL].task is Task.BINARY
    assert (schema.numeric, schema.categorical) == (("tenure_months", "monthly_fee"), ("plan",))
    assert {key for key in reference.rows if key} == {(("plan", plan),) for plan in make_data.PLANS}


def test_live_events_decode_and_end_at_the_end(reference: Reference) -> None:
    batch = decoded(reference, 600, fault=False)
    assert len(batch) == 600
    assert batch.timestamp.min() >= END_MS - make_data.LIVE_SPAN_MS
    assert batch.timestamp.max() < END_MS


def test_every_label_decodes_and_comes_after_its_prediction(reference: Reference) -> None:
    found = list(make_data.events(make_data.live(600, END_MS, fault=False)))
    labels = [(key, event) for topic, key, event in found if topic == "labels"]
    messages = RawMessages(
        values=[json.dumps(event).encode() for _, event in labels],
        keys=[key.encode() for key, _ in labels],
        partition=np.zeros(600, np.int32),
        offset=np.arange(600),
        broker_timestamp=np.full(600, END_MS),
    )
    result = LabelDecoder([reference.layout.schema]).decode(messages)
    assert (result.rejected, result.unknown_fields, result.unknown_models) == ((), 0, 0)
    (batch,) = result.batches
    predicted = decoded(reference, 600, fault=False).timestamp
    np.testing.assert_array_equal(batch.timestamp - predicted, make_data.LABEL_DELAY_MS)
    max_delay = load(CONFIG).models[make_data.MODEL].labels.max_delay
    assert max_delay > make_data.LABEL_DELAY_MS


def test_how_good_the_model_was_is_part_of_the_reference(reference: Reference) -> None:
    assert reference.outcomes is not None


def test_the_fault_moves_one_plans_fee_out_of_range_from_half_time_on(
    reference: Reference,
) -> None:
    position = reference.layout.position(Subject(SubjectKind.FEATURE, "monthly_fee"))
    assert position is not None
    bins = reference.layout.fields[position].bins
    assert isinstance(bins, NumericBins)
    well, ill = (decoded(reference, 600, fault=fault) for fault in (False, True))
    above = bins.assign(ill.numeric[1]) == bins.value_bins - 1
    plans = ill.categorical[0]
    family = plans.codes == plans.values.index("family")
    late = ill.timestamp >= END_MS - make_data.LIVE_SPAN_MS // 2
    np.testing.assert_array_equal(above, family & late)
    np.testing.assert_array_equal(well.numeric[1][~above], ill.numeric[1][~above])
    assert np.isclose(ill.numeric[1][above], 100 * well.numeric[1][above]).all()


def test_a_line_is_printed_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    make_data.main(["--events", "5", "--end", str(END_MS)])
    predictions = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    make_data.main(["--events", "5", "--end", str(END_MS), "--labels"])
    labels = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ids = [event["prediction_id"] for event in predictions]
    assert ids == [event["prediction_id"] for event in labels]
    assert len(set(ids)) == 5
    assert {event["label"] for event in labels} <= {0, 1}
