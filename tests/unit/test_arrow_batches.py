"""What Arrow adds to the rules of events: limits, codes, numbers that JSON cannot say."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamgauge.core.batch import Categories, Fault, ModelSchema, Task
from streamgauge.formats.arrow_batches import DecodedRows, decode_arrow
from streamgauge.formats.arrow_cells import plain
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import DeadLetterReason
from tests.support.arrow_draws import stream
from tests.support.native_events import BINARY, T0

Columns = dict[str, Any]


def columns(n: int, **changes: Any) -> Columns:
    """Good rows of `BINARY` as Arrow columns; changes replace them."""
    fields = {
        "prediction_id": [f"p{row}" for row in range(n)],
        "timestamp": [T0] * n,
        "model": ["flight-delay"] * n,
        "features": [{"distance": 1.5, "carrier": "UA", "holiday": False}] * n,
        "prediction": ["late"] * n,
        "score": [0.5] * n,
    }
    return {name: column for name, column in (fields | changes).items() if column is not ...}


def decode(table: Any, **options: Any) -> DecodedRows:
    """What becomes of a table or of columns."""
    if isinstance(table, dict):
        table = pa.table(table)
    return decode_arrow(
        stream(table, compression=options.pop("compression", None)),
        [BINARY],
        EventTime(),
        **options,
    )


def test_a_dictionary_encoded_column_keeps_its_codes() -> None:
    codes = np.array([2, 0, 0, 3], np.int32)
    carrier = pa.DictionaryArray.from_arrays(codes, ["AA", "unused", "UA", "DL"])
    features = pa.StructArray.from_arrays([carrier], ["carrier"])
    [batch] = decode(columns(4, features=features)).batches
    assert batch.categorical[0].codes.tolist() == codes.tolist()
    assert batch.categorical[0].values == ("AA", "unused", "UA", "DL")


def test_equal_and_null_entries_of_a_dictionary_are_one_value_and_none() -> None:
    entries = pa.array(["AA", None, "AA"])
    carrier = pa.DictionaryArray.from_arrays(np.array([2, 0, 1, 2], np.int8), entries)
    features = pa.StructArray.from_arrays([carrier], ["carrier"])
    [batch] = decode(columns(4, features=features)).batches
    assert batch.categorical[0].codes.tolist() == [0, 0, -1, 0]
    assert batch.categorical[0].values == ("AA",)


def test_record_batches_with_dictionaries_of_their_own_are_one_batch() -> None:
    first = pa.table(columns(2, prediction=pa.array(["a", "b"]).dictionary_encode()))
    second = pa.table(columns(2, prediction=pa.array(["b", "c"]).dictionary_encode()))
    decoded = decode(pa.concat_tables([first, second]))
    [batch] = decoded.batches
    assert isinstance(batch.prediction, Categories)
    texts = [batch.prediction.values[code] for code in batch.prediction.codes]
    assert texts == ["a", "b", "b", "c"]


def test_nan_and_infinity_are_faults_of_a_feature_and_null_is_missing() -> None:
    distance = pa.array([1.0, None, float("nan"), float("inf")])
    features = pa.StructArray.from_arrays([distance], ["distance"])
    bad_id = ["", "p1", "p2", "p3"]
    [batch] = decode(columns(4, features=features, prediction_id=bad_id)).batches
    assert np.isnan(batch.numeric[0]).all()
    # The first row is refused, so those behind it move up.
    assert batch.faults.row.tolist() == [1, 2]
    assert batch.faults.fault.tolist() == [Fault.NAN, Fault.NAN]
    assert batch.faults.feature.tolist() == [0, 0]


@pytest.mark.parametrize("field", ["score", "latency_ms"])
def test_numbers_that_json_cannot_say_are_refused(field: str) -> None:
    values = [0.5, float("nan"), float("inf"), -float("inf")]
    decoded = decode(columns(4, **{field: values}))
    assert decoded.accepted == 1
    assert {(r.index, r.reason, r.field) for r in decoded.rejected} == {
        (row, DeadLetterReason.SCHEMA, field) for row in (1, 2, 3)
    }


def test_a_row_is_refused_for_its_first_problem_alone() -> None:
    decoded = decode(columns(1, prediction_id=[None], timestamp=[0], score=[7.0]))
    [rejected] = decoded.rejected
    assert (rejected.reason, rejected.field) == (DeadLetterReason.SCHEMA, "prediction_id")


def test_without_a_column_for_the_model_all_rows_are_refused() -> None:
    decoded = decode(columns(3, model=...))
    assert [(r.index, r.field) for r in decoded.rejected] == [
        (0, "model"),
        (1, "model"),
        (2, "model"),
    ]


def test_two_columns_of_one_name_are_refused() -> None:
    names = [*columns(1), "score"]
    arrays = [pa.array(column) for column in columns(1).values()]
    table = pa.Table.from_arrays([*arrays, pa.array([0.1])], names)
    refused = decode(table).refused
    assert refused is not None
    assert refused.reason is DeadLetterReason.SCHEMA


def test_a_feature_in_the_struct_and_in_a_column_is_refused_and_named() -> None:
    decoded = decode(columns(1) | {"features.distance": [1.0], "features.dep_delay": [2.0]})
    assert [rejected.field for rejected in decoded.rejected] == ["features.distance"]


def test_flat_columns_add_to_a_struct() -> None:
    [batch] = decode(columns(2) | {"features.dep_delay": [2.0, 3.0]}).batches
    assert batch.numeric.tolist() == [[1.5, 1.5], [2.0, 3.0]]


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_message_that_would_decompress_to_too_much_is_refused_before_it_is(codec: str) -> None:
    bomb = pa.array(["\x01" * (8 << 20)])
    table = pa.table(columns(1) | {"trace": bomb})
    value = stream(table, compression=codec)
    assert len(value) < 200_000
    before = pa.total_allocated_bytes()
    decoded = decode_arrow(value, [BINARY], EventTime(), max_bytes=4 << 20)
    assert decoded.refused is not None
    assert "4,194,304 bytes" in decoded.refused.detail
    assert pa.total_allocated_bytes() == before
    assert decode_arrow(value, [BINARY], EventTime(), max_bytes=16 << 20).accepted == 1


def test_a_compressed_dictionary_counts_as_well() -> None:
    bomb = pa.array(["\x01" * (8 << 20)]).dictionary_encode()
    decoded = decode(columns(1, prediction=bomb), compression="zstd", max_bytes=4 << 20)
    assert decoded.refused is not None


@pytest.mark.parametrize(("rows", "limit"), [(1_000_000, "100,000 rows"), (1 << 27, "entries")])
def test_a_message_of_too_many_rows_is_refused_though_nulls_take_no_bytes(
    rows: int, limit: str
) -> None:
    decoded = decode_arrow(stream(pa.table({"model": pa.nulls(rows)}), rows), [BINARY], EventTime())
    assert decoded.refused is not None
    assert limit in decoded.refused.detail


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.list_view(pa.int8()), pa.run_end_encoded(pa.int16(), pa.int8())]
)
def test_types_that_are_larger_than_their_bytes_are_refused(kind: Any) -> None:
    table = pa.table({"trace": pa.array([], kind)})
    decoded = decode(table)
    assert decoded.refused is not None
    assert decoded.refused.reason is DeadLetterReason.SCHEMA


def test_text_that_is_no_utf8_refuses_the_message() -> None:
    broken = pa.array([b"\xff"]).view(pa.string())
    assert decode(columns(1, prediction=broken)).refused is not None


def test_without_pyarrow_a_message_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = stream(pa.table(columns(1)))
    for name in [name for name in sys.modules if name.startswith("streamgauge.formats.arrow_")]:
        if name != "streamgauge.formats.arrow_batches":
            monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoPyarrow(), *sys.meta_path])
    decoded = decode_arrow(value, [BINARY], EventTime())
    assert decoded.refused is not None
    assert "streamgauge[arrow]" in decoded.refused.detail


class _NoPyarrow:
    """A finder that finds no pyarrow, as on a machine without it."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_probabilities_at_the_edge_of_the_tolerance_are_summed_exactly() -> None:
    schema = ModelSchema(model="flight-delay", task=Task.MULTICLASS)
    rows: list[dict[str, float]] = [
        {"a": 0.2, "b": 0.3, "c": 0.501},
        {"a": 0.2, "b": 0.3, "c": 0.5011},
    ]
    table = pa.table(columns(2, score=rows, prediction=["c", "c"]))
    decoded = decode_arrow(stream(table), [schema], EventTime())
    [batch] = decoded.batches
    assert batch.score.tolist() == [0.501]
    assert [rejected.index for rejected in decoded.rejected] == [1]


@pytest.mark.parametrize(
    "kind",
    [
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
    ],
)
@pytest.mark.parametrize("values", [[], [3], [1, 2, 100, 0, 7], [None, 2, None, 5], [None]])
@pytest.mark.parametrize("skipped", [0, 1, 3])
def test_columns_become_the_arrays_that_arrow_makes_of_them(
    kind: str, values: list[int | None], skipped: int
) -> None:
    array = pa.array(values, getattr(pa, kind)())[skipped:]
    for column in (array, array.is_valid()):
        expected = column.to_numpy(zero_copy_only=False)
        found = plain(column)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


_DECODING = """
import sys
from pathlib import Path
from streamgauge.formats.arrow_batches import decode_arrow
from streamgauge.formats.event_time import EventTime
from tests.support.native_events import BINARY
before = "pandas" in sys.modules
found = decode_arrow(Path(sys.argv[1]).read_bytes(), [BINARY], EventTime(), identified=())
print(before, found.accepted, "pandas" in sys.modules)
"""


def test_decoding_does_not_import_pandas(tmp_path: Path) -> None:
    """It takes seconds, in which a monitor with its first batch would stand still."""
    message = tmp_path / "message"
    coded = pa.array(["late", "late", "on time"]).dictionary_encode()
    message.write_bytes(stream(pa.table(columns(3, prediction=coded))))
    done = subprocess.run(
        [sys.executable, "-c", _DECODING, str(message)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "3", "False"]
