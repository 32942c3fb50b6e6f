"""The dictionaries of the compiled reader: what lasts from poll to poll, and what does not."""

from collections.abc import Sequence
from typing import Any

import pytest

from streamgauge.core.batch import Categories, EventBatch, ModelSchema, Task
from streamgauge.formats import plain_tokens
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.native import NativeDecoder
from streamgauge.formats.plain_events import library
from streamgauge.formats.plain_tokens import MOST_BYTES, MOST_TOKENS
from tests.support.label_events import label
from tests.support.native_events import BINARY, event, messages, with_features

pytestmark = pytest.mark.skipif(library() is None, reason="needs a C compiler")

SPECIES = ModelSchema("species", Task.MULTICLASS, tags=("region",), classes=("a", "b"))


def _batch(decoder: NativeDecoder, events: Sequence[dict[str, Any]]) -> EventBatch:
    (batch,) = decoder.decode(messages(events)).batches
    return batch


def _regions(decoder: NativeDecoder, regions: Sequence[Any]) -> Categories:
    return _batch(decoder, [event(tags={"region": region}) for region in regions]).tags[0]


def _read(column: Categories) -> list[str | None]:
    return [column.values[code] if code >= 0 else None for code in column.codes.tolist()]


def test_a_poll_without_new_values_has_the_very_dictionary_of_the_one_before() -> None:
    decoder = NativeDecoder([BINARY])
    first = _regions(decoder, ["eu", "a longer one", 1, "1", None])
    second = _regions(decoder, [1, "a longer one"])
    assert second.values is first.values
    assert _read(second) == ["1", "a longer one"]
    third = _regions(decoder, ["us", "eu"])
    assert third.values == ("eu", "a longer one", "1", "us")
    assert _read(third) == ["us", "eu"]
    assert first.values == ("eu", "a longer one", "1")
    assert _read(first) == ["eu", "a longer one", "1", "1", None]


def test_tokens_with_the_same_beginning_or_length_are_told_apart() -> None:
    decoder = NativeDecoder([BINARY])
    names = ["abcdef", "abcdefg", "abcdefgh", "abcdefghijklmn", "abcdefghijklmm", "", "\0a"[1:]]
    names += [f"{'x' * n}{end}" for n in range(20) for end in "yz"]
    for some in (names[::2], names, names[::-1]):
        assert _read(_regions(decoder, some)) == some


def test_a_poll_may_bring_more_values_than_there_is_room_for() -> None:
    decoder = NativeDecoder([BINARY])
    few = _regions(decoder, ["r1", "r0"])
    many = [f"r{i}" for i in range(3_000)]
    assert _read(_regions(decoder, many)) == many
    again = _regions(decoder, many[::-1])
    assert _read(again) == many[::-1]
    assert again.values[:2] == few.values
    assert _regions(decoder, ["r7"]).values is again.values


def test_the_dictionary_of_ids_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_tokens, "MOST_TOKENS", 256)
    decoder = NativeDecoder([BINARY])
    first = [f"u{i}" for i in range(600)]
    assert len(_regions(decoder, first).values) == 600
    assert _regions(decoder, ["u7", "u8"]).values == ("u7", "u8")
    assert _read(_regions(decoder, first)) == first


def test_small_polls_of_ids_do_not_keep_thousands_of_them() -> None:
    decoder = NativeDecoder([BINARY])
    for poll in range(200):
        found = _regions(decoder, [f"u{poll}-{i}" for i in range(10)])
        assert len(found.values) <= 100
    assert MOST_TOKENS > 200 * 10


def test_long_texts_are_not_kept_for_long() -> None:
    decoder = NativeDecoder([BINARY])
    long = [f"{i}{'x' * (MOST_BYTES // 3)}" for i in range(4)]
    found = _regions(decoder, [*long[:2], *50 * ["eu"]])
    again = _regions(decoder, ["us", "eu"])
    assert again.values == (*found.values, "us")
    assert _read(_regions(decoder, [*long[2:], "eu"])) == [*long[2:], "eu"]
    assert _regions(decoder, ["eu"]).values == ("eu",)


def test_nothing_stays_of_a_refused_event() -> None:
    decoder = NativeDecoder([BINARY])
    bad = event(tags={"region": "never", "desk": "never"}, latency_ms=-1)
    good = event(tags={"region": "eu", "desk": "a"})
    for _ in range(3):
        batch = _batch(decoder, [bad, good, bad])
        assert [column.values for column in batch.tags] == [("eu",), ("a",)]
    batch = _batch(decoder, [event(tags={"region": "us"}), good])
    assert [column.values for column in batch.tags] == [("eu", "us"), ("a",)]


def test_nothing_stays_of_an_event_that_is_refused_after_reading() -> None:
    def sent(region: str, b: float) -> dict[str, Any]:
        score = {"a": 0.5, "b": b}
        return event(
            model="species", features={}, prediction="a", score=score, tags={"region": region}
        )

    decoder = NativeDecoder([SPECIES])
    first = _batch(decoder, [sent("eu", 0.5)]).tags[0]
    second = _batch(decoder, [sent("never", 0.1), sent("us", 0.5), sent("nor this", 0.2)]).tags[0]
    assert _read(second) == ["us"]
    third = _batch(decoder, [sent("eu", 0.5), sent("us", 0.5), sent("never", 0.1)]).tags[0]
    assert first.values == ("eu",)
    assert third.values == ("eu", "us")
    assert _read(third) == ["eu", "us"]


def test_columns_that_lack_everything_or_hold_a_wrong_type_work_with_a_dictionary() -> None:
    decoder = NativeDecoder([BINARY])
    _batch(decoder, [with_features(carrier="UA")])
    batch = _batch(decoder, [with_features(carrier=7), with_features(carrier=...)])
    assert batch.categorical[0].values == ("UA",)
    assert batch.categorical[0].codes.tolist() == [-2, -1]


def test_a_missing_version_is_a_text_of_its_poll_alone() -> None:
    decoder = NativeDecoder([BINARY])
    versions: list[list[Any]] = [["3"], ["4", None, 3], ["4"], [None], ["", None, 4]]
    found = [_batch(decoder, [event(model_version=v) for v in some]).version for some in versions]
    assert [_read(column) for column in found] == [
        ["3"],
        ["4", "", "3"],
        ["4"],
        [""],
        ["", "", "4"],
    ]
    assert found[2].values == ("3", "4")


def test_labels_have_their_own_versions_poll_after_poll() -> None:
    decoder = LabelDecoder([BINARY])
    polls: list[list[Any]] = [[1, 2], [2**63 - 1, "2", 1], [-1, 2, None], ["3", 3]]
    expected = [[1, 2], [2**63 - 1, 1], [2, 0], [3]]
    for versions, mine in zip(polls, expected, strict=True):
        sent = [label(label=f"c{v}", label_version=v) for v in versions]
        (batch,) = decoder.decode(messages(sent)).batches
        assert batch.version.tolist() == mine
        assert isinstance(batch.label, Categories)
        assert "c-1" not in batch.label.values
