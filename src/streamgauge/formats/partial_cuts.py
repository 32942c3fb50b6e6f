"""Cutting: a contribution in parts that each fit in one message of the partials topic."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from streamgauge.core.contribution import Contribution
from streamgauge.core.joining.records import Joined, Pending
from streamgauge.core.partial import Partial, Pieces
from streamgauge.core.slices import RowKey

BODY_BYTES: Final = 800_000
"""Numbers and keys of one message at most, before they are packed: it stays below 900 kB."""
LONGEST_TEXT: Final = 10_000
"""Characters of a version, a slice's value or an unseen value at most. Longer ones, which nobody
means, are sent as overflow, or cut: a message has to hold them whole."""
_PAIR_BYTES: Final = 16
"""What a name or value of a key takes besides its text."""

Events = TypeVar("Events", Pending, Joined)


def cut(content: Contribution) -> Iterator[Contribution]:
    """Yield a contribution of one kind in parts that fit in one message."""
    size = _size(content)
    halves = _halves(content) if size > BODY_BYTES else ()
    for half in halves:
        yield from cut(half.narrowed())
    if size and not halves:
        yield content


def _size(content: Contribution) -> int:
    """Return the bytes of a contribution's numbers, and of the keys that it has with them.

    Counts are only reckoned in the small form in which they are sent where that matters.
    """
    blocks = [block for _, block in content.partial.pieces + content.partial.fine]
    size = sum(block.nbytes for block in blocks)
    if size > BODY_BYTES:
        size = sum(block.compact().nbytes for block in blocks)
    for events in (content.new, content.joined):
        if events is not None:
            size += sum(column.nbytes for column in events)
    return size + (sum(map(_key_bytes, content.keys)) if size else 0)


def _halves(content: Contribution) -> tuple[Contribution, ...]:
    """Return both halves of a contribution of one kind, nothing where it cannot be halved."""
    if content.partial.pieces:
        halved = _halved(content.partial.pieces)
        return tuple(content._replace(partial=Partial(half)) for half in halved)
    if content.partial.fine:
        halved = _halved(content.partial.fine)
        return tuple(content._replace(partial=Partial((), fine=half)) for half in halved)
    new, joined = content.new, content.joined
    if new is not None:
        return tuple(content._replace(new=_some(new, some)) for some in _parted(len(new.time)))
    if joined is not None:
        parted = _parted(len(joined.time))
        return tuple(content._replace(joined=_some(joined, some)) for some in parted)
    return ()


def _halved(pieces: Pieces) -> tuple[Pieces, ...]:
    if len(pieces) == 1:
        [(pane, block)] = pieces
        pieces = tuple((pane, block.take(some)) for some in _parted(len(block.rows)))
    return tuple(pieces[some] for some in _parted(len(pieces)))


def _parted(n: int) -> tuple[slice, ...]:
    """Return the halves of n items, nothing where there are fewer than two."""
    return (slice(0, n // 2), slice(n // 2, n)) if n > 1 else ()


def _some(events: Events, some: slice) -> Events:
    return type(events)._make(column[some] for column in events)


def cut_unseen(
    unseen: Mapping[str, Mapping[str, int]],
) -> Iterator[dict[str, dict[str, int]]]:
    """Yield unseen values in parts that fit in one message; long ones are cut short."""
    part: dict[str, dict[str, int]] = {}
    room = BODY_BYTES
    for name, counts in unseen.items():
        for value, count in counts.items():
            short = value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}..."
            needed = len(name.encode()) + len(short.encode()) + _PAIR_BYTES
            if needed > room and part:
                yield part
                part, room = {}, BODY_BYTES
            room -= needed
            mine = part.setdefault(name, {})
            mine[short] = mine.get(short, 0) + count
    if part:
        yield part


def _key_bytes(key: RowKey) -> int:
    text = key.version + "".join(name + value for name, value in key.slice)
    return len(text.encode("utf-8", "surrogatepass")) + _PAIR_BYTES * (1 + len(key.slice))
