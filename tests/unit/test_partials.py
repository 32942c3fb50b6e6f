"""Messages of the partials topic: small enough, complete, and refused where they are damaged."""

import hashlib

import numpy as np
import pytest

from streamgauge.core.blocks import Block
from streamgauge.core.contribution import Contribution, admitted
from streamgauge.core.partial import Partial, merge
from streamgauge.core.slices import OVERFLOW_VALUE, RowKey, SliceRegistry
from streamgauge.formats.partials import (
    InputClock,
    PartialsError,
    Progress,
    Sent,
    decode,
    encode_counts,
    encode_progress,
)
from streamgauge.formats.plain_data import pack, unpack

RNG = np.random.default_rng(5)
PROGRESS = Progress(
    "w1",
    "terms",
    (InputClock("predictions", 3, 1_764_000_000_000, drained=False, left=7),),
    {"consumed": 5, "rejected": {"decode": 2}},
)


def block(rows: int, *, width: int = 50, numeric: int = 2) -> Block:
    """Counts of `rows` rows, too random to be packed small."""
    return Block(
        np.arange(rows, dtype=np.int64),
        RNG.integers(0, 2**31, (rows, width)),
        RNG.normal(size=(rows, numeric, 2)),
        RNG.normal(size=(rows, numeric, 2)),
    )


def sent(keys: tuple[RowKey, ...], *pieces: tuple[int, Block]) -> Sent:
    return Sent("m", "terms", Contribution(keys, Partial(pieces), 7))


def slices(count: int, text: str = "") -> tuple[RowKey, ...]:
    return tuple(RowKey("3", (("carrier", f"{text}{i}"),)) for i in range(count))


def test_a_large_partial_is_cut_into_messages_that_add_up() -> None:
    keys = slices(12_000)
    whole = sent(keys, (5, block(12_000)), (6, block(12_000)))
    values = list(encode_counts(whole))
    assert len(values) > 5
    assert max(map(len, values)) < 900_000
    registry = SliceRegistry(100_000)
    expected = admitted(whole.content, registry).partial
    found = Partial(())
    for value in values:
        message = decode(value)
        assert isinstance(message, Sent)
        found = merge(found, admitted(message.content, registry).partial)
    assert len(registry) == len(keys), "a message names no other keys than those of its rows"
    for (pane, a), (wanted, b) in zip(found.pieces, expected.pieces, strict=True):
        assert pane == wanted
        order = np.argsort(a.rows)
        for mine, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(mine[order], other)


def test_absurdly_long_texts_do_not_make_a_message_that_no_broker_takes() -> None:
    long = "x" * 950_000
    keys = (RowKey("3"), RowKey("3", (("carrier", long),)), RowKey("3", (("carrier", long + "y"),)))
    part = block(3)
    unseen = {"carrier": {f"{i}{long}": 1 for i in range(100)}}
    whole = Sent("m", "terms", Contribution(keys, Partial(((5, part),), unseen), 7))
    registry = SliceRegistry()
    seen = 0
    total = np.zeros(part.counts.shape[1], np.int64)
    for value in encode_counts(whole):
        assert len(value) < 900_000
        message = decode(value)
        assert isinstance(message, Sent)
        content = admitted(message.content, registry)
        seen += sum(sum(counts.values()) for counts in content.partial.unseen.values())
        for _, told in content.partial.pieces:
            total += told.counts.astype(np.int64).sum(axis=0)
    np.testing.assert_array_equal(total, part.counts.sum(axis=0))
    assert seen == 100
    assert registry.keys == [RowKey("3"), RowKey("3", (("carrier", OVERFLOW_VALUE),))]


def test_long_keys_make_messages_hold_fewer_rows() -> None:
    values = list(encode_counts(sent(slices(400, "x" * 9_000), (5, block(400)))))
    assert len(values) > 3
    assert max(map(len, values)) < 900_000


def test_nothing_is_sent_of_nothing() -> None:
    assert list(encode_counts(sent(()))) == []


def test_progress_comes_back() -> None:
    assert decode(encode_progress(PROGRESS)) == PROGRESS


def test_progress_of_a_release_that_did_not_tell_what_is_left_is_read() -> None:
    whole, digest_bytes = encode_progress(PROGRESS), 16
    head, data = whole[:6], unpack(whole[6 + digest_bytes :])
    del data["left"]
    body = pack(data)
    digest = hashlib.blake2b(head + body, digest_size=digest_bytes).digest()
    [clock] = PROGRESS.clocks
    earlier = PROGRESS._replace(clocks=(clock._replace(left=0),))
    assert decode(head + digest + body) == earlier


def test_a_flipped_bit_or_a_cut_is_always_found() -> None:
    [value] = encode_counts(sent(slices(3), (5, block(3))))
    for place in range(len(value)):
        flipped = bytearray(value)
        flipped[place] ^= 1 << (place % 8)
        with pytest.raises(PartialsError):
            decode(bytes(flipped))
    for end in range(0, len(value), 7):
        with pytest.raises(PartialsError):
            decode(value[:end])


@pytest.mark.parametrize("value", [None, b"", b"{}", b"SGst" + bytes(60)])
def test_messages_of_others_are_refused(value: bytes | None) -> None:
    with pytest.raises(PartialsError, match="was not written by streamgauge"):
        decode(value)


def test_keys_past_the_cap_share_a_row_and_totals_stay_right() -> None:
    registry = SliceRegistry(max_slices=4)
    registry.row(RowKey("3"))
    part = block(10)
    found = admitted(Contribution(slices(10), Partial(((5, part),)), 7), registry).partial
    [(pane, told)] = found.pieces
    assert pane == 5
    assert [registry.keys[row] for row in told.rows.tolist()].count(
        RowKey("3", (("carrier", OVERFLOW_VALUE),))
    ) == 1
    assert len(told.rows) == 5
    np.testing.assert_array_equal(told.counts.sum(axis=0), part.counts.sum(axis=0))
    np.testing.assert_allclose(told.sums.sum(axis=0), part.sums.sum(axis=0))
    assert told.extremes[..., 1].max() == part.extremes[..., 1].max()


def test_an_overflow_row_of_a_worker_takes_no_room_of_its_own() -> None:
    registry = SliceRegistry(max_slices=1)
    registry.row(RowKey("3"))
    over = RowKey("3", (("carrier", OVERFLOW_VALUE),))
    first = RowKey("3", (("carrier", "UA"),))
    partial = Partial(((5, block(2)),))
    told = admitted(Contribution((over, first), partial, 7), registry).partial.pieces[0][1]
    assert [registry.keys[row] for row in told.rows.tolist()] == [over, first]
