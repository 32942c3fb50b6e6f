"""Data that is not as it should be: what is made of it, and what is said about it."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamgauge.core.bins import CategoricalBins, NumericBins, Special
from streamgauge.core.layout import Field, Subject, SubjectKind
from streamgauge.core.profiling import MAX_DISTINCT
from streamgauge.core.reference import Reference
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.errors import DataError, StreamgaugeError, UsageError
from streamgauge.formats.arrow_column import ArrowColumn
from streamgauge.formats.data_files import DataFormat
from streamgauge.formats.profiling import Profile, ProfileRequest, profile
from streamgauge.formats.table import TableOptions
from tests.support.training import training, write


def make(path: Path, **options: object) -> Profile:
    """A profile of one file; options of the table by name."""
    table = replace(TableOptions(), **options)  # type: ignore[arg-type]
    return profile(ProfileRequest((path,), "m", table))


def csv(path: Path, column: list[str], name: str = "x") -> Path:
    """A CSV file with one column of these texts, another feature and labels of two classes."""
    rows = [f"{value},1.5,{i % 2}" for i, value in enumerate(column)]
    path.write_text("\n".join([f"{name},other,label", *rows]) + "\n")
    return path


def ndjson(path: Path, column: list[str], name: str = "x") -> Path:
    """An NDJSON file with one column of these JSON values."""
    rows = [f'{{"{name}": {value}, "label": {i % 2}}}' for i, value in enumerate(column)]
    path.write_text("\n".join(rows))
    return path


def column_of(reference: Reference, name: str = "x") -> tuple[Field, list[int]]:
    """A feature's field and its counts."""
    position = reference.layout.position(Subject(SubjectKind.FEATURE, name))
    assert position is not None
    counts = reference.block.counts[0, reference.layout.cells(position)]
    return reference.layout.fields[position], counts.tolist()


def special(made: Profile, name: str = "x") -> dict[Special, int]:
    """A feature's special bins that are not empty."""
    item, counts = column_of(made.reference, name)
    found = {
        kind: counts[item.bins.value_bins + kind]
        for kind in Special
        if kind < item.bins.width - item.bins.value_bins
    }
    return {kind: count for kind, count in found.items() if count}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgauge.formats.arrow_files.BLOCK_BYTES", 1_024)
    monkeypatch.setattr("streamgauge.formats.json_frames.FRAME_BYTES", 1_024)


@pytest.mark.usefixtures("small_blocks")
class TestTypesThatChangeLater:
    """A column's first block says one thing, a later one another."""

    def test_whole_numbers_may_become_fractions(self, tmp_path: Path) -> None:
        made = make(csv(tmp_path / "t.csv", ["1"] * 900 + ["2.5"] * 100))
        item, counts = column_of(made.reference)
        assert isinstance(item.bins, NumericBins)
        assert sum(counts) == sum(counts[: item.bins.value_bins]) == 1_000
        assert made.notes == {"other": "one value"}

    def test_a_column_may_begin_without_values(self, tmp_path: Path) -> None:
        numbers = make(csv(tmp_path / "n.csv", [""] * 900 + ["2.5", "3"] * 50))
        assert special(numbers) == {Special.MISSING: 900}
        texts = make(csv(tmp_path / "t.csv", [""] * 900 + ["a", "3"] * 50))
        item, counts = column_of(texts.reference)
        assert isinstance(item.bins, CategoricalBins)
        assert (item.bins.categories, counts[:2]) == (("3", "a"), [50, 50])
        assert "x" not in texts.notes

    def test_numbers_that_become_text_are_read_as_text_and_this_is_said(
        self, tmp_path: Path
    ) -> None:
        made = make(csv(tmp_path / "t.csv", ["1"] * 900 + ["unknown"] * 100))
        item, _ = column_of(made.reference)
        assert isinstance(item.bins, CategoricalBins)
        assert item.bins.categories == ("1", "unknown")
        assert made.notes["x"].startswith("read as text: holds 'unknown'")

    def test_text_among_forced_numbers_is_of_a_wrong_type(self, tmp_path: Path) -> None:
        values = ["1"] * 900 + ["unknown", "2.5", "", "inf"] * 25
        made = make(csv(tmp_path / "t.csv", values), numeric=frozenset({"x"}))
        assert special(made) == {
            Special.WRONG_TYPE: 25,
            Special.MISSING: 25,
            Special.POSITIVE_INFINITY: 25,
        }
        assert made.reference.block.extremes[0, -2].tolist() == [1.0, 2.5]

    def test_booleans_and_dates_that_become_text_are_text(self, tmp_path: Path) -> None:
        for first in ("true", "2024-01-31", "2024-01-31 10:00:00"):
            made = make(csv(tmp_path / "t.csv", [first] * 900 + ["maybe"] * 100))
            item, _ = column_of(made.reference)
            assert isinstance(item.bins, CategoricalBins)
            assert "maybe" in item.bins.categories

    def test_in_json_a_change_is_refused_with_its_row(self, tmp_path: Path) -> None:
        path = ndjson(tmp_path / "t.ndjson", ["1"] * 900 + ['"two"'] + ["3"] * 10)
        with pytest.raises(
            DataError,
            match=r"^t\.ndjson: column 'x' holds numbers, but text in row 901; say --numeric x or"
            r" --categorical x, .* or leave it out with --ignore x$",
        ):
            make(path)

    def test_in_json_the_others_are_of_a_wrong_type_once_it_is_said(self, tmp_path: Path) -> None:
        path = ndjson(tmp_path / "t.ndjson", ["1"] * 900 + ['"two"', "true", "null", "[1]"] * 10)
        made = make(path, numeric=frozenset({"x"}))
        assert special(made) == {Special.WRONG_TYPE: 30, Special.MISSING: 10}
        texts = make(path, categorical=frozenset({"x"}))
        item, counts = column_of(texts.reference)
        assert isinstance(item.bins, CategoricalBins)
        assert (item.bins.categories, counts[:2]) == (("1", "two"), [900, 10])
        assert special(texts) == {Special.WRONG_TYPE: 20, Special.MISSING: 10}

    def test_json_columns_may_come_late(self, tmp_path: Path) -> None:
        path = tmp_path / "t.ndjson"
        path.write_text('{"y": 1, "label": 0}\n' * 500 + '{"x": 2, "label": 1}\n' * 100)
        made = make(path)
        assert special(made) == {Special.MISSING: 500}
        assert special(made, "y") == {Special.MISSING: 100}


def test_nan_is_missing_where_pandas_wrote_it_and_a_nan_elsewhere(tmp_path: Path) -> None:
    table = pa.table({"x": [1.0, float("nan"), None, 2.0], "label": [0, 1, 0, 1]})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    made = make(path)
    assert special(made) == {Special.NAN: 1, Special.MISSING: 1}
    assert made.notes["x"] == "1 NaN: --nan-is-missing if they stand for missing values"
    assert special(make(path, nan_is_missing=True)) == {Special.MISSING: 2}
    pandas = pa.Table.from_pandas(pd.DataFrame({"label": [0, 1, 0, 1]}))
    schema = pa.schema([("x", pa.float64()), ("label", pa.int64())], pandas.schema.metadata)
    pq.write_table(table.cast(schema), path)
    assert special(make(path)) == {Special.MISSING: 2}


ARROW = {
    "small integers": (pa.array([1, 2, None], pa.int8()), "numeric", [1.0, 2.0]),
    "single precision": (pa.array([0.5, 2.0, None], pa.float32()), "numeric", [0.5, 2.0]),
    "decimals": (
        pa.array(["1.25", "2.50", None]).cast(pa.decimal128(9, 2)),
        "numeric",
        [1.25, 2.5],
    ),
    "large strings": (pa.array(["a", "b", None], pa.large_string()), "categorical", ["a", "b"]),
    "a dictionary": (pa.array(["a", "b", None]).dictionary_encode(), "categorical", ["a", "b"]),
    "a dictionary of numbers": (pa.array([7, 8, None]).dictionary_encode(), "numeric", [7.0, 8.0]),
    "booleans": (pa.array([True, False, None]), "boolean", ["false", "true"]),
}


@pytest.mark.parametrize(("array", "kind", "values"), ARROW.values(), ids=list(ARROW))
def test_arrow_types_are_read_as_what_they_are(
    tmp_path: Path, array: pa.Array, kind: str, values: list[object]
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": array, "label": [0, 1, 1]}), path)
    made = make(path)
    item, counts = column_of(made.reference)
    assert "x" in getattr(made.reference.layout.schema, kind)
    assert special(made) == {Special.MISSING: 1}
    if isinstance(item.bins, CategoricalBins):
        assert list(item.bins.categories) == values
        assert counts[: len(values)] == [1] * len(values)
    else:
        assert made.reference.block.extremes[0, -1].tolist() == values


def test_a_dictionary_with_unused_and_null_entries_gives_what_is_used() -> None:
    names = pa.array([*(f"v{i}" for i in range(500)), None])
    codes = pa.array([3, 3, 499, 500, None], pa.int32())
    array = pa.DictionaryArray.from_arrays(codes, names)
    texts = ArrowColumn(array, nan_is_missing=False).texts()
    assert [texts.values[code] if code >= 0 else None for code in texts.codes] == [
        *("v3", "v3", "v499"),
        *(None, None),
    ]


NOT_COUNTED = {
    "a date": (pa.array([0, 1], pa.date32()), "dates or times: not counted; --categorical"),
    "a time": (pa.array([0, 1], pa.timestamp("us")), "dates or times: not counted"),
    "a list": (pa.array([[1], [2]]), "list<"),
    "bytes": (pa.array([b"a", b"b"]), "binary: not counted"),
    "a struct": (pa.array([{"a": 1}, {"a": 2}]), "objects: not counted"),
    "nothing": (pa.nulls(2), "no values: not counted"),
}


@pytest.mark.parametrize(("array", "note"), NOT_COUNTED.values(), ids=list(NOT_COUNTED))
def test_what_cannot_be_counted_is_left_out_and_this_is_said(
    tmp_path: Path, array: pa.Array, note: str
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": array, "y": [1.0, 2.0], "label": [0, 1]}), path)
    made = make(path)
    assert made.reference.layout.position(Subject(SubjectKind.FEATURE, "x")) is None
    assert made.notes["x"].startswith(note)


def test_a_date_counts_as_text_if_asked_and_never_as_a_number(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": pa.array([0, 31], pa.date32()), "label": [0, 1]}), path)
    item, _ = column_of(make(path, categorical=frozenset({"x"})).reference)
    assert isinstance(item.bins, CategoricalBins)
    assert item.bins.categories == ("1970-01-01", "1970-02-01")
    with pytest.raises(DataError, match="'x' holds dates or times, which are not counted as numb"):
        make(path, numeric=frozenset({"x"}))


def test_row_numbers_that_pandas_wrote_are_no_feature(tmp_path: Path) -> None:
    frame = training(50)
    frame.to_csv(tmp_path / "t.csv")
    made = make(tmp_path / "t.csv")
    assert made.notes["(no name)"] == "row numbers: not counted"
    frame.rename_axis(None)[frame["fee"] > 0].sort_values("fee").to_parquet(tmp_path / "t.parquet")
    assert make(tmp_path / "t.parquet").reference.layout.schema.numeric == (
        "tenure",
        "fee",
        "visits",
    )


def test_columns_worth_a_second_look_are_pointed_out(tmp_path: Path) -> None:
    frame = training(500)
    frame["constant"] = 3.5
    frame["single"] = "a"
    path = write(frame, tmp_path / "t.parquet")
    notes = make(path).notes
    distinct = frame["visits"].nunique()
    assert notes == {
        "visits": f"{distinct} whole numbers: --categorical if they are codes",
        "constant": "one value",
        "single": "one value",
    }


def test_more_texts_than_can_be_counted_are_taken_for_an_id(tmp_path: Path) -> None:
    made = make(csv(tmp_path / "t.csv", [f"id-{i}" for i in range(MAX_DISTINCT + 1)]))
    item, _ = column_of(made.reference)
    assert isinstance(item.bins, CategoricalBins)
    assert made.notes["x"] == "over 100,000 values: an id? --ignore to leave out"
    assert not item.bins.complete


START = 1_764_000_000_000
TIMES = {
    "seconds": (pa.array([1_764_000_000, 1_764_000_001]), "s", 1_000),
    "milliseconds": (pa.array([1_764_000_000_000, 1_764_000_001_000]), "ms", 1_000),
    "microseconds": (pa.array([1_764_000_000_000_999, 1_764_000_001_000_000]), "us", 1_000),
    "nanoseconds": (pa.array([1_764_000_000_000_000_999, 1_764_000_001_000_000_000]), "ns", 1_000),
    "fractions": (pa.array([1_764_000_000_000.0, 1_764_000_001_000.75]), "ms", 1_000),
    "arrow": (
        pa.array([1_764_000_000_000_000, 1_764_000_001_000_000], pa.timestamp("us")),
        "ms",
        1_000,
    ),
    "arrow with zone": (
        pa.array([1_764_000_000, 1_764_000_001], pa.timestamp("s", "CET")),
        "s",
        1_000,
    ),
    "rfc 3339": (pa.array(["2025-11-24T17:00:00.000+01:00", "2025-11-24T16:00:01Z"]), "ms", 1_000),
    "no offset": (pa.array(["2025-11-24 16:00:00", "2025-11-24 16:00:01.000"]), "ms", 1_000),
}


@pytest.mark.parametrize(("array", "unit", "later"), TIMES.values(), ids=list(TIMES))
def test_times_may_be_written_in_many_ways(
    tmp_path: Path, array: pa.Array, unit: str, later: int
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"timestamp": array, "x": [1.0, 2.0], "label": [0, 1]}), path)
    assert make(path, timestamp_unit=unit).reference.span == (START, START + later)


def test_json_times_may_be_text(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    path.write_text(
        '{"timestamp": "2025-11-24T16:00:00Z", "x": 1, "label": 0}\n'
        '{"timestamp": 1764000001000, "x": 1, "label": 1}\n\n'
        '{"timestamp": "soon", "x": 1, "label": 1}\n'
    )
    made = make(path)
    assert made.reference.events == 1
    assert made.remarks[-1] == "2 rows without a timestamp left out"


def test_dates_are_times_at_midnight(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("timestamp,x,label\n2025-11-24,1,0\n2025-11-25,2,1\n")
    assert make(path).reference.span == (1_763_942_400_000, 1_764_028_800_000)


@pytest.mark.parametrize(
    ("time", "remedy"),
    [
        (1_764_000_000, "--timestamp-unit s"),
        (1_764_000_000_000_000, "--timestamp-unit us"),
        (1_764_000_000_000_000_000, "--timestamp-unit ns"),
        (12, "--ignore timestamp"),
    ],
)
def test_times_in_another_unit_are_refused_with_the_right_one(
    tmp_path: Path, time: int, remedy: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"timestamp,x,label\n1764000000000,1,0\n{time},2,1\n")
    with pytest.raises(DataError, match=rf"^t\.csv: timestamp in row 2 is before 2000.*{remedy}$"):
        make(path)


def test_infinite_numbers_count_as_such(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [1.0, np.inf, -np.inf, 2.0], "label": [0, 1, 0, 1]}), path)
    assert special(make(path)) == {Special.POSITIVE_INFINITY: 1, Special.NEGATIVE_INFINITY: 1}


def test_csv_may_be_cut_by_other_signs_and_quoted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('x;label;y\n"a\nb";0;1\n"c;d";1;2\n')
    item, _ = column_of(make(path).reference)
    assert isinstance(item.bins, CategoricalBins)
    assert item.bins.categories == ("a\nb", "c;d")


def test_csv_words_for_nothing_are_missing_values(tmp_path: Path) -> None:
    made = make(csv(tmp_path / "t.csv", ["a", "", "NA", "null", "b", "N/A"]))
    assert special(made) == {Special.MISSING: 4}


Spoil = Callable[[Path], Path]


def file(name: str, content: str | bytes) -> Spoil:
    """A file with some content."""

    def put(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put


def frame_file(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    """A file of training data with a change."""
    return lambda folder: write(change(training(50)), folder / name)


def folder_of(*files: Spoil) -> Spoil:
    """A folder of files."""

    def put(folder: Path) -> Path:
        for one in files:
            one(folder)
        return folder

    return put


WRONG: dict[str, tuple[Spoil, str]] = {
    "nothing there": (lambda folder: folder / "no.csv", r"no\.csv: there is no such file or fold"),
    "an empty folder": (lambda folder: folder, r": no data file in this folder \(\.parquet, "),
    "an unknown suffix": (file("t.xls", "x"), r"t\.xls: the name tells no format .*--format parq"),
    "an empty csv": (file("t.csv", ""), r"t\.csv: is empty; the first line must name the columns"),
    "a header alone": (file("t.csv", "x,label\n"), r"t\.csv: no rows, nothing to profile"),
    "an empty ndjson": (file("t.ndjson", "\n"), r"t\.ndjson: no rows, nothing to profile"),
    "no parquet": (file("t.parquet", "x,y\n"), r"t\.parquet: is no readable Parquet file"),
    "ragged rows": (
        file("t.csv", "x,label\n1,2\n3\n"),
        r"t\.csv: cannot be read as CSV: Expected 2",
    ),
    "latin 1": (file("t.csv", b"x,label\ncaf\xe9,1\n"), r"t\.csv: is not in UTF-8 .*iconv"),
    "a damaged gz": (
        file("t.csv.gz", gzip.compress(b"x,label\n1,0\n")[:-9]),
        r"t\.csv\.gz: cannot be read",
    ),
    "a damaged json gz": (
        file("t.ndjson.gz", gzip.compress(b'{"x":1,"label":0}\n')[:-9]),
        r"t\.ndjson\.gz: cannot be read",
    ),
    "broken json": (file("t.ndjson", '{"x":1}\n{"x":\n'), r"t\.ndjson: line 2: no valid JSON"),
    "json with nan": (file("t.ndjson", '{"x":NaN}\n'), r"t\.ndjson: line 1: no valid JSON"),
    "a json list": (file("t.ndjson", "[1]\n"), r"t\.ndjson: line 1: is no object"),
    "a column twice": (file("t.csv", "x,x,label\n1,2,3\n"), r"two columns are named 'x'; rename"),
    "no features": (file("t.csv", "prediction,label\n1,0\n0,1\n"), r"no feature columns"),
    "no outcome": (file("t.csv", "x,y\n1,0\n"), r"no column 'prediction' or 'label'.*say --task"),
    "no times": (
        file("t.csv", "timestamp,x,label\nnever,1,0\n"),
        r"no row has a timestamp that can be read; --ignore timestamp",
    ),
    "a column less": (
        folder_of(
            frame_file("a.csv", lambda f: f), frame_file("b.csv", lambda f: f.drop(columns="fee"))
        ),
        r"b\.csv: lacks the column 'fee' that .*a\.csv has",
    ),
    "a column more": (
        folder_of(frame_file("a.csv", lambda f: f), frame_file("b.csv", lambda f: f.assign(z=1))),
        r"b\.csv: has the column 'z' that .*a\.csv lacks; leave it out with --ignore z",
    ),
    "other types": (
        folder_of(
            frame_file("a.parquet", lambda f: f),
            frame_file("b.parquet", lambda f: f.assign(fee=f["fee"].astype(str))),
        ),
        r"^b\.parquet: column 'fee' holds numbers, but text in row 1; say --numeric fee or",
    ),
    "a score of another kind": (
        frame_file("t.csv", lambda f: f.assign(score=f["score"] * 20)),
        r"column 'score' reaches from .* but a score is a probability; .*--score-column",
    ),
    "two models": (
        file(
            "t.ndjson",
            '{"model":"a","features":{"x":1},"label":0}\n{"model":"b","features":{"x":1},"label":1}',
        ),
        r"t\.ndjson: holds events of several models \(a, b\); choose one with --model",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=list(WRONG))
def test_data_that_cannot_be_used_is_refused_in_a_line(
    tmp_path: Path, spoil: Spoil, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        make(spoil(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_format_can_be_said(tmp_path: Path) -> None:
    path = file("data.txt", "x,label\n1,0\n2,1\n")(tmp_path)
    request = ProfileRequest((path,), "m", format=DataFormat.CSV)
    assert profile(request).reference.events == 2


OPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "a typing error": (
        {"numeric": {"tenur"}},
        r"^--numeric: there is no column 'tenur'; did you me",
    ),
    "no such column": (
        {"ignored": {"zzz"}},
        r"^--ignore: there is no column 'zzz'; there are acti",
    ),
    "a label": ({"label": "truth"}, r"^--label-column: there is no column 'truth'"),
    "a tag": ({"tags": {"regoin"}}, r"^--tag: there is no column 'regoin'"),
    "both kinds": (
        {"numeric": {"fee"}, "categorical": {"fee"}},
        r"^--numeric and --categorical both name 'fee'",
    ),
}


@pytest.mark.parametrize("name", ["t.csv", "t.ndjson"])
@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=list(OPTIONS))
def test_options_that_name_no_column_are_refused(
    tmp_path: Path, name: str, options: dict[str, object], message: str
) -> None:
    path = write(training(50), tmp_path / name)
    sets = {k: frozenset(v) if isinstance(v, set) else v for k, v in options.items()}
    with pytest.raises(UsageError, match=message):
        make(path, **sets)


def sliced(*dimensions: Dimension) -> tuple[SliceSpec, ...]:
    return (SliceSpec(dimensions),)


SLICES: dict[str, tuple[tuple[SliceSpec, ...], str]] = {
    "a typing error": (
        sliced(Dimension("plam")),
        r"no column 'plam' to slice by; did you mean 'pl",
    ),
    "numbers uncut": (
        sliced(Dimension("fee")),
        r"fee is numeric; cut it at points, such as fee:10",
    ),
    "text cut": (sliced(Dimension("plan", (1.0,))), r"plan is text; leave out the cut points"),
    "unknown numbers": (sliced(Dimension("fe", (1.0,))), r"no column 'fe' to slice by; did you m"),
    "the version": (sliced(Dimension("model_version")), r"no column 'model_version' to slice by"),
}


@pytest.mark.parametrize(("slices", "message"), SLICES.values(), ids=list(SLICES))
def test_slices_that_cannot_be_taken_are_refused(
    tmp_path: Path, slices: tuple[SliceSpec, ...], message: str
) -> None:
    path = write(training(50), tmp_path / "t.csv")
    with pytest.raises(UsageError, match=message):
        profile(ProfileRequest((path,), "m", slices=slices))


def test_a_table_that_lacks_a_column_of_the_given_bins_is_refused(tmp_path: Path) -> None:
    whole = make(write(training(50), tmp_path / "t.csv")).reference
    path = write(training(50).drop(columns="fee"), tmp_path / "u.csv")
    with pytest.raises(DataError, match=r"the reference counts 'fee', which the table lacks"):
        profile(ProfileRequest((path,), "m", bins_of=whole))


def test_without_pyarrow_json_still_works_and_others_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "streamgauge.formats.arrow_files", None)
    made = make(write(training(50), tmp_path / "t.ndjson"))
    assert made.reference.events == 50
    with pytest.raises(DataError, match=r"needs pyarrow; install it with `pip install 'streamgau"):
        make(write(training(50), tmp_path / "t.csv"))


def test_every_refusal_ends_the_command_with_its_code() -> None:
    assert issubclass(DataError, StreamgaugeError)
    assert (DataError.exit_code, UsageError.exit_code) == (1, 2)
