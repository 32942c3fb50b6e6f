"""Rows in Arrow become what the same rows become in JSON, and no bytes raise anything."""

from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.formats.arrow_batches import DecodedRows, decode_arrow, refused_rows
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import Decoded, RawMessages
from streamgauge.formats.native import NativeDecoder
from tests.support.arrow_draws import SCHEMAS, as_json, stream, tables
from tests.support.native_events import T0, Outcome, outcomes

CLOCK = T0 + 1000


def _as_decoded(decoded: DecodedRows) -> Decoded:
    return Decoded(
        batches=decoded.batches,
        rows=decoded.rows_of,
        ids=decoded.ids,
        rejected=decoded.rejected,
        tombstones=0,
        unknown_models=decoded.unknown_models,
        unknown_fields=decoded.unknown_fields,
    )


def _without_partition(found: list[Outcome]) -> list[Any]:
    return [
        {name: getattr(each, name) for name in each.__dataclass_fields__ if name != "partition"}
        if each is not None
        else None
        for each in found
    ]


@settings(deadline=None, max_examples=150)
@given(tables(), st.integers(1, 9), st.sampled_from([None, "lz4", "zstd"]))
def test_rows_become_what_the_same_json_events_become(
    table: Any, rows: int, compression: str | None
) -> None:
    poll = as_json(table, CLOCK)
    expected = NativeDecoder(SCHEMAS).decode(poll)
    value = stream(table, rows, compression)
    decoded = decode_arrow(value, SCHEMAS, EventTime(), partition=4, broker_timestamp=CLOCK)
    assert decoded.refused is None
    assert decoded.rows == table.num_rows
    n = len(poll)
    found = _without_partition(outcomes(_as_decoded(decoded), n))
    assert found == _without_partition(outcomes(expected, n))
    assert decoded.unknown_fields == expected.unknown_fields
    assert decoded.unknown_models == expected.unknown_models
    for batch, other in zip(decoded.batches, expected.batches, strict=True):
        assert set(batch.partition.tolist()) == {4}
        assert batch.timestamp.dtype == other.timestamp.dtype
        assert batch.numeric.dtype == other.numeric.dtype
        for mine, theirs in zip(
            batch.categorical + batch.tags, other.categorical + other.tags, strict=True
        ):
            assert mine.codes.dtype == theirs.codes.dtype == np.int32
            assert len(set(mine.values)) == len(mine.values)


@settings(deadline=None, max_examples=100)
@given(tables(), st.integers(0, 2**32))
def test_rows_that_are_written_out_in_json_become_what_they_became(table: Any, seed: int) -> None:
    value = stream(table)
    decoded = decode_arrow(value, SCHEMAS, EventTime(), broker_timestamp=CLOCK)
    expected = _without_partition(outcomes(_as_decoded(decoded), table.num_rows))
    rows = Random(seed).sample(range(table.num_rows), table.num_rows)
    written = refused_rows(value, rows)
    assert written is not None
    poll = RawMessages(
        [row.value for row in written],
        [row.key or b"p1" for row in written],
        np.zeros(len(rows), np.int32),
        np.arange(len(rows), dtype=np.int64),
        np.full(len(rows), CLOCK),
    )
    found = _without_partition(outcomes(NativeDecoder(SCHEMAS).decode(poll), len(rows)))
    assert found == [expected[row] for row in rows]


@settings(deadline=None, max_examples=60)
@given(tables(), st.sampled_from([None, "lz4", "zstd"]), st.integers(0, 2**32))
def test_broken_bytes_are_refused_or_read_but_raise_nothing(
    table: Any, compression: str | None, seed: int
) -> None:
    rng = Random(seed)
    value = stream(table, 3, compression)
    for _ in range(8):
        data = bytearray(value)
        for _ in range(rng.choice([1, 1, 2, 5])):
            place = rng.randrange(len(data))
            data[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        cut = rng.choice([len(data), len(data), rng.randrange(len(data))])
        decoded = decode_arrow(bytes(data[:cut]), SCHEMAS, EventTime(), broker_timestamp=CLOCK)
        if decoded.refused is None:
            others = len(decoded.rejected) + decoded.unknown_models
            assert decoded.accepted + others == decoded.rows
        else:
            assert decoded.rows == decoded.accepted == 0


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_raise_nothing(value: bytes) -> None:
    decoded = decode_arrow(value, SCHEMAS, EventTime())
    assert decoded.refused is not None or decoded.rows == 0


def test_a_table_without_rows_has_no_events() -> None:
    table = pa.table({"model": pa.array([], pa.string()), "x": pa.array([], pa.int8())})
    decoded = decode_arrow(stream(table), SCHEMAS, EventTime())
    assert (decoded.rows, decoded.batches, decoded.refused) == (0, (), None)
