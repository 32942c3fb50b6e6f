"""Reference files: what they look like, and what is said about those that cannot be used."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from streamgauge.config.zones import zone
from streamgauge.core.batch import FeatureKind, ModelSchema, NumericFaults, Task
from streamgauge.core.bins import CategoricalBins, NumericBins
from streamgauge.core.layout import FeatureSpec, build_layout
from streamgauge.core.reference import Reference, ReferenceBuilder, Source
from streamgauge.errors import ReferenceFileError
from streamgauge.formats import json_lines
from streamgauge.formats.reference_file import (
    dump_reference,
    load_reference,
    read_reference,
    reference_id,
    write_reference,
)
from tests.support import batches
from tests.support.references import assert_identical

SOURCE = Source("training.csv", "ab" * 32, 200, 12_345)


@pytest.fixture(scope="module")
def reference() -> Reference:
    builder = ReferenceBuilder(batches.layout(), batches.SLICES)
    builder.add(batches.events(np.random.default_rng(1), 200, span_ms=5 * 86_400_000))
    return builder.finish(meta={"run": "17", "note": "ä\n"}, sources=(SOURCE,))


def content(reference: Reference) -> dict[str, Any]:
    loaded = orjson.loads(dump_reference(reference))
    assert isinstance(loaded, dict)
    return loaded


def test_a_file_gives_back_the_reference(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_reference(reference, path)
    assert_identical(read_reference(path), reference)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]


def test_a_file_replaces_the_one_before_it(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old")
    write_reference(reference, path)
    assert read_reference(path).events == 200


def test_a_folder_that_is_not_there_cannot_be_written_to(
    reference: Reference, tmp_path: Path
) -> None:
    with pytest.raises(ReferenceFileError, match=r"nowhere/r\.json: cannot be written: No such"):
        write_reference(reference, tmp_path / "nowhere" / "r.json")


def test_counts_stand_under_the_names_that_people_know(reference: Reference) -> None:
    document = content(reference)
    assert list(document["features"]) == ["length", "steps", "colour", "wet"]
    assert document["features"]["wet"]["kind"] == "boolean"
    assert document["slices"]["rows"][0] == {}
    assert document["sources"][0]["name"] == "training.csv"
    row = reference.row((("colour", "red"),))
    assert row is not None
    assert document["slices"]["rows"][row] == {"colour": "red"}
    position = 7
    assert reference.layout.fields[position].subject.name == "colour"
    counts = reference.block.counts[row, reference.layout.cells(position)]
    red = document["features"]["colour"]["counts"][row]
    assert red == [int(counts[0])]


def test_no_line_holds_more_than_one_list(reference: Reference) -> None:
    lines = dump_reference(reference).decode().splitlines()
    assert max(line.count("[") for line in lines) == 1
    assert len(lines) > 100


def test_slices_without_finite_values_have_no_extremes(reference: Reference) -> None:
    builder = ReferenceBuilder(batches.layout(), ())
    batch = batches.events(np.random.default_rng(2), 30)
    batch.numeric[:] = np.nan
    builder.add(batch, timed=False)
    document = content(builder.finish())
    assert document["features"]["length"]["minimum"] == [None]
    assert "time" not in document
    assert_identical(load_reference(dump_reference(builder.finish())), builder.finish())


def test_a_regression_has_no_score_and_may_hold_the_largest_number() -> None:
    schema = ModelSchema("r", Task.REGRESSION, ("x",))
    largest = float(np.finfo(np.float64).max)
    bins = NumericBins((-largest, float("inf")), (0,), 1.0, 2.0)
    layout = build_layout(
        schema, (FeatureSpec("x", FeatureKind.NUMERIC, bins),), prediction=bins, label=bins
    )
    builder = ReferenceBuilder(layout, ())
    batch = replace(
        batches.events(np.random.default_rng(3), 20),
        schema=schema,
        numeric=np.full((1, 20), largest),
        faults=NumericFaults.none(),
        categorical=(),
        tags=(),
        prediction=np.arange(20.0),
        label=None,
    )
    builder.add(batch)
    reference = builder.finish()
    assert "score" not in content(reference)
    assert_identical(load_reference(dump_reference(reference)), reference)


def test_the_derived_figures_are_not_trusted(reference: Reference) -> None:
    document = content(reference)
    phi = reference.overdispersion(3_600_000)
    shown = list(document["derived"]["overdispersion"]["1h"].values())
    np.testing.assert_allclose(shown, phi, atol=5e-4)
    document["derived"] = {"overdispersion": "anything"}
    assert_identical(load_reference(orjson.dumps(document)), reference)


def test_the_id_names_the_content_and_nothing_else(reference: Reference) -> None:
    first = reference_id(reference)
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert reference_id(replace(reference, meta={}, sources=())) == first
    counts = reference.block.counts.copy()
    counts[0, 0] += 1
    changed = replace(reference, block=reference.block._replace(counts=counts))
    assert reference_id(changed) != first
    layout = reference.layout
    other = replace(layout.fields[7], bins=CategoricalBins(("red", "blue"), ("green", "mauve")))
    fields = (*layout.fields[:7], other, *layout.fields[8:])
    assert reference_id(replace(reference, layout=replace(layout, fields=fields))) != first


def test_a_file_of_before_there_were_zones_is_in_utc(reference: Reference) -> None:
    document = content(reference)
    assert document["time"].pop("timezone") == "UTC"
    assert_identical(load_reference(orjson.dumps(document)), reference)


def test_the_id_tells_zones_apart(reference: Reference) -> None:
    assert reference_id(replace(reference, zone=zone("Asia/Tokyo"))) != reference_id(reference)


Change = Callable[[dict[str, Any]], object]


def put(*path: str | int) -> Callable[[object], Change]:
    """A change that sets the value at a path of the document."""

    def with_value(value: object) -> Change:
        def change(document: Any) -> None:
            for key in path[:-1]:
                document = document[key]
            document[path[-1]] = value

        return change

    return with_value


def drop(*path: str) -> Change:
    """A change that takes away what stands at a path of the document."""

    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


WRONG: dict[str, tuple[Change, str]] = {
    "another format": (put("format")("other"), r"^format: is no reference file"),
    "a later version": (put("version")(2), r"^version: .*newer version .*update streamgauge"),
    "version 0": (put("version")(0), r"^version: must be a number from 1"),
    "text for a version": (put("version")("1"), r"^version: Expected int, got str; make it again"),
    "unknown task": (put("task")("ranking"), r"^task: must be one of binary, multiclass, regr"),
    "no features": (drop("features"), r"^the document: .*missing required field features"),
    "no label": (drop("label"), r"^the document: .*missing required field label"),
    "a score too few": (drop("score"), r"^score: belongs to a model of classes"),
    "no latency": (drop("service", "latency"), r"^service\.latency: is missing"),
    "a kind unknown": (
        put("features", "length", "kind")("fuzzy"),
        r"^features\.length\.kind: Invalid value 'fuzzy'",
    ),
    "text among edges": (
        put("features", "length", "edges", 3)("x"),
        r"^features\.length\.edges\[3\]: Expected float \| null, got str; make it again",
    ),
    "edges that fall": (
        put("features", "length", "edges", 3)(-1.0),
        r"^features\.length\.edges: must be at least two numbers that ascend",
    ),
    "groups past the bins": (
        put("features", "length", "groups")([0, 1_000]),
        r"^features\.length\.groups: must ascend from 0",
    ),
    "a category twice": (
        put("features", "colour", "categories")(["red", "red"]),
        r"^features\.colour\.categories: a category stands twice",
    ),
    "other latency buckets": (
        put("service", "latency", "edges")([1.0, 2.0]),
        r"^service\.latency.groups: must ascend|^service\.latency: has other bins",
    ),
    "a negative count": (
        put("prediction", "counts", 0, 0)(-1),
        r"^prediction\.counts\[0\]\[0\]: Expected int >= 0",
    ),
    "a list too few": (
        put("label", "counts")([]),
        r"^label\.counts: must be \d+ lists, one per entry of slices\.rows",
    ),
    "a list too long": (
        put("label", "counts", 0)([1] * 9),
        r"^label\.counts: a list has 9 entries, 4 at most fit",
    ),
    "too few sums": (put("score", "sum")([1.0]), r"^score\.sum: must be \d+ numbers"),
    "no whole": (put("slices", "rows", 0)({"a": "b"}), r"^slices\.rows: the first must be {}"),
    "panes in disorder": (put("time", "panes")([3, 2]), r"^time: .*panes must ascend"),
    "no such zone": (
        put("time", "timezone")("Mars/Utopia"),
        r"^time\.timezone: 'Mars/Utopia' is not the name .*tzdata.*; make it again",
    ),
    "another zone": (put("time", "timezone")("Asia/Tokyo"), r"^id: the content is not what"),
    "groups over time": (put("score", "panes")([[1]]), r"^score\.panes: must be \d+ lists"),
    "a changed count": (put("label", "missing", 0)(123), r"^id: the content is not what"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_named_with_its_place(
    reference: Reference, change: Change, message: str
) -> None:
    document = content(reference)
    change(document)
    with pytest.raises(ReferenceFileError, match=message):
        load_reference(orjson.dumps(document))


def test_an_edit_that_is_meant_is_read_without_the_id(reference: Reference) -> None:
    document = content(reference)
    document["features"]["length"]["missing"][0] += 1
    del document["id"]
    changed = load_reference(orjson.dumps(document))
    assert reference_id(changed) != reference_id(reference)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"", r"r\.json: is empty; make it again"),
        (b"{not json", r"r\.json: is no valid JSON: .*; copy it again"),
        (b"[]", r"r\.json: the document: Expected object, got array"),
        (b"\xff\xfe{", r"r\.json: is no valid JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, damaged: bytes, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(damaged)
    with pytest.raises(ReferenceFileError, match=message):
        read_reference(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_called_so(
    reference: Reference, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "r.json"
    whole = dump_reference(reference)
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ReferenceFileError, match=r"r\.json: is cut off after [0-9,]+ bytes"):
        read_reference(path)


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ReferenceFileError, match=r"no such file; make it with `streamgauge profi"):
        read_reference(tmp_path / "none.json")


def test_nested_values_are_written_line_by_line() -> None:
    value = {"a": [1, 2.5, None], "b": {"c": [], "d": [[1], []]}, "e": {}, "f": "x"}
    text = json_lines.dumps(value)
    assert orjson.loads(text) == value
    assert text.decode() == (
        '{\n  "a": [1,2.5,null],\n  "b": {\n    "c": [],\n    "d": [\n      [1],\n      []\n'
        '    ]\n  },\n  "e": {},\n  "f": "x"\n}\n'
    )
