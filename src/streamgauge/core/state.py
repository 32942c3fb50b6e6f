"""State: what has to outlive the process, in parts that are written only when they changed.

Everything that lasts gives its parts and takes them back. A part is plain data under a key; its
token changes whenever the data would differ, so that a checkpoint writes no more than what is new.
What a restored owner does from then on is what the original would have done, to the bit.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from streamgauge.core.blocks import Block, BlockSum, small
from streamgauge.core.packed import PackedCounts
from streamgauge.errors import StateError

Plain = Any
"""None, bool, int, float, str, bytes, numpy arrays of numbers, and lists and dicts (with keys that
are str) of these."""


class Part(NamedTuple):
    """One piece of state: its key, what tells that it changed, and how to get it."""

    key: str
    token: object
    """Compared by equality with that of the last checkpoint."""
    data: Callable[[], Plain]
    """Called at once, if at all: what it returns may share memory with the owner, so it is to be
    encoded before the owner goes on."""
    once: bool = False
    """The data can be had under this token only when it is first told."""


Kept = Mapping[str, Plain]
"""The data of parts by key."""
INDEX: Final = "index"
"""Key of the part that names the others."""
_FEW: Final = 16
"""One count of so many may need more bytes than the others."""


class Lasting(Protocol):
    """Something whose state outlives the process."""

    def parts(self) -> Iterator[Part]:
        """Yield all parts; keys are distinct and those that are left out are forgotten."""
        ...

    def restore(self, kept: Kept) -> object:
        """Take back the parts of an owner of the same specification, before any event."""
        ...


def below(prefix: str, parts: Iterator[Part]) -> Iterator[Part]:
    """Yield parts with `prefix/` before their keys."""
    for part in parts:
        yield part._replace(key=f"{prefix}/{part.key}")


def within(prefix: str, kept: Kept) -> dict[str, Plain]:
    """Return the parts whose keys begin with `prefix/`, without it."""
    start = f"{prefix}/"
    return {key.removeprefix(start): data for key, data in kept.items() if key.startswith(start)}


def restore_below(prefix: str, owner: Lasting, kept: Kept) -> None:
    """Give an owner back what `below` yielded of it. Raises StateError, which names the whole key.

    The owner copies what it keeps: the data stay the caller's.
    """
    with placed(prefix):
        owner.restore(within(prefix, kept))


@contextmanager
def placed(prefix: str) -> Iterator[None]:
    """Let errors of what is restored in the meantime name the keys with `prefix/` before them."""
    try:
        yield
    except StateError as error:
        raise error.below(prefix) from error


@contextmanager
def reading(key: str) -> Iterator[None]:
    """Let data that do not fit, while a part is read, raise StateError with the part's key."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise StateError(key, f"does not fit ({type(error).__name__}: {error})") from error


def needed(kept: Kept, key: str) -> Plain:
    """Return a part's data. Raises StateError where there is none."""
    if key not in kept:
        raise StateError(key, "is missing")
    return kept[key]


def indexed(parts: Iterator[Part]) -> Iterator[Part]:
    """Yield parts and one more that names them all, so that none can be lost unnoticed."""
    keys = []
    for part in parts:
        keys.append(part.key)
        yield part
    yield Part(INDEX, tuple(keys), lambda: keys)


def check_index(kept: Kept) -> Kept:
    """Return what `indexed` was given. Raises StateError where a part is missing or too many."""
    index = needed(kept, INDEX)
    with reading(INDEX):
        known = {*index}
    for key in sorted(known ^ (kept.keys() - {INDEX})):
        raise StateError(key, "is missing" if key in known else "belongs to nothing")
    return {key: kept[key] for key in index}


def value_part(key: str, data: dict[str, Any]) -> Part:
    """Return a part of a few values that tell by themselves whether they changed."""
    return Part(key, data, lambda: data)


def block_data(block: Block) -> Plain:
    """Return a block as plain data, counts as `counts_data` returns them."""
    return block._asdict() | {"counts": counts_data(block.counts)}


def counts_data(counts: npt.NDArray[np.integer]) -> Plain:
    """Return counts `(k, W)` as plain data, small where most of them are.

    Either in the smallest dtype that holds them, or, where few need more than one or two bytes, the
    low bytes and what is above them.
    """
    for low in (np.uint8, np.uint16):
        bits = 8 * np.dtype(low).itemsize
        at = np.flatnonzero(counts >> bits)
        if not len(at):
            break
        if len(at) * _FEW <= counts.size:
            more = counts.reshape(-1)[at].astype(np.int64) >> bits
            return {"low": counts.astype(low), "at": at.astype(np.int64), "more": more}
    return small(counts)


def counts_of(data: Plain) -> npt.NDArray[np.integer]:
    """Return a copy of the counts that `counts_data` made plain, or `PackedCounts.data`.

    Raises ValueError where they do not fit.
    """
    if isinstance(data, dict) and "groups" in data:
        return PackedCounts.restored(data).whole()
    if not isinstance(data, dict):
        counts = np.array(data)
        if counts.dtype.kind not in "iu":
            raise ValueError(f"counts are {counts.dtype}, not integers")
        return counts
    low, at = np.array(data["low"]), np.array(data["at"])
    if low.dtype not in (np.uint8, np.uint16) or at.min(initial=0) < 0:
        raise ValueError(f"low bytes are {low.dtype}, at {at.min(initial=0)} or later")
    result = low.astype(np.int64)
    result.reshape(-1)[at] += np.array(data["more"], np.int64) << (8 * low.dtype.itemsize)
    return result


def packed_of(data: Plain) -> PackedCounts:
    """Return the counts that `PackedCounts.data` made plain, or an earlier version another way."""
    if isinstance(data, dict) and "groups" in data:
        return PackedCounts.restored(data)
    return PackedCounts(counts_of(data))


def block_of(data: Plain, width: int, sums: int, extremes: int) -> Block:
    """Return a copy of the block that `block_data` made plain.

    Raises ValueError where it has not `width` cells, `sums` sums and `extremes` extremes.
    """
    rows = np.array(data["rows"], np.int64)
    size = len(rows)
    counts = counts_of(data["counts"])
    floats = [np.array(data[name], np.float64) for name in ("sums", "extremes")]
    found = (counts.shape, *(array.shape for array in floats))
    due = ((size, width), (size, sums, 2), (size, extremes, 2))
    if rows.ndim != 1 or found != due:
        raise ValueError(f"the shapes are {found}, the configuration makes them {due}")
    if len(np.unique(rows)) < size or rows.min(initial=0) < 0:
        raise ValueError("a row is there twice, or below 0")
    return Block(rows, counts, *floats)


def refill(total: BlockSum, data: Plain) -> None:
    """Add what `block_data` made plain to an empty sum: rows get the places they had."""
    total.add(block_of(data, total.width, total.numeric, total.extremes))


def sum_parts(total: BlockSum) -> Iterator[Part]:
    """Yield a large sum in groups of rows, of which only those change that are added to."""
    for number, (version, block) in enumerate(total.groups()):
        yield Part(str(number), version, partial(_drawn, block))


def sum_part(key: str, token: object, total: BlockSum) -> Part:
    """Return a whole sum as one part."""
    return Part(key, token, partial(_drawn, total.block))


def _drawn(block: Callable[[], Block]) -> Plain:
    return block_data(block())


def refill_parts(total: BlockSum, kept: Kept) -> None:
    """Add what `sum_parts` yielded to an empty sum."""
    for number in range(len(kept)):
        data = needed(kept, str(number))
        with reading(str(number)):
            before = len(total)
            refill(total, data)
            if len(total) - before != len(data["rows"]):
                raise ValueError("holds rows of another part")
