"""Rows in Arrow become what the same rows become in JSON, and no bytes raise anything."""

from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.formats import arrow_rows
from streamgauge.formats.arrow_batches import (
    DecodedRows,
    decode_arrow,
    decode_together,
    refused_rows,
)
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


@settings(max_examples=150)
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


@settings(max_examples=100)
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


@settings(max_examples=100)
@given(st.lists(tables(), min_size=1, max_size=3), st.integers(0, 2**32), st.booleans())
def test_messages_that_are_decoded_together_become_what_each_becomes(
    drawn: list[Any], seed: int, coded: bool
) -> None:
    rng = Random(seed)
    values: list[bytes] = []
    for _ in range(rng.randint(1, 8)):
        table = rng.choice(drawn)
        rows = rng.sample(range(table.num_rows), rng.randint(0, table.num_rows))
        table = table.take(pa.array(rows, pa.int64()))
        carrier = pa.array([rng.choice(["AA", "UA", None]) for _ in rows], pa.string())
        if coded and "features.carrier" not in table.schema.names:
            # Each message with a dictionary of its own.
            table = table.append_column("features.carrier", carrier.dictionary_encode())
        values.append(rng.choice([stream(table, 3)] * 5 + [b"broken"]))
    partition = np.array([rng.randint(0, 3) for _ in values], np.int32)
    times = np.array([rng.choice([-1, CLOCK, T0 - 10**9]) for _ in values], np.int64)
    found: list[Any] = []
    refused: list[tuple[Any, ...]] = []
    at = 0
    for decoded in decode_together(
        values, SCHEMAS, EventTime(), identified=None, partition=partition, broker_timestamp=times
    ):
        refused += [(at + x.index, x.row, x.reason, x.field) for x in decoded.located()]
        refused += [(at, None, x.reason, "") for x in [decoded.refused] if x is not None]
        found += outcomes(_as_decoded(decoded), decoded.rows)
        at += len(decoded.sizes)
    assert at == len(values)
    expected: list[Any] = []
    alone: list[tuple[Any, ...]] = []
    for i, value in enumerate(values):
        each = decode_arrow(
            value,
            SCHEMAS,
            EventTime(),
            partition=int(partition[i]),
            broker_timestamp=int(times[i]),
        )
        alone += [(i, x.index, x.reason, x.field) for x in each.rejected]
        alone += [(i, None, x.reason, "") for x in [each.refused] if x is not None]
        expected += outcomes(_as_decoded(each), each.rows)
    assert found == expected
    assert refused == alone


def test_messages_that_are_alike_are_one_batch_up_to_so_many_rows_and_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sizes(count: int) -> list[list[int]]:
        table = pa.table({"model": ["flight-delay"] * 10})
        found = decode_together(
            [stream(table)] * count,
            SCHEMAS,
            EventTime(),
            identified=None,
            partition=np.zeros(count, np.int32),
            broker_timestamp=np.full(count, -1),
        )
        return [each.sizes.tolist() for each in found]

    assert sizes(7) == [[10] * 7]
    monkeypatch.setattr(arrow_rows, "TOGETHER_ROWS", 35)
    assert sizes(7) == [[10] * 3, [10] * 3, [10]]
    monkeypatch.setattr(arrow_rows, "TOGETHER_ROWS", 5)
    assert sizes(3) == [[10]] * 3
    monkeypatch.undo()
    monkeypatch.setattr(arrow_rows, "TOGETHER_BYTES", 500)
    assert sizes(7) == [[10] * 3, [10] * 3, [10]]


@settings(max_examples=60)
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
