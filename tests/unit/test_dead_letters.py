"""Dead letters: what they keep of a message, and when there are too many of them."""

import hashlib
from typing import Any

import pytest

from streamgauge.config.parts import DeadLetterPayload, StormConfig
from streamgauge.formats.messages import DeadLetterReason, Rejected
from streamgauge.runner.dead_letters import (
    LARGEST_KEY,
    LARGEST_PAYLOAD,
    PREFIX,
    DeadLetter,
    DeadLetterStormError,
    StormWatch,
    dead_letter,
)
from tests.support.kafka_fakes import FakeMessage

FULL, HASH, NONE = DeadLetterPayload.FULL, DeadLetterPayload.HASH, DeadLetterPayload.NONE
VALUE = b'{"model": "flights", "score": 2}'
REJECTED = Rejected(0, DeadLetterReason.SCHEMA, "score", "is not between 0 and 1")


def facts(letter: DeadLetter) -> dict[str, str]:
    """Our own headers, without their prefix."""
    found = {}
    for name, value in letter.headers:
        if name.startswith(PREFIX):
            assert isinstance(value, bytes)
            found[name.removeprefix(PREFIX)] = value.decode()
    return found


def sha256(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def rejections(*indices: int, reason: DeadLetterReason = REJECTED.reason) -> tuple[Rejected, ...]:
    return tuple(Rejected(i, reason, REJECTED.field, REJECTED.detail) for i in indices)


def test_headers_say_where_the_message_was_and_what_is_wrong_with_it() -> None:
    assert facts(dead_letter(FakeMessage(VALUE), REJECTED, NONE)) == {
        "topic": "predictions",
        "partition": "3",
        "offset": "41",
        "timestamp": "1764000000123",
        "stage": "decode",
        "reason": "schema",
        "field": "score",
        "detail": "is not between 0 and 1",
    }


@pytest.mark.parametrize(
    "headers",
    [
        [("trace", b"1"), ("trace", b"2"), ("empty", None), ("text", "x")],
        {"trace": b"1", "empty": None},
        [],
        None,
    ],
)
def test_the_messages_own_headers_come_first_and_are_kept_as_they_were(headers: Any) -> None:
    letter = dead_letter(FakeMessage(VALUE, raw_headers=headers), REJECTED, NONE)
    original = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
    assert letter.headers[: len(original)] == original
    assert all(name.startswith(PREFIX) for name, _ in letter.headers[len(original) :])


def test_a_letter_that_is_rejected_again_keeps_both_stories_apart_by_their_order() -> None:
    first = dead_letter(FakeMessage(VALUE), REJECTED, FULL)
    again = FakeMessage(first.value, raw_headers=first.headers, at=("replayed", 0, 7))
    second = dead_letter(again, REJECTED, FULL)
    topics = [value for name, value in second.headers if name == PREFIX + "topic"]
    assert topics == [b"predictions", b"replayed"]


@pytest.mark.parametrize("key", [b"p1", None, b"", b"\xff\x00"])
def test_the_key_is_kept_so_that_the_letter_goes_where_the_message_went(key: bytes | None) -> None:
    assert dead_letter(FakeMessage(VALUE, key), REJECTED, NONE).key == key


@pytest.mark.parametrize(
    ("payload", "kept", "hashed"), [(FULL, VALUE, False), (HASH, None, True), (NONE, None, False)]
)
def test_the_value_is_kept_hashed_or_left_out(
    payload: DeadLetterPayload, kept: bytes | None, hashed: bool
) -> None:
    letter = dead_letter(FakeMessage(VALUE), REJECTED, payload)
    assert letter.value == kept
    assert facts(letter).get("payload.sha256") == (sha256(VALUE) if hashed else None)


@pytest.mark.parametrize("payload", [FULL, HASH, NONE])
def test_a_message_without_a_value_has_none_to_keep_or_hash(payload: DeadLetterPayload) -> None:
    letter = dead_letter(FakeMessage(None), REJECTED, payload)
    assert letter.value is None
    assert not any(name.startswith("payload") for name in facts(letter))


@pytest.mark.parametrize("extra", [0, 1, 300_000])
def test_a_value_too_large_to_write_again_is_cut_and_hashed_whole(extra: int) -> None:
    value = bytes(range(256)) * (LARGEST_PAYLOAD // 256) + b"x" * extra
    letter = dead_letter(FakeMessage(value), REJECTED, FULL)
    assert letter.value == value[:LARGEST_PAYLOAD]
    found = facts(letter)
    assert found.get("payload.sha256") == (sha256(value) if extra else None)
    assert found.get("payload.bytes") == (str(len(value)) if extra else None)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_key_too_large_to_write_again_is_cut_and_hashed_whole(extra: int) -> None:
    key = b"k" * (LARGEST_KEY + extra)
    letter = dead_letter(FakeMessage(VALUE, key), REJECTED, NONE)
    assert letter.key == key[:LARGEST_KEY]
    assert facts(letter).get("key.sha256") == (sha256(key) if extra else None)


def watch(**limits: float) -> StormWatch:
    return StormWatch(StormConfig.model_validate({"min_events": 100, "consecutive": 50} | limits))


def test_a_share_below_the_ratio_goes_on_for_ever() -> None:
    storm = watch(ratio=0.5)
    for _ in range(500):
        storm.observe(10, rejections(0, 2, 4, 6, 8))


def test_a_share_above_the_ratio_stops_once_there_are_enough_events() -> None:
    storm = watch(ratio=0.5)
    for _ in range(9):
        storm.observe(10, rejections(0, 1, 2, 3, 4, 5))
    with pytest.raises(DeadLetterStormError, match=r"^60% of the last 100 events .*score"):
        storm.observe(10, rejections(0, 1, 2, 3, 4, 5))


def test_the_share_is_that_of_recent_events() -> None:
    """A long good past does not hide a storm, and an old bad one is forgotten."""
    storm = watch(ratio=0.5)
    for _ in range(1_000):
        storm.observe(10, ())
    for _ in range(5):
        storm.observe(10, rejections(*range(9)))
    for _ in range(15):
        storm.observe(10, ())
    for _ in range(5):
        storm.observe(10, rejections(*range(9)))
    storm.observe(10, rejections(0, 1, 2, 3))
    with pytest.raises(DeadLetterStormError, match="54% of the last 100 events"):
        storm.observe(10, rejections(*range(5)))


def test_one_large_poll_is_enough_to_see_a_storm() -> None:
    with pytest.raises(DeadLetterStormError, match="51% of the last 10,000 events"):
        watch(ratio=0.5, consecutive=100_000).observe(10_000, rejections(*range(5_100)))


def test_a_ratio_of_one_leaves_the_share_alone() -> None:
    storm = watch(ratio=1.0, consecutive=1_000_000)
    for _ in range(50):
        storm.observe(100, rejections(*range(100)))


def test_a_run_of_bad_events_stops_however_few_they_are() -> None:
    storm = watch(ratio=1.0)
    storm.observe(30, rejections(*range(10, 30)))
    storm.observe(20, rejections(*range(20)))
    with pytest.raises(DeadLetterStormError, match=r"^50 events in a row .*schema"):
        storm.observe(10, rejections(*range(10)))


def test_a_good_event_ends_the_run() -> None:
    storm = watch(ratio=1.0)
    for _ in range(50):
        storm.observe(40, rejections(*range(1, 40)))  # the first is good, 39 bad ones follow
        storm.observe(1, ())


def test_a_run_is_counted_from_the_last_good_event_of_a_poll() -> None:
    storm = watch(ratio=1.0)
    storm.observe(60, rejections(*[i for i in range(60) if i != 20]))
    with pytest.raises(DeadLetterStormError, match=r"^50 events in a row"):
        storm.observe(11, rejections(*range(11)))


def test_polls_without_events_change_nothing() -> None:
    storm = watch(ratio=1.0)
    storm.observe(49, rejections(*range(49)))
    storm.observe(0, ())
    with pytest.raises(DeadLetterStormError):
        storm.observe(1, rejections(0))


def test_the_order_of_the_rejections_does_not_matter() -> None:
    storm = watch(ratio=1.0)
    storm.observe(30, rejections(*reversed(range(30))))
    with pytest.raises(DeadLetterStormError):
        storm.observe(20, rejections(*reversed(range(20))))
