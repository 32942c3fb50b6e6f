"""State records: chunks, what is refused, what is written again, and what errors say."""

from collections.abc import Iterable

import numpy as np
import pytest

from streamgauge.core.state import Part, Plain
from streamgauge.formats import state_records
from streamgauge.formats.plain_data import NotPlainError, pack
from streamgauge.formats.state_journal import Changes, StateJournal
from streamgauge.formats.state_manifest import Position
from streamgauge.formats.state_records import (
    Generation,
    Records,
    StateError,
    decode,
    encode,
    read,
)
from streamgauge.formats.state_restore import restore

APP = "flights"
AT = {("predictions", 0): Position(41, 40), ("labels", 0): Position(7, 7)}
FIRST = Generation(1, 1)
LARGE = np.random.default_rng(1).integers(0, 2**63, 700_000)
"""5.6 MB that do not compress."""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (2**64, "state part 'k' holds an integer beyond 64 bits; keep it as text"),
        (-(2**63) - 1, "state part 'k' holds an integer beyond 64 bits"),
        ({"a": [1, (2, 3)]}, r"state part 'k'\['a'\]\[1\] holds a builtins.tuple"),
        ({"a": np.float64(1)}, r"state part 'k'\['a'\] holds a numpy.float64"),
        ({1: 2}, "state part 'k' holds the key 1, which is not text"),
        ("\ud800", "state part 'k' holds text with a lone surrogate"),
        (np.array(["x"]), "state part 'k' holds an array of <U1"),
        (np.array([None]), "state part 'k' holds an array of object"),
        (np.zeros(2, np.longdouble), "only numbers of up to 64 bits"),
        (np.zeros(2, "M8[ms]"), "only numbers of up to 64 bits"),
        (np.ma.zeros(2), "MaskedArray"),
    ],
)
def test_what_would_not_come_back_the_same_is_refused(data: Plain, problem: str) -> None:
    with pytest.raises(NotPlainError, match=problem):
        encode("k", data, FIRST)


def test_data_that_is_too_deep_is_refused() -> None:
    data: Plain = []
    for _ in range(100):
        data = [data]
    with pytest.raises(NotPlainError, match="more than 64 levels"):
        pack(data)


def test_a_large_part_is_cut_into_chunks_below_900_kb() -> None:
    records = encode("k" * 1024, {"big": LARGE}, FIRST)

    assert len(records) == 7
    assert max(len(key) + len(value) for key, value in records) < 900_000
    chunks = [read(key, value, 0) for key, value in reversed(records)]
    np.testing.assert_array_equal(decode(chunks)["big"], LARGE)


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_chunks_are_what_is_packed_cut_evenly(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_records, "CHUNK_BYTES", size)
    drawn = np.random.default_rng(1).normal(size=(5, 3))
    data: Plain = {"a": np.arange(90), "b": [drawn, b"x" * 20], "c": 1}
    chunks = [read(*record, 0) for record in encode("part", data, Generation(1, 1))]
    packed = pack(data)
    due = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert [bytes(chunk.body) for chunk in chunks] == due
    again = decode(chunks)
    assert again["a"].tolist() == data["a"].tolist()
    assert again["b"][0].tobytes() == drawn.tobytes()
    assert (again["b"][1], again["c"]) == (b"x" * 20, 1)


def test_a_key_that_is_too_long_is_refused() -> None:
    with pytest.raises(NotPlainError, match="over 1024 bytes"):
        encode("ä" * 600, None, FIRST)


def test_a_missing_chunk_is_named() -> None:
    records = encode("big", LARGE, FIRST)
    chunks = [read(key, value, 0) for key, value in records[:2] + records[3:]]
    with pytest.raises(StateError, match="part 'big': has 7 chunks, and only 0, 1, 3, 4, 5, 6"):
        decode(chunks)


def test_chunks_of_two_checkpoints_are_not_put_together() -> None:
    old, new = encode("big", LARGE, FIRST), encode("big", LARGE, Generation(1, 2))
    chunks = [read(key, value, 0) for key, value in old[:3] + new[3:]]
    with pytest.raises(StateError, match="part 'big': has chunks of 2 checkpoints"):
        decode(chunks)


def test_a_chunk_under_the_key_of_another_is_told() -> None:
    (key_0, value_0), (key_1, value_1), *_ = encode("big", LARGE, FIRST)
    for key, value in ((key_0, value_1), (key_1, value_0)):
        with pytest.raises(StateError, match="its checksum is wrong"):
            read(key, value, 5)


def test_every_bit_of_a_record_is_covered() -> None:
    [(key, value)] = encode("k", {"a": 1, "b": np.arange(3)}, FIRST)
    for at in range(8 * len(value)):
        flipped = bytearray(value)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(StateError, match="record 'p:k#0' at offset 17: is damaged"):
            read(key, bytes(flipped), 17)


def test_only_what_changed_is_written_again() -> None:
    journal = StateJournal(APP)
    first = journal.changes([part("a", 1), part("b", 1), part("c", 1)], AT)
    journal.committed()
    second = journal.changes([part("a", 1), part("b", 2), part("d", 1)], AT)

    assert keys(first) == [b"p:a#0", b"p:b#0", b"p:c#0", b"m:#0"]
    assert keys(second) == [b"p:b#0", b"p:d#0", b"p:c#0", b"m:#0"]
    assert second.tombstones == (b"p:c#0",)
    assert (first.parts, second.parts) == (3, 2)


def test_after_an_abort_the_same_changes_come_again() -> None:
    journal = StateJournal(APP)
    journal.changes([part("a", 1), part("b", 1)], AT)
    journal.committed()
    aborted = journal.changes([part("a", 2)], AT)
    again = journal.changes([part("a", 2)], AT)

    assert keys(again) == keys(aborted) == [b"p:a#0", b"p:b#0", b"m:#0"]
    assert again.generation.sequence > aborted.generation.sequence


def test_records_of_an_aborted_checkpoint_are_told_where_a_broker_shows_them() -> None:
    journal = StateJournal(APP)
    topic = after({}, journal.changes([part("a", 1), part("b", 1)], AT))
    journal.committed()
    aborted = journal.changes([part("a", 2), part("b", 1)], AT)
    seen = after(topic, aborted, without=b"m:#0")
    with pytest.raises(StateError, match="part 'a': was written after the last complete"):
        restore(seen, APP)


def test_a_checkpoint_without_changes_writes_the_manifest_alone() -> None:
    journal = StateJournal(APP)
    journal.changes([part("a", 1)], AT)
    journal.committed()
    moved = {("predictions", 0): Position(50, 40)}
    changes = journal.changes([part("a", 1)], moved)
    topic = after(after({}, StateJournal(APP).changes([part("a", 1)], AT)), changes)

    assert keys(changes) == [b"m:#0"]
    found = restore(topic, APP)
    assert found is not None
    assert found.manifest.positions == moved


def test_a_part_that_shrinks_leaves_no_chunks_behind() -> None:
    journal = StateJournal(APP)
    topic = after({}, journal.changes([Part("a", 1, lambda: LARGE)], AT))
    journal.committed()
    changes = journal.changes([part("a", 2)], AT)

    assert changes.tombstones == tuple(b"p:a#%d" % n for n in range(1, 7))
    found = restore(after(topic, changes), APP)
    assert found is not None
    assert found.kept == {"a": 2}


def test_a_new_owner_goes_on_with_a_higher_epoch_and_writes_everything_once() -> None:
    journal = StateJournal(APP)
    topic = after({}, journal.changes([part("a", 1), part("b", 1)], AT))
    found = restore(topic, APP)
    assert found is not None
    heir = StateJournal(APP, found)
    changes = heir.changes([part("a", 1), part("b", 1)], AT)

    assert (found.manifest.generation, changes.generation) == (FIRST, Generation(2, 2))
    assert keys(changes) == [b"p:a#0", b"p:b#0", b"m:#0"]


def test_an_owner_that_adopts_what_it_restored_writes_only_what_changes_after() -> None:
    topic = after({}, StateJournal(APP).changes([part("a", 1), part("b", 1)], AT))
    found = restore(topic, APP)
    assert found is not None
    heir = StateJournal(APP, found)
    heir.adopt([part("a", 7), part("b", 8), part("new", 9)])
    changes = heir.changes([part("a", 7), part("b", 9), part("new", 9)], AT)

    assert keys(changes) == [b"p:b#0", b"p:new#0", b"m:#0"]
    again = restore(after(topic, changes), APP)
    assert again is not None
    assert again.kept == {"a": 1, "b": 9, "new": 9}


def test_a_key_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="state part 'a' comes twice"):
        StateJournal(APP).changes([part("a", 1), part("a", 2)], AT)


def test_discarding_clears_the_topic_and_goes_on_with_a_higher_epoch() -> None:
    topic = after({}, StateJournal(APP).changes([part("a", 1), part("b", 1)], AT))
    broken = dict(topic) | {b"p:a#0": (0, b"damaged"), b"foreign": (9, b"x")}
    with pytest.raises(StateError):
        restore(broken, APP)
    journal = StateJournal.discarding(APP, broken)
    changes = journal.changes([part("b", 5)], AT)

    assert changes.generation.epoch == 2
    assert changes.tombstones == (b"foreign", b"p:a#0")
    found = restore(after(broken, changes), APP)
    assert found is not None
    assert found.kept == {"b": 5}


def test_the_manifest_holds_where_to_go_on() -> None:
    many = {("predictions", n): Position(2**40 + n, 2**40) for n in range(10_000)} | AT
    changes = StateJournal(APP).changes([], many)
    found = restore(after({}, changes), APP)

    assert found is not None
    assert found.manifest.positions == many
    assert changes.nbytes < 60_000


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda t: t.pop(b"m:#0"), "the manifest: is missing beside 2 other records"),
        (lambda t: t.pop(b"p:a#0"), "the whole: 1 parts are there, and the last checkpoint left 2"),
        (
            lambda t: t.update({key: (4, value) for key, value in encode("a", 1, FIRST)}),
            "the whole: parts are not those that the last checkpoint left",
        ),
        (
            lambda t: t.update({key: (4, value) for key, value in encode("c", 1, FIRST)}),
            "the whole: 3 parts are there",
        ),
        (lambda t: t.update({b"x": (4, b"")}), "record 'x' at offset 4: was not written by"),
    ],
)
def test_what_is_missing_or_foreign_is_named_with_a_remedy(spoil: object, problem: str) -> None:
    topic = dict(after({}, StateJournal(APP).changes([part("a", 9), part("b", 1)], AT)))
    assert callable(spoil)
    spoil(topic)
    with pytest.raises(StateError, match=problem) as raised:
        restore(topic, APP)
    assert "--discard-state" in str(raised.value)


def test_an_older_version_of_a_part_is_told() -> None:
    journal = StateJournal(APP)
    old = after({}, journal.changes([part("a", 1)], AT))
    journal.committed()
    new = after(old, journal.changes([part("a", 2)], AT))
    with pytest.raises(StateError, match="parts are not those"):
        restore({**new, b"p:a#0": old[b"p:a#0"]}, APP)


def test_the_state_of_another_app_is_refused() -> None:
    topic = after({}, StateJournal("other").changes([], AT))
    with pytest.raises(StateError, match="state of app 'other', not of 'flights'"):
        restore(topic, APP)


def test_an_empty_topic_holds_no_state() -> None:
    assert restore({}, APP) is None


def part(key: str, value: int) -> Part:
    """Return a part whose data is its token."""
    return Part(key, value, lambda: value)


def keys(changes: Changes) -> list[bytes]:
    return [key for key, _ in changes.messages()]


def after(topic: Records, changes: Changes, without: bytes = b"") -> Records:
    """Return a compacted topic after a checkpoint."""
    found = dict(topic)
    messages: Iterable[tuple[bytes, bytes | None]] = changes.messages()
    for number, (key, value) in enumerate(messages):
        if key == without:
            continue
        found.pop(key, None)
        if value is not None:
            found[key] = (number, value)
    return found
