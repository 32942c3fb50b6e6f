"""Rows for versions and slices, and the caps past which events share a row."""

import pytest

from streamgauge.core.slices import (
    OVERFLOW_VALUE,
    Dimension,
    RowKey,
    SliceRegistry,
    SliceSpec,
)


def carrier(value: str, version: str = "1") -> RowKey:
    return RowKey(version, (("carrier", value),))


def test_a_key_keeps_its_row_and_rows_are_numbered_as_they_come() -> None:
    registry = SliceRegistry()
    keys = [RowKey("1"), carrier("UA"), carrier("AA"), RowKey("2"), carrier("UA", "2")]
    assert [registry.row(key) for key in keys] == [0, 1, 2, 3, 4]
    assert [registry.row(key) for key in reversed(keys)] == [4, 3, 2, 1, 0]
    assert registry.keys == keys
    assert len(registry) == 5


def test_a_key_without_a_row_is_not_given_one_by_looking() -> None:
    registry = SliceRegistry()
    assert registry.find(carrier("UA")) is None
    assert len(registry) == 0
    row = registry.row(carrier("UA"))
    assert registry.find(carrier("UA")) == row


def test_slices_past_the_cap_share_one_row_per_version_and_specification() -> None:
    registry = SliceRegistry(max_slices=2)
    rows = {value: registry.row(carrier(value)) for value in ("UA", "AA", "DL", "HA")}
    assert rows["DL"] == rows["HA"] == registry.find(carrier(OVERFLOW_VALUE))
    assert len({rows["UA"], rows["AA"], rows["DL"]}) == 3
    # Other versions and other dimensions have room of their own.
    assert registry.keys[registry.row(carrier("DL", "2"))] == carrier("DL", "2")
    origin = RowKey("1", (("carrier", "DL"), ("origin", "EWR")))
    assert registry.keys[registry.row(origin)] == origin


def test_a_crossed_slice_overflows_in_all_its_dimensions() -> None:
    registry = SliceRegistry(max_slices=0)
    row = registry.row(RowKey("1", (("carrier", "DL"), ("origin", "EWR"))))
    shared = (("carrier", OVERFLOW_VALUE), ("origin", OVERFLOW_VALUE))
    assert registry.keys[row] == RowKey("1", shared)


def test_slices_of_the_reference_have_a_row_however_late_they_come() -> None:
    registry = SliceRegistry(max_slices=1, reserved=frozenset({(("carrier", "UA"),)}))
    for value in ("AA", "DL", "HA"):
        registry.row(carrier(value))
    assert registry.keys[registry.row(carrier("UA"))] == carrier("UA")
    # Nor do they take the room of others.
    assert registry.keys[registry.row(carrier("AA"))] == carrier("AA")


def test_versions_past_the_cap_share_theirs() -> None:
    registry = SliceRegistry(max_versions=2)
    rows = [registry.row(RowKey(version)) for version in ("1", "2", "3", "4")]
    assert rows[2] == rows[3]
    assert registry.keys[rows[2]] == RowKey(OVERFLOW_VALUE)
    overflown = registry.keys[registry.row(carrier("UA", "9"))]
    assert overflown == carrier("UA", OVERFLOW_VALUE)
    assert registry.keys[registry.row(carrier("UA", "2"))] == carrier("UA", "2")


def test_a_slice_of_several_shared_versions_takes_room_once() -> None:
    registry = SliceRegistry(max_slices=2, max_versions=1)
    registry.row(RowKey("1"))
    for version in ("2", "3", "4", "5"):
        row = registry.row(carrier("UA", version))
        assert registry.keys[row] == carrier("UA", OVERFLOW_VALUE)
    row = registry.row(carrier("AA", "6"))
    assert registry.keys[row] == carrier("AA", OVERFLOW_VALUE)


def test_a_flood_of_values_takes_no_more_rows_than_the_caps_allow() -> None:
    registry = SliceRegistry(max_slices=10, max_versions=3)
    for i in range(2_000):
        registry.row(carrier(str(i), version=str(i % 7)))
    assert len(registry) <= (3 + 1) * (10 + 1)


@pytest.mark.parametrize(
    ("key", "label"),
    [
        (RowKey("1"), ""),
        (carrier("UA"), "carrier=UA"),
        (RowKey("1", (("carrier", "UA"), ("origin", "EWR"))), "carrier=UA,origin=EWR"),
    ],
)
def test_a_slice_is_named_by_its_pairs(key: RowKey, label: str) -> None:
    assert key.label() == label


def test_a_cut_dimension_names_its_ranges_from_end_to_end() -> None:
    assert Dimension("distance", (500.0, 1500.5)).range_labels() == (
        "[-inf, 500)",
        "[500, 1500.5)",
        "[1500.5, inf)",
    )


def test_a_specification_is_named_by_its_dimensions() -> None:
    assert SliceSpec((Dimension("carrier"), Dimension("origin"))).name == "carrier,origin"
    assert SliceSpec(()).name == ""
