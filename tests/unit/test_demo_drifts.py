"""The table of the strongest drifts."""

from typing import Any

from streamgauge.demo.drifts import drifts_of, strongest
from streamgauge.demo.screen import drift_colour, percent


def field(name: str, psi: float | None, moved: float | None = 0.5, **more: Any) -> dict[str, Any]:
    distances = {"psi": {"raw": 9.0, "corrected": psi}, "tvd": {"raw": 0.9, "corrected": moved}}
    return {
        "kind": "feature",
        "name": name,
        "missing": 0.1,
        "reference_missing": 0.01,
        "distances": distances,
    } | more


def view(slice_: str, *fields: dict[str, Any]) -> dict[str, Any]:
    window = {"name": "1w", "slice": slice_, "samples": 700}
    return {"window": window, "fields": list(fields)}


def test_a_row_carries_what_the_json_says() -> None:
    (row,) = drifts_of(view("carrier=UA", field("distance", 0.4, 0.25)))
    assert (row.field, row.slice, row.distance, row.moved) == ("distance", "carrier=UA", 0.4, 0.25)
    assert (row.missing, row.usually_missing, row.samples) == (0.1, 0.01, 700)


def test_the_strongest_stand_first_whatever_slice_they_are_of() -> None:
    views = [
        view("", field("distance", 0.02), field("air_temp", 0.6)),
        view("carrier=UA", field("distance", 0.9), field("air_temp", 0.7)),
    ]
    rows = strongest(views, 10)
    assert [(row.field, row.slice) for row in rows] == [
        ("distance", "carrier=UA"),
        ("air_temp", ""),
        ("distance", ""),
    ]
    assert strongest(views, 1) == rows[:1]


def test_a_slice_that_moved_like_everything_is_not_repeated() -> None:
    views = [view("", field("air_temp", 0.6)), view("origin=EWR", field("air_temp", 1.1))]
    assert [row.slice for row in strongest(views, 10)] == [""]


def test_a_field_without_a_distance_is_left_out() -> None:
    without = field("dest", None) | {"distances": {}}
    assert drifts_of(view("", field("carrier", None), without)) == []


def test_nothing_is_shown_before_the_first_window() -> None:
    assert drifts_of({"window": None, "fields": []}) == []


def test_a_distance_below_zero_is_none() -> None:
    (row,) = drifts_of(view("", field("precip", -0.003)))
    assert row.distance == 0.0


def test_a_field_without_a_name_goes_by_its_kind() -> None:
    (row,) = drifts_of(view("", field("", 0.1, kind="score")))
    assert row.field == "score"


def test_colours_grow_with_the_distance() -> None:
    assert [drift_colour(psi) for psi in (0.0, 0.09, 0.1, 0.25, 8.0)] == [
        None,
        None,
        "yellow",
        "red",
        "red",
    ]


def test_an_unknown_share_is_left_blank() -> None:
    assert percent(None) == ""
    assert percent(0.1234) == "12.3 %"
