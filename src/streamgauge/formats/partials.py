"""Messages of the partials topic: what processes that count send to the one that analyses.

Every message stands by itself. Those of counts name the keys of the rows that they have, so that a
large contribution is cut into several that may be added up in any order. A message of progress is
the last of its transaction: it says how far its sender has come in each input partition with all
that came before. Each carries the checksum of its body, and the version of the format.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from streamgauge.core.blocks import Block
from streamgauge.core.contribution import Contribution
from streamgauge.core.joining.records import Joined, Pending
from streamgauge.core.partial import Partial, Pieces
from streamgauge.core.slices import OVERFLOW_VALUE, RowKey
from streamgauge.core.state import Plain
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.partial_cuts import LONGEST_TEXT, Events, cut, cut_unseen
from streamgauge.formats.plain_data import DamagedError, NotPlainError, pack, unpack

VERSION: Final = 1

_MAGIC: Final = b"SGpt"
_COUNTS, _PROGRESS = 1, 2
_HEAD: Final = struct.Struct("<4sBB")
"""Magic, format version, kind of message; the checksum follows."""
_DIGEST_BYTES: Final = 16


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
    that is nothing; `drained` says whether the partition has been read to its end, and `left` how
    many messages are left to read in it, as far as is known.
    """

    topic: str
    partition: int
    largest: int | None
    drained: bool
    left: int = 0


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
    whole = sent.content
    empty = whole._replace(partial=Partial(()), new=None, joined=None, grown={})
    if whole.grown:
        yield _counts_message(sent, empty._replace(grown=whole.grown).narrowed())
    for unseen in cut_unseen(whole.partial.unseen):
        yield _counts_message(sent, empty._replace(partial=Partial((), unseen)).narrowed())
    parts = (
        empty._replace(partial=Partial(whole.partial.pieces)),
        empty._replace(partial=Partial((), fine=whole.partial.fine)),
        empty._replace(new=whole.new),
        empty._replace(joined=whole.joined),
    )
    for part in parts:
        for fitting in cut(part.narrowed()):
            yield _counts_message(sent, fitting)


def encode_progress(progress: Progress) -> bytes:
    """Return the message of a sender's progress."""
    data = {
        "sender": progress.sender,
        "configured": progress.configured,
        "clocks": [[*clock[:-1]] for clock in progress.clocks],
        # Apart, so that earlier releases can read the clocks.
        "left": [clock.left for clock in progress.clocks],
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


def _counts_message(sent: Sent, content: Contribution) -> bytes:
    data: dict[str, Plain] = {
        "model": sent.model.encode("utf-8", "surrogatepass"),
        "configured": sent.configured,
        "last_event": content.last_event,
        "keys": [_key(key) for key in content.keys],
        "unseen": {
            name: {"values": [*counts], "counts": [*counts.values()]}
            for name, counts in content.partial.unseen.items()
        },
        "grown": dict(content.grown),
        "blocks": _blocks(content.partial.pieces),
        "fine": _blocks(content.partial.fine),
        "new": None if content.new is None else _columns(content.new),
        "joined": None if content.joined is None else _columns(content.joined),
    }
    try:
        return _message(_COUNTS, data)
    except NotPlainError as error:
        raise NotPlainError(f"partial of model {sent.model!r}{error}") from None


def _blocks(pieces: Pieces) -> Plain:
    """Return blocks as one, with their panes and sizes, None for none."""
    if not pieces:
        return None
    whole = Block(*(np.concatenate(arrays) for arrays in zip(*(b for _, b in pieces), strict=True)))
    return {
        "panes": np.array([pane for pane, _ in pieces], np.int64),
        "sizes": np.array([len(block.rows) for _, block in pieces], np.int64),
        **whole.compact()._asdict(),
    }


def _columns(events: Pending | Joined) -> Plain:
    """Return columns of events, rows and bins in the smallest dtype that holds them."""
    data = events._asdict()
    for name in ("rows", "bins"):
        largest = int(data[name].max(initial=0))
        data[name] = data[name].astype(np.min_scalar_type(largest), copy=False)
    return data


def _key(key: RowKey) -> Plain:
    """Return a key as plain data."""
    texts = (key.version, *(value for _, value in key.slice))
    version, *values = (x if len(x) <= LONGEST_TEXT else OVERFLOW_VALUE for x in texts)
    return [version, [[name, value] for (name, _), value in zip(key.slice, values, strict=True)]]


def _message(kind: int, data: Plain) -> bytes:
    head, body = _HEAD.pack(_MAGIC, VERSION, kind), pack(data)
    return b"".join((head, _digest(head, body), body))


def _digest(head: bytes, body: bytes) -> bytes:
    state = hashlib.blake2b(head, digest_size=_DIGEST_BYTES)
    state.update(body)
    return state.digest()


def _sent(data: Plain) -> Sent:
    named = ((version, tuple((d, v) for d, v in pairs)) for version, pairs in data["keys"])
    keys = tuple(RowKey(*key) for key in named)
    unseen = {
        name: dict(zip(each["values"], each["counts"], strict=True))
        for name, each in data["unseen"].items()
    }
    pieces, fine = (_pieces(data[name], len(keys)) for name in ("blocks", "fine"))
    new, joined = data["new"], data["joined"]
    content = Contribution(
        keys,
        Partial(pieces, unseen, fine),
        data["last_event"],
        None if new is None else _events(Pending, new, len(keys)),
        None if joined is None else _events(Joined, joined, len(keys)),
        data["grown"],
    )
    return Sent(data["model"].decode("utf-8", "surrogatepass"), data["configured"], content)


def _events(kind: type[Events], data: Plain, keys: int) -> Events:
    columns = {name: data[name] for name in kind._fields}
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f"columns of {[len(column) for column in columns.values()]} events")
    rows = columns["rows"]
    if rows.size and not (rows.min() >= 0 and rows.max() < keys):
        raise ValueError("a row has no key")
    columns["rows"] = rows.astype(np.int32)
    columns["bins"] = columns["bins"].astype(np.uint16)
    return kind(**columns)


def _pieces(data: Plain, keys: int) -> Pieces:
    if data is None:
        return ()
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
    clocks = [InputClock(*clock) for clock in data["clocks"]]
    left = data.get("left", [0] * len(clocks))
    told = tuple(clock._replace(left=some) for clock, some in zip(clocks, left, strict=True))
    return Progress(data["sender"], data["configured"], told, data["counts"])
