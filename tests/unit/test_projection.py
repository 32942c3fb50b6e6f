"""Projections, held against an engine that has really counted what the reference holds."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamgauge.cli.slices import slice_option
from streamgauge.config import load
from streamgauge.core.batch import Categories, EventBatch, LabelBatch
from streamgauge.core.blocks import Block
from streamgauge.core.engine import ModelEngine
from streamgauge.core.joining.keys import keys
from streamgauge.core.layout import Layout
from streamgauge.core.slices import (
    MISSING_VALUE,
    Dimension,
    RowKey,
    SliceRegistry,
    SliceSpec,
)
from streamgauge.core.snapshot import ModelSnapshot, Snapshot
from streamgauge.io.metrics.exposition import Rendered, candidates, render
from streamgauge.io.metrics.selection import RenderLimits
from streamgauge.runner.checklist import Grade, Item
from streamgauge.runner.footprint import memory, most_rows
from streamgauge.runner.plan import Plan, plan
from streamgauge.runner.projection import Projection, project, projection_items
from streamgauge.runner.references import known_slices, option_text
from tests.support.batches import SLICES, START_MS, slice_key
from tests.support.made_up_model import made_up_events, made_up_reference, write_config

WINDOWS = "windows: [10s, 1m]\nmin_samples: 20"
"""Both windows are full of the made-up events, which span a minute."""


def planned(path: Path) -> Plan:
    return plan(load(path, {}), path)


def only_projection(path: Path) -> Projection:
    [found] = project(planned(path))
    return found


def notes(path: Path) -> list[Item]:
    made = planned(path)
    return [i for i in projection_items(made, project(made)) if i.grade is not Grade.OK]


def counted_engine(made: Plan) -> ModelEngine:
    """Return an engine that has counted the reference's own events, the windows at their end."""
    [model] = made.known
    engine = ModelEngine(model.spec, model.reference.layout, model.reference, model.reference_id)
    events = made_up_events()
    ids = [f"p{i}" for i in range(len(events))]
    engine.add(events, keys("made-up", ids))
    labels = labels_of(events, ids)
    engine.add_labels(labels, keys("made-up", labels.ids))
    engine.advance(START_MS + 60_000)
    return engine


def labels_of(events: EventBatch, ids: list[str]) -> LabelBatch:
    """Return the labels of events as they come in production: at once, here."""
    assert isinstance(events.label, Categories)
    known = np.flatnonzero(events.label.codes >= 0)
    return LabelBatch(
        events.schema,
        [ids[i] for i in known.tolist()],
        events.timestamp[known],
        events.partition[known],
        Categories(events.label.codes[known], events.label.values),
        np.zeros(len(known), np.int64),
    )


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> ModelSnapshot:
    """The snapshot of an engine that has counted the reference's own events."""
    path = write_config(tmp_path_factory.mktemp("counted"), model=WINDOWS)
    snapshot = counted_engine(planned(path)).snapshot(START_MS)
    assert len(snapshot.windows) == 2
    assert snapshot.detectors is not None
    # A projection does not foresee alerts.
    return replace(snapshot, alerts=())


def exported(snapshot: ModelSnapshot, cap: int) -> tuple[Rendered, set[str], set[str]]:
    """Return what is exported under a cap, its slices, and its histograms."""
    rendered = render(Snapshot(0.0, (snapshot,)), RenderLimits(per_model=cap))
    lines = rendered.text.data.decode().splitlines()
    slices = {x.split('slice="')[1] for x in lines if x.startswith("streamgauge_slice_predictions")}
    histograms = {line.partition(",le=")[0] for line in lines if "_bucket{" in line}
    return rendered, slices, histograms


def test_the_series_are_those_of_an_engine(tmp_path: Path, counted: ModelSnapshot) -> None:
    path = write_config(tmp_path, model=f"{WINDOWS}\nlimits: {{series: 20000}}")
    found = only_projection(path)
    assert found.series == found.series_wanted == candidates(counted, RenderLimits()).wanted
    rendered, slices, _ = exported(counted, 20_000)
    # Distances that are not defined have no sample.
    assert 0.9 * found.series < rendered.series <= found.series
    assert found.exported_slices == found.slices == len(slices) > 30
    assert found.left_out == ()


@pytest.mark.parametrize("cap", [40, 300, 800])
def test_under_a_cap_the_same_is_left_out_as_of_an_engine(
    tmp_path: Path, counted: ModelSnapshot, cap: int
) -> None:
    path = write_config(tmp_path, model=f"{WINDOWS}\nlimits: {{series: {cap}}}")
    made = planned(path)
    [found] = project(made)
    rendered, slices, histograms = exported(counted, cap)
    assert found.room == cap
    assert found.series == found.series_wanted - rendered.dropped["model_cap"] <= cap
    assert found.exported_slices == len(slices) < found.slices
    assert f"{found.slices - len(slices)} of {found.slices} slices" in found.left_out
    whole = exported(counted, 20_000)[2]
    assert ("histograms of some fields" in found.left_out) == (histograms < whole)
    figures = b"streamgauge_prediction_distance_p_value{" in rendered.text.data
    assert ("counts and window figures of some fields" in found.left_out) == (not figures)
    [note] = [item for item in projection_items(made, [found]) if "series" in item.text]
    assert note.place == ("models", "made-up", "limits", "series")
    assert f"would have {found.series_wanted:,} series, and {cap:,} fit in" in note.text


def test_models_share_what_the_process_may_export(tmp_path: Path) -> None:
    path = write_config(tmp_path, model=f"{WINDOWS}\nlimits: {{series: 900}}")
    text = path.read_text()
    second = text[text.index("  made-up:") :].replace("  made-up:", "  twin:", 1)
    path.write_text(f"{text}{second}limits: {{series: 1000}}\n")
    made = planned(path)
    found = project(made)
    assert [projection.room for projection in found] == [500, 500]
    series = [item for item in projection_items(made, found) if "series" in item.text]
    assert [item.place for item in series] == [("limits", "series")] * 2
    assert all("raise limits.series of the process" in item.remedy for item in series)


def test_a_model_that_still_learns_keeps_its_share(tmp_path: Path) -> None:
    path = write_config(tmp_path, model=f"{WINDOWS}\nlimits: {{series: 900}}")
    path.write_text(
        f"{path.read_text()}  new: {{task: binary, reference: {{learn: 24h}},"
        " limits: {series: 900}}\nlimits: {series: 1000}\n"
    )
    made = planned(path)
    [found] = project(made)
    assert found.room == 500
    learned = [item for item in projection_items(made, [found]) if item.subject == "model new"]
    assert [item.grade for item in learned] == [Grade.OK]
    assert "learns its reference for 1d of event time" in learned[0].text


def test_rows_and_watched_subjects_are_those_of_an_engine(tmp_path: Path) -> None:
    path = write_config(tmp_path, model=WINDOWS)
    engine = counted_engine(planned(path))
    found = only_projection(path)
    assert found.rows == len(engine.registry)
    assert found.subjects == len(set(engine.watches()))
    assert found.watched == found.rows * found.subjects


def test_the_memory_is_that_of_full_blocks(tmp_path: Path) -> None:
    path = write_config(tmp_path, model="windows: [1m, 8m]")
    [model] = planned(path).known
    rows, fields = 7, model.reference.layout
    # 6 steps of 10 s and 48 of 10 s; two windows' totals, those since the start, and three panes:
    # the open one and as many as 11 s of disorder reach into. All rows in groups, without extremes,
    # and that of the whole in fine bins.
    expected = sum(
        54 * block_bytes(layout, some, np.dtype(np.uint16), extremes)
        + int(1.5 * 6 * block_bytes(layout, some, np.dtype(np.int32), extremes))
        for layout, some, extremes in ((fields.grouped(), rows, False), (fields, 1, True))
    )
    unlabelled = replace(model.spec, labels=None)
    assert memory(fields, unlabelled, rows, 11_000) == expected
    assert memory(fields, model.spec, rows, 11_000) > 2 * expected


def block_bytes(fields: Layout, rows: int, dtype: "np.dtype[np.integer]", extremes: bool) -> int:
    sums = np.zeros((rows, len(fields.numeric), 2))
    counts = np.zeros((rows, fields.width), dtype)
    kept = sums if extremes else sums[:, :0]
    return Block(np.zeros(rows, np.int64), counts, sums, kept).nbytes


def test_the_memory_is_not_less_than_an_engine_takes(tmp_path: Path) -> None:
    path = write_config(tmp_path, model=WINDOWS)
    taken = counted_engine(planned(path)).nbytes
    found = only_projection(path)
    # Cohorts are kept for two days here, and have had a minute; steps of few events are packed.
    assert taken <= found.memory <= 300 * taken


def test_the_rows_at_the_caps_are_as_many_as_a_registry_lets_in(tmp_path: Path) -> None:
    slices = "[colour, {steps: [2, 4]}, [wet, {steps: [2, 4]}], [wet, colour]]"
    limits = "limits: {versions: 2, slices_per_dimension: 13}"
    profiled = (SLICES[0], SLICES[2])
    reference = made_up_reference(made_up_events(), profiled)
    path = write_config(tmp_path, slices=slices, model=limits, reference=reference)
    [model] = planned(path).known
    reserved = frozenset(key for key in reference.rows if key)
    registry = SliceRegistry(13, 2, reserved)
    texts = {
        "colour": [*(f"colour {i}" for i in range(40)), "red", "green", "blue", MISSING_VALUE],
        "wet": ["true", "false", MISSING_VALUE],
        "steps": [*Dimension("steps", (2.0, 4.0)).range_labels(), MISSING_VALUE],
    }
    for version in "abcd":
        registry.row(RowKey(version))
        for key in reserved:
            registry.row(RowKey(version, key))
        for entry in model.spec.slices:
            names = [dimension.name for dimension in entry.dimensions]
            for values in itertools.product(*(texts[name] for name in names)):
                registry.row(RowKey(version, tuple(zip(names, values, strict=True))))
    assert most_rows(model.spec, reference) == len(registry)


def test_slices_that_were_not_profiled_are_named_with_the_option_to_add(tmp_path: Path) -> None:
    slices = "[colour, region, model_version, {length: [0.1, 2]}, [colour, wet], {steps: [1, 4]}]"
    profiled = (*SLICES, SliceSpec((Dimension("steps", (2.0, 4.0)),)))
    reference = made_up_reference(made_up_events(), profiled)
    path = write_config(tmp_path, slices=slices, reference=reference)
    found = {
        item.place: item.sentence
        for item in notes(path)
        if item.place is not None and "slices" in item.place
    }
    places = [("models", "made-up", "slices", index) for index in (1, 3, 4, 5)]
    assert list(found) == places
    options = ["region", "length:0.1:2", "colour,wet", "steps:1:4"]
    for place, option in zip(places, options, strict=True):
        assert found[place].endswith(f"; profile again with --slice {option}")
    assert "it has wet,colour in its reference" in found[places[2]]
    assert "it has steps:2:4 in its reference" in found[places[3]]
    assert "it has no such slices there" in found[places[0]]


@pytest.mark.parametrize("spec", [*SLICES, SliceSpec((Dimension("x", (0.1, 123456.789, 1e6)),))])
def test_the_option_of_a_slice_is_read_back_as_the_same_slice(spec: SliceSpec) -> None:
    assert slice_option(option_text(spec)) == spec


def test_the_busiest_slices_come_first(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    [model] = planned(path).known
    reference = model.reference
    known = known_slices(model.spec.slices, reference)
    assert set(known) == {key for key in reference.rows if key}
    batch = made_up_events()
    counts = Counter(
        slice_key(batch, spec, event) for spec in SLICES for event in range(len(batch))
    )
    assert [counts[key] for key in known] == sorted(counts.values(), reverse=True)


def test_a_reference_of_another_model_is_a_note(tmp_path: Path) -> None:
    path = write_config(tmp_path, model=WINDOWS)
    path.write_text(path.read_text().replace("  made-up:", "  other:"))
    texts = [item.text for item in notes(path)]
    assert "has a reference that was made for model made-up" in texts


def test_a_reference_without_times_is_a_note(tmp_path: Path) -> None:
    reference = made_up_reference(made_up_events(), timed=False)
    path = write_config(tmp_path, reference=reference)
    assert any("reference without timestamps" in item.text for item in notes(path))


@pytest.mark.parametrize(
    ("hours", "windows", "words"),
    [
        (5, "[1h]", "has a reference of 5.0 hours: what changes with the hour of the day"),
        (30, "[1h, 7d]", "has a window of 1w, longer than its reference (30.0 hours)"),
        (72, "[1h, 7d]", "has a window of 1w, longer than its reference (3.0 days)"),
        (30, "[1h, 1d]", None),
    ],
)
def test_a_reference_shorter_than_a_day_or_window_is_a_note(
    tmp_path: Path, hours: int, windows: str, words: str | None
) -> None:
    batch = made_up_events()
    first, last = int(batch.timestamp.min()), int(batch.timestamp.max())
    stretched = START_MS + (batch.timestamp - first) * (hours * 3_600_000) // (last - first)
    reference = made_up_reference(replace(batch, timestamp=stretched))
    model = f"windows: {windows}\nmin_samples: 1\nlimits: {{series: 20000}}"
    path = write_config(tmp_path, model=model, reference=reference)
    found = [item.text for item in notes(path)]
    assert [text.startswith(words or "") for text in found] == ([] if words is None else [True])


def test_slices_with_few_events_in_the_reference_are_counted(tmp_path: Path) -> None:
    path = write_config(tmp_path, model="min_samples: 100\nlimits: {series: 20000}")
    batch = made_up_events()
    counts = Counter(
        slice_key(batch, spec, event) for spec in SLICES for event in range(len(batch))
    )
    few = sum(count < 100 for count in counts.values())
    assert 0 < few < len(counts)
    assert any(f"has {few} slices with fewer than 100 events" in i.text for i in notes(path))
