"""Reading what was written gives the same reference, whatever it holds."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.config.zones import zone
from streamgauge.core.batch import Task
from streamgauge.core.reference import ReferenceBuilder
from streamgauge.formats.reference_file import dump_reference, load_reference, reference_id
from tests.support import batches, labelled_batches
from tests.support.references import assert_identical

LAYOUT = batches.layout()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 60),
    days=st.sampled_from([0.1, 30.0, 3_000.0]),
    timed=st.booleans(),
    scale=st.floats(min_value=-1e300, max_value=1e300),
    name=st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]),
    meta=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
)
def test_a_reference_survives_its_file(
    seed: int, n: int, days: float, timed: bool, scale: float, name: str, meta: dict[str, str]
) -> None:
    batch = batches.events(np.random.default_rng(seed), n, span_ms=int(days * 86_400_000))
    with np.errstate(over="ignore", invalid="ignore"):
        batch = replace(batch, numeric=batch.numeric * scale)
    builder = ReferenceBuilder(LAYOUT, batches.SLICES, zone=zone(name))
    builder.add(batch, timed=timed)
    reference = builder.finish(meta=meta)
    again = load_reference(dump_reference(reference))
    assert_identical(again, reference)
    assert reference_id(again) == reference_id(reference)


@settings(max_examples=40)
@given(
    task=st.sampled_from(Task),
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 80),
    trouble=st.booleans(),
    timed=st.booleans(),
    label_times=st.booleans(),
    scale=st.floats(min_value=-1e300, max_value=1e300),
    positive=st.sampled_from(["", "0", "1"]),
    name=st.sampled_from(["UTC", "America/New_York"]),
)
def test_outcomes_survive_the_file(
    task: Task,
    seed: int,
    n: int,
    trouble: bool,
    timed: bool,
    label_times: bool,
    scale: float,
    positive: str,
    name: str,
) -> None:
    frame = labelled_batches.draw(task, n, seed, trouble=trouble)
    if task is Task.REGRESSION:
        frame["prediction"] *= scale
    builder = ReferenceBuilder(
        labelled_batches.layout(task),
        labelled_batches.SLICES,
        zone=zone(name),
        positive=positive if task is Task.BINARY else "",
    )
    builder.add(labelled_batches.batch(frame, task, label_times=label_times), timed=timed)
    reference = builder.finish()
    assert (reference.outcomes is not None) == bool(len(labelled_batches.counted(frame)))
    again = load_reference(dump_reference(reference))
    assert_identical(again, reference)
    assert reference_id(again) == reference_id(reference)
