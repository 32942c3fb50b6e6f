"""Messages of the partials topic: what processes that count send to the one that analyses.

Every message stands by itself. Those of counts name the keys of the rows that they have, so that a
large contribution is cut into several that may be added up in any order. A message of progress is
the last of its transaction: it says how far its sender has come in each input partition with all
that came before. Each carries the checksum of its body, and the version of the format.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from streamgauge.core.blocks import Block
from streamgauge.core.contribution import Contribution
from streamgauge.core.partial import Partial
from streamgauge.core.slices import RowKey
from streamgauge.core.state import Plain
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.plain_data import DamagedError, NotPlainError, pack, unpack

VERSION: Final = 1
BODY_BYTES: Final = 800_000
"""Numbers and keys of one message at most, before they are packed: it stays below 900 kB."""

_MAGIC: Final = b"SGpt"
_COUNTS, _PROGRESS = 1, 2
_HEAD: Final = struct.Struct("<4sBB")
"""Magic, format version, kind of message; the checksum follows."""
_DIGEST_BYTES: Final = 16
_PAIR_BYTES: Final = 16
"""What a name or value of a key takes besides its text."""


class PartialsError(StreamgaugeError):
    """A message of the partials topic cannot be counted; the text says what to do about it."""


class Sent(NamedTuple):
    """What was counted of one model; `configured` tells by which configuration and reference."""

    model: str
    configured: str
    content: Contribution


class InputClock(NamedTuple):
    """How far a sender has come in one input partition.

    `largest` is the newest event time (ms) of what was read since its last message, None where
    that is nothing; `drained` says whether the partition has been read to its end.
    """

    topic: str
    partition: int
    largest: int | None
    drained: bool


class Progress(NamedTuple):
    """How far a sender has come, and what became of the messages that it read since the last.

    `configured` tells by which configuration and references of all models, `counts` are numbers by
    name, and by reason below `rejected`.
    """

    sender: str
    configured: str
    clocks: tuple[InputClock, ...]
    counts: Mapping[str, Any]


def encode_counts(sent: Sent) -> Iterator[bytes]:
    """Yield the messages of a contribution: none where it holds nothing.

    Raises NotPlainError for text that cannot be sent, a lone surrogate.
    """
    pieces, unseen = sent.content.partial.pieces, sent.content.partial.unseen
    for some in _cut(pieces, sent.content.keys):
        yield _counts_message(sent, some, unseen)
        unseen = {}
    if unseen:
        yield _counts_message(sent, (), unseen)


def encode_progress(progress: Progress) -> bytes:
    """Return the message of a sender's progress."""
    data = {
        "sender": progress.sender,
        "configured": progress.configured,
        "clocks": [[*clock] for clock in progress.clocks],
        "counts": dict(progress.counts),
    }
    return _message(_PROGRESS, data)


def decode(value: bytes | None) -> Sent | Progress:
    """Return what a message says.

    Raises PartialsError for one that is damaged, of another release or not of ours.
    """
    if value is None or len(value) < _HEAD.size + _DIGEST_BYTES or not value.startswith(_MAGIC):
        raise PartialsError("was not written by streamgauge")
    head, body = value[: _HEAD.size], value[_HEAD.size + _DIGEST_BYTES :]
    if _digest(head, body) != value[_HEAD.size : _HEAD.size + _DIGEST_BYTES]:
        raise PartialsError("is damaged: its checksum is wrong")
    _, version, kind = _HEAD.unpack(head)
    if version != VERSION:
        raise PartialsError(
            f"has format {version}, this release reads {VERSION}: run one release everywhere"
        )
    try:
        data = unpack(body)
        return _progress(data) if kind == _PROGRESS else _sent(data)
    except (DamagedError, KeyError, TypeError, ValueError, IndexError) as error:
        raise PartialsError(f"does not fit ({type(error).__name__}: {error})") from error


def _counts_message(
    sent: Sent,
    pieces: Sequence[tuple[int, Block]],
    unseen: Mapping[str, Mapping[str, int]],
) -> bytes:
    blocks = [block for _, block in pieces]
    rows = np.concatenate([block.rows for block in blocks]) if blocks else np.empty(0, np.int64)
    used = np.unique(rows)
    keys = [sent.content.keys[row] for row in used.tolist()]
    data: dict[str, Plain] = {
        "model": sent.model.encode("utf-8", "surrogatepass"),
        "configured": sent.configured,
        "last_event": sent.content.last_event,
        "keys": [[key.version, [list(pair) for pair in key.slice]] for key in keys],
        "unseen": {
            name: {"values": [*counts], "counts": [*counts.values()]}
            for name, counts in unseen.items()
        },
        "blocks": None,
    }
    if blocks:
        counts = np.concatenate([block.counts for block in blocks])
        sums = np.concatenate([block.sums for block in blocks])
        extremes = np.concatenate([block.extremes for block in blocks])
        small = Block(np.searchsorted(used, rows), counts, sums, extremes).compact()
        data["blocks"] = {
            "panes": np.array([pane for pane, _ in pieces], np.int64),
            "sizes": np.array([len(block.rows) for block in blocks], np.int64),
            **small._asdict(),
        }
    try:
        return _message(_COUNTS, data)
    except NotPlainError as error:
        raise NotPlainError(f"partial of model {sent.model!r}{error}") from None


def _cut(
    pieces: Sequence[tuple[int, Block]], keys: Sequence[RowKey]
) -> Iterator[list[tuple[int, Block]]]:
    """Yield the blocks in parts that fit in one message, cut between rows."""
    part: list[tuple[int, Block]] = []
    room = BODY_BYTES
    seen: set[int] = set()
    for pane, whole in pieces:
        block = whole.compact()
        each = block.nbytes // max(1, len(block.rows))
        start = 0
        for at, row in enumerate(block.rows.tolist()):
            needed = each + (0 if row in seen else _key_bytes(keys[row]))
            if needed > room and (part or at > start):
                if at > start:
                    part.append((pane, block.take(slice(start, at))))
                yield part
                part, room, start, seen = [], BODY_BYTES, at, set()
                needed = each + _key_bytes(keys[row])
            seen.add(row)
            room -= needed
        if start < len(block.rows):
            part.append((pane, block.take(slice(start, None))))
    if part:
        yield part


def _key_bytes(key: RowKey) -> int:
    text = key.version + "".join(name + value for name, value in key.slice)
    return len(text.encode("utf-8", "surrogatepass")) + _PAIR_BYTES * (1 + len(key.slice))


def _message(kind: int, data: Plain) -> bytes:
    head, body = _HEAD.pack(_MAGIC, VERSION, kind), pack(data)
    return b"".join((head, _digest(head, body), body))


def _digest(head: bytes, body: bytes) -> bytes:
    state = hashlib.blake2b(head, digest_size=_DIGEST_BYTES)
    state.update(body)
    return state.digest()


def _sent(data: Plain) -> Sent:
    keys = tuple(
        RowKey(version, tuple((d, v) for d, v in pairs)) for version, pairs in data["keys"]
    )
    unseen = {
        name: dict(zip(each["values"], each["counts"], strict=True))
        for name, each in data["unseen"].items()
    }
    pieces = () if data["blocks"] is None else _pieces(data["blocks"], len(keys))
    content = Contribution(keys, Partial(pieces, unseen), data["last_event"])
    return Sent(data["model"].decode("utf-8", "surrogatepass"), data["configured"], content)


def _pieces(data: Plain, keys: int) -> tuple[tuple[int, Block], ...]:
    whole = Block(*(data[name] for name in Block._fields))
    bounds = [0, *np.cumsum(data["sizes"]).tolist()]
    if {len(array) for array in whole} != {bounds[-1]} or len(data["panes"]) != len(bounds) - 1:
        raise ValueError(f"arrays of {[len(array) for array in whole]} rows, not {bounds[-1]}")
    if whole.counts.dtype.kind not in "iu" or whole.rows.dtype.kind not in "iu":
        raise ValueError(f"counts are {whole.counts.dtype}, rows {whole.rows.dtype}")
    if bounds[-1] and (whole.rows.min() < 0 or whole.rows.max() >= keys):
        raise ValueError("a row has no key")
    return tuple(
        (pane, whole.take(slice(low, high)))
        for pane, (low, high) in zip(data["panes"].tolist(), pairwise(bounds), strict=True)
    )


def _progress(data: Plain) -> Progress:
    clocks = tuple(InputClock(*clock) for clock in data["clocks"])
    return Progress(data["sender"], data["configured"], clocks, data["counts"])
