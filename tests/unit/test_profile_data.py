"""Profiles against numpy and pandas over the same data, in every format."""

import hashlib
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from streamgauge.core.batch import FloatArray, IntArray, Task
from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.layout import LABEL, PREDICTION, SCORE, Subject, SubjectKind
from streamgauge.core.reference import Reference, merge_references
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.formats.profiling import Profile, ProfileRequest, Progress, profile
from streamgauge.formats.table import TableOptions
from tests.support.training import training, write

FORMATS = (
    "t.parquet",
    "t.csv",
    "t.csv.gz",
    "t.tsv",
    "t.ndjson",
    "t.jsonl.gz",
    "t.events.ndjson",
)
SLICES = (
    SliceSpec((Dimension("plan"),)),
    SliceSpec((Dimension("active"), Dimension("fee", (25.0, 35.0)))),
)


def make(path: Path, **options: object) -> Profile:
    """A profile of one file; options of the table by name."""
    return profile(
        ProfileRequest((path,), "churn", replace(TableOptions(), **options), slices=SLICES)  # type: ignore[arg-type]
    )


def cells(reference: Reference, subject: str | Subject) -> IntArray:
    """The whole's counts of one field."""
    if isinstance(subject, str):
        subject = Subject(SubjectKind.FEATURE, subject)
    position = reference.layout.position(subject)
    assert position is not None
    return reference.block.counts[0, reference.layout.cells(position)].astype(np.int64)


def numeric_bins(reference: Reference, name: str) -> NumericBins:
    position = reference.layout.position(Subject(SubjectKind.FEATURE, name))
    assert position is not None
    bins = reference.layout.fields[position].bins
    assert isinstance(bins, NumericBins)
    return bins


def text_counts(reference: Reference, subject: str | Subject) -> dict[str, int]:
    """How often each category occurs."""
    if isinstance(subject, str):
        subject = Subject(SubjectKind.FEATURE, subject)
    position = reference.layout.position(subject)
    assert position is not None
    bins = reference.layout.fields[position].bins
    assert isinstance(bins, CategoricalBins)
    return dict(zip(bins.categories, cells(reference, subject).tolist(), strict=False))


def expected_counts(values: FloatArray, edges: tuple[float, ...]) -> list[int]:
    """Counts of finite values between edges, and outside of them."""
    bounds = [-math.inf, *edges, math.inf]
    return [int(((values >= low) & (values < high)).sum()) for low, high in pairwise(bounds)]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return training()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_counts_of_the_data(
    frame: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    made = make(write(frame, tmp_path / name))
    reference = made.reference
    schema = reference.layout.schema
    assert schema.numeric == ("tenure", "fee", "visits")
    assert (schema.categorical, schema.boolean) == (("plan",), ("active",))
    assert (schema.task, reference.events) == (Task.BINARY, len(frame))
    for feature in schema.numeric:
        values = frame[feature].to_numpy(np.float64)
        bins = numeric_bins(reference, feature)
        counts = cells(reference, feature).tolist()
        assert counts[: bins.value_bins] == expected_counts(values, bins.edges)
        assert counts[bins.value_bins + Special.MISSING] == int(np.isnan(values).sum())
        assert bins.edges[0] == np.nanmin(values)
        assert bins.center == pytest.approx(np.nanmean(values), rel=1e-9)
        assert bins.scale == pytest.approx(np.nanstd(values), rel=1e-9)
    assert text_counts(reference, "plan") == frame["plan"].value_counts().to_dict()
    missing = len(reference.layout.fields[-2].bins.groups) + 1
    assert cells(reference, "plan")[missing] == frame["plan"].isna().sum()
    active = int(frame["active"].sum())
    assert text_counts(reference, "active") == {"false": len(frame) - active, "true": active}
    for column, subject in (("prediction", PREDICTION), ("label", LABEL)):
        ones = int(frame[column].sum())
        assert text_counts(reference, subject) == {"0": len(frame) - ones, "1": ones}
    score = np.histogram(frame["score"], np.linspace(0.0, 1.0, 101))[0]
    assert cells(reference, SCORE)[1:101].sum() == score.sum()
    assert reference.span == (frame["timestamp"].min(), frame["timestamp"].max())


def test_slices_are_those_of_a_group_by(frame: pd.DataFrame, tmp_path: Path) -> None:
    reference = make(write(frame, tmp_path / "t.parquet")).reference
    fee = pd.cut(frame["fee"], [-np.inf, 25, 35, np.inf], right=False)
    labels = fee.cat.rename_categories(["[-inf, 25)", "[25, 35)", "[35, inf)"]).astype(str)
    active = frame["active"].map({True: "true", False: "false"})
    plans = frame["plan"].fillna("(missing)").value_counts().to_dict()
    expected: dict[tuple[tuple[str, str], ...], int] = {
        (("plan", value),): n for value, n in plans.items()
    }
    for (a, f), n in frame.groupby([active, labels]).size().to_dict().items():
        expected[("active", a), ("fee", f)] = n
    found = {
        key: int(reference.block.counts[i, :2].sum()) for i, key in enumerate(reference.rows) if key
    }
    assert found == expected


def test_few_rows_at_a_time_give_the_same_reference(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(frame, tmp_path / "t.csv")
    whole = make(path).reference
    monkeypatch.setattr("streamgauge.formats.arrow_files.BLOCK_BYTES", 4_096)
    parts = make(path).reference
    assert parts.layout == whole.layout
    np.testing.assert_array_equal(parts.block.counts, whole.block.counts)
    np.testing.assert_array_equal(parts.hour_of_week, whole.hour_of_week)


def test_halves_in_the_wholes_bins_merge_to_the_whole(frame: pd.DataFrame, tmp_path: Path) -> None:
    whole = make(write(frame, tmp_path / "whole.parquet")).reference
    first = np.random.default_rng(3).random(len(frame)) < 0.5
    halves = [
        profile(
            ProfileRequest((write(frame[rows], tmp_path / f"{name}.csv"),), "churn", bins_of=whole)
        ).reference
        for name, rows in (("one", first), ("two", ~first))
    ]
    merged = merge_references(*halves)
    assert merged.layout == whole.layout
    assert merged.rows == whole.rows
    np.testing.assert_array_equal(merged.block.counts, whole.block.counts)
    np.testing.assert_array_equal(merged.block.extremes, whole.block.extremes)
    np.testing.assert_array_equal(merged.hour_of_week, whole.hour_of_week)
    assert merged.panes is not None
    assert whole.panes is not None
    np.testing.assert_array_equal(merged.panes.counts, whole.panes.counts)
    np.testing.assert_allclose(merged.block.sums, whole.block.sums, rtol=1e-12, atol=1e-9)


def test_given_bins_keep_the_kinds_of_their_features(frame: pd.DataFrame, tmp_path: Path) -> None:
    coded = frame.assign(plan=frame["plan"].map({"basic": "01", "family": "02", "pro": "10"}))
    path = write(coded, tmp_path / "t.csv")
    whole = make(path, categorical=frozenset({"plan"})).reference
    again = profile(ProfileRequest((path,), "x", bins_of=whole)).reference
    assert text_counts(whole, "plan").keys() == {"01", "02", "10"}
    np.testing.assert_array_equal(again.block.counts, whole.block.counts)


def test_columns_that_given_bins_lack_are_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    whole = make(write(frame, tmp_path / "t.parquet")).reference
    path = write(frame.assign(extra=1.0), tmp_path / "u.parquet")
    assert profile(ProfileRequest((path,), "x", bins_of=whole)).notes == {
        "extra": "not in the reference: not counted"
    }


def test_several_files_and_folders_count_together(frame: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    (folder / "deeper").mkdir(parents=True)
    (folder / "_hidden").mkdir()
    write(frame[:500], folder / "a.csv")
    write(frame[500:900], folder / "deeper" / "b.parquet")
    write(frame[:10], folder / "_hidden" / "c.csv")
    (folder / "README.md").write_text("no data")
    last = write(frame[900:], tmp_path / "c.ndjson")
    made = profile(ProfileRequest((folder, last), "churn", slices=SLICES)).reference
    whole = make(write(frame, tmp_path / "t.parquet")).reference
    np.testing.assert_array_equal(made.block.counts, whole.block.counts)
    assert [(source.name, source.rows) for source in made.sources] == [
        ("parts", 900),
        ("c.ndjson", len(frame) - 900),
    ]


def test_a_source_is_named_by_what_sha256sum_says(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = write(frame, tmp_path / "t.csv")
    (source,) = make(path).reference.sources
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.bytes == path.stat().st_size


def test_progress_tells_pass_rows_and_total(frame: pd.DataFrame, tmp_path: Path) -> None:
    steps: list[Progress] = []
    path = write(frame, tmp_path / "t.parquet")
    profile(ProfileRequest((path,), "churn"), steps.append)
    assert {(step.number, step.passes) for step in steps} == {(1, 2), (2, 2)}
    assert steps[-1].rows == steps[-1].total == len(frame)


def test_rows_without_a_time_are_left_out_and_counted(frame: pd.DataFrame, tmp_path: Path) -> None:
    holes = frame.astype({"timestamp": "Int64"})
    holes.loc[:49, "timestamp"] = pd.NA
    for name in ("t.parquet", "t.csv", "t.ndjson"):
        made = make(write(holes, tmp_path / name))
        assert made.reference.events == len(frame) - 50
        assert "50 rows without a timestamp left out" in made.remarks


def test_without_a_time_column_nothing_is_counted_over_time(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    path = write(frame, tmp_path / "t.csv")
    reference = make(path, ignored=frozenset({"timestamp"})).reference
    assert (reference.span, reference.panes) == (None, None)
    assert reference.events == len(frame)


def test_events_with_an_error_count_for_traffic_alone(frame: pd.DataFrame, tmp_path: Path) -> None:
    status = np.where(np.arange(len(frame)) < 100, "timeout", "ok")
    latency = np.linspace(1.0, 900.0, len(frame))
    path = write(frame.assign(status=status, latency_ms=latency), tmp_path / "t.parquet")
    reference = make(path).reference
    assert reference.block.counts[0, :2].tolist() == [len(frame) - 100, 100]
    assert cells(reference, "fee").sum() == len(frame) - 100
    assert cells(reference, Subject(SubjectKind.SERVICE, "latency")).sum() == len(frame)
    assert reference.block.extremes[0, 0].tolist() == [0.001, 0.9]


def test_kinds_can_be_forced(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = write(frame, tmp_path / "t.parquet")
    schema = make(path, categorical=frozenset({"visits"})).reference.layout.schema
    assert schema.categorical == ("visits", "plan")
    whole = make(path, categorical=frozenset({"visits"})).reference
    expected = frame["visits"].astype(str).value_counts().to_dict()
    assert text_counts(whole, "visits") == expected


def test_a_tag_slices_without_being_a_feature(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = write(frame, tmp_path / "t.parquet")
    reference = make(path, tags=frozenset({"plan"})).reference
    assert reference.layout.schema.tags == ("plan",)
    assert reference.layout.schema.categorical == ()
    assert reference.row((("plan", "pro"),)) is not None


def test_features_come_in_the_order_of_their_columns(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = write(frame[[*frame.columns[::-1]]], tmp_path / "t.csv")
    schema = make(path).reference.layout.schema
    assert schema.numeric == ("visits", "fee", "tenure")
