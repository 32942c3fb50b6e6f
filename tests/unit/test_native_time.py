"""Event times: units, RFC 3339, and which of them can be true."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.formats.event_time import (
    EARLIEST_MS,
    LATEST_MS,
    EventTime,
    TimestampUnit,
    parse_rfc3339,
)
from streamgauge.formats.messages import DeadLetterReason
from streamgauge.formats.native import NativeDecoder
from tests.support.native_events import BINARY, T0, event, messages

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS: dict[TimestampUnit, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def _decode(value: object, unit: TimestampUnit = "ms", broker: int = T0 + 1000) -> int | str:
    """The event time in milliseconds, or the reason of the dead letter."""
    decoder = NativeDecoder([BINARY], EventTime(unit=unit))
    decoded = decoder.decode(messages([event(timestamp=value)], broker_timestamp=broker))
    if decoded.rejected:
        assert decoded.rejected[0].field == "timestamp"
        return decoded.rejected[0].reason.value
    return int(decoded.batches[0].timestamp[0])


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.integers(-1439, 1439),
    st.sampled_from("Tt"),
)
def test_rfc3339_agrees_with_the_standard_library(
    moment: datetime, offset_minutes: int, separator: str
) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    expected = (moment - EPOCH - timedelta(minutes=offset_minutes)) // timedelta(milliseconds=1)
    assert parse_rfc3339(zoned.isoformat(sep=separator)) == expected


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2025-11-24T16:00:00Z", 0),
        ("2025-11-24t16:00:00z", 0),
        ("2025-11-24T16:00:00-00:00", 0),
        ("2025-11-24T21:30:00+05:30", 0),
        ("2025-11-23T16:01:00-23:59", 0),
        ("2025-11-24T16:00:00.1Z", 100),
        ("2025-11-24T16:00:00.1239999999999Z", 123),
        ("2025-11-24T16:00:60Z", 59_999),
        ("2025-11-24T16:00:60.5Z", 59_999),
    ],
)
def test_an_rfc3339_string_with_an_offset_is_a_time(text: str, after: int) -> None:
    assert _decode(text) == T0 + after


@pytest.mark.parametrize(
    "text",
    [
        *("2025-11-24T16:00:00", "2025-11-24", "16:00:00Z", "", "now", "1764000000000"),
        *("2025-11-24T16:00:00+25:00", "2025-11-24T16:00:00+01:60", "2025-11-24T16:00:00+0100"),
        *("2025-11-24T16:00:00+01", "2025-11-24T24:00:00Z", "2025-11-24T16:60:00Z"),
        *("2025-11-24T16:00:61Z", "2025-11-24T16:00Z", "2025-11-24T16:00:00.Z"),
        *("2025-02-29T16:00:00Z", "2025-13-01T16:00:00Z", "0000-01-01T00:00:00Z"),
        *("2025-11-24 16:00:00Z", " 2025-11-24T16:00:00Z", "2025-11-24T16:00:00Z\n"),
        *("Mon, 24 Nov 2025 16:00:00 +0000", "2025-W48-1T16:00:00Z", "20251124T160000Z"),
        *("٢٠٢٥-11-24T16:00:00Z", "+2025-11-24T16:00:00Z", "9999-12-31T23:59:59Z"),
        *("1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999Z", "2025-11-24T16:00:00Z\0"),
    ],
)
def test_any_other_string_is_refused_for_its_time(text: str) -> None:
    assert _decode(text) == DeadLetterReason.TIMESTAMP


@pytest.mark.parametrize("unit", SECONDS)
def test_integers_are_read_in_the_configured_unit(unit: TimestampUnit) -> None:
    assert _decode(round(T0 / 1000 / SECONDS[unit]), unit) == T0


@pytest.mark.parametrize("unit", SECONDS)
@pytest.mark.parametrize("other", SECONDS)
def test_a_time_in_another_unit_than_configured_is_refused(
    unit: TimestampUnit, other: TimestampUnit
) -> None:
    outcome = _decode(round(T0 / 1000 / SECONDS[other]), unit)
    assert outcome == (T0 if unit == other else DeadLetterReason.TIMESTAMP)


@pytest.mark.parametrize("unit", SECONDS)
@pytest.mark.parametrize("value", [0, -1, -T0, 2**63 - 1, -(2**63)])
def test_the_epoch_negative_and_extreme_integers_are_refused(
    unit: TimestampUnit, value: int
) -> None:
    assert _decode(value, unit) == DeadLetterReason.TIMESTAMP


@pytest.mark.parametrize(
    ("after_broker", "accepted"), [(-(10**9), True), (300_000, True), (300_001, False)]
)
def test_an_event_may_be_five_minutes_ahead_of_the_broker(
    after_broker: int, accepted: bool
) -> None:
    value = T0 + after_broker
    assert _decode(value, broker=T0) == (value if accepted else DeadLetterReason.TIMESTAMP)


@pytest.mark.parametrize("broker", [-1, 2**63 - 1])
def test_without_a_sound_broker_time_the_year_2100_is_the_bound(broker: int) -> None:
    assert _decode(LATEST_MS, broker=broker) == LATEST_MS
    assert _decode(LATEST_MS + 1, broker=broker) == DeadLetterReason.TIMESTAMP
    assert _decode(EARLIEST_MS, broker=broker) == EARLIEST_MS
    assert _decode(EARLIEST_MS - 1, broker=broker) == DeadLetterReason.TIMESTAMP


def test_each_message_is_held_to_its_own_broker_time() -> None:
    poll = messages([event(timestamp=T0)] * 3, broker_timestamp=[T0 - 400_000, T0 - 200_000, -1])
    decoded = NativeDecoder([BINARY]).decode(poll)
    assert [each.index for each in decoded.rejected] == [0]


def test_the_allowance_is_configurable() -> None:
    decoder = NativeDecoder([BINARY], EventTime(max_future_ms=10))
    poll = messages([event(timestamp=T0 + 10), event(timestamp=T0 + 11)], broker_timestamp=T0)
    assert [each.index for each in decoder.decode(poll).rejected] == [1]


def test_strings_and_integers_may_be_mixed() -> None:
    poll = messages([event(timestamp=T0), event(timestamp="2025-11-24T16:00:00.5Z")])
    (batch,) = NativeDecoder([BINARY]).decode(poll).batches
    assert batch.timestamp.tolist() == [T0, T0 + 500]


@given(
    st.sampled_from(list(SECONDS)),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.sampled_from([-1, 0, T0, 2**62]),
)
def test_columns_and_single_times_are_judged_alike(
    unit: TimestampUnit, values: list[int], broker: int
) -> None:
    times = EventTime(unit=unit)
    column = times.milliseconds_many(values)
    possible = times.possible_many(column, np.full(len(values), broker))
    for value, milliseconds, verdict in zip(values, column.tolist(), possible, strict=True):
        single = times.milliseconds(value)
        assert single is not None
        assert times.possible(single, broker) == verdict
        assert not verdict or single == milliseconds
