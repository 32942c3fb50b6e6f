"""Which parsed events a rule beyond the types of their fields may refuse, column by column.

These checks may doubt a good event, which costs time alone: `checks` then reads it again. They must
never pass a bad one.
"""

import math
import operator
from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final

import numpy as np
import orjson
from msgspec import Raw

from streamgauge.core.batch import BoolArray, IntArray, ModelSchema, Task
from streamgauge.formats.checks import MAX_ID_BYTES, PROBABILITY_TOLERANCE
from streamgauge.formats.columns import Columns, is_ok
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import RawMessages

# A shorter value cannot nest deep enough to break the limit on the whole message.
_SHALLOW_BYTES: Final = 1024


def nul_rows(values: Sequence[bytes | None], start: int) -> set[int]:
    """Messages that may hold an escaped NUL, which the parser lets through."""
    joined = b"".join(filter(None, values))
    # One byte is found many times faster than six, and most streams have no escape at all.
    if b"\\" not in joined or b"\\u0000" not in joined:
        return set()
    return {row for row, value in enumerate(values, start) if value and b"\\u0000" in value}


def doubtful_rows(
    schema: ModelSchema, columns: Columns, messages: RawMessages, times: EventTime
) -> set[int]:
    """Indices of the messages among `columns.rows` that have to be read again by the rules."""
    rows = columns.rows
    ok = is_ok(columns.statuses)
    doubtful = ~times.possible_many(columns.timestamp, messages.broker_timestamp[rows])
    doubtful |= ok & ~columns.has_features
    if None in columns.predictions:
        doubtful |= ok & np.array([value is None for value in columns.predictions], np.bool_)
    doubtful |= mismatched_keys(columns.ids, rows, messages.keys)
    if schema.task is Task.MULTICLASS:
        doubtful |= _improper_scores(columns.scores, frozenset(schema.classes))
    for column in (*columns.unknown_fields, *columns.unknown_features):
        doubtful |= unreadable(column)
    return set(rows[doubtful].tolist())


def mismatched_keys(ids: Sequence[str], rows: IntArray, keys: Sequence[bytes | None]) -> BoolArray:
    """Which of `(n,)` ids are not their message's key, or not of a length that an id may have."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows):
        own = keys[first : last + 1]
    else:
        own = [keys[row] for row in rows.tolist()]
    if _all_match(ids, own):
        return np.zeros(len(ids), np.bool_)
    pairs = zip(map(str.encode, ids), own, strict=True)
    return np.array(
        [id_ != key or not 0 < len(id_) <= MAX_ID_BYTES for id_, key in pairs], np.bool_
    )


def _all_match(ids: Sequence[str], keys: Sequence[bytes | None]) -> bool:
    """Whether all ids are the keys, each of a length that an id may have: compared as one text."""
    if not all(keys):
        return False
    joined = b"\0".join(keys)  # type: ignore[arg-type]  # there is no None among them
    return (
        joined == "\0".join(ids).encode()
        # So no key has a NUL of its own, which could stand for the bounds of two ids.
        and joined.count(b"\0") == len(keys) - 1
        and max(map(len, keys)) <= MAX_ID_BYTES  # type: ignore[arg-type]
    )


def _improper_scores(
    scores: Sequence[dict[str, float] | None], classes: frozenset[str]
) -> BoolArray:
    given = [score for score in scores if score is not None]
    # fsum is exact, so the order of the classes cannot tip the balance.
    sums = np.fromiter(map(math.fsum, map(dict.values, given)), np.float64, len(given))
    improper = np.abs(sums - 1) > PROBABILITY_TOLERANCE
    if classes:
        own = map(operator.eq, map(dict.keys, given), repeat(classes))
        improper |= ~np.fromiter(own, np.bool_, len(given))
    result = np.zeros(len(scores), np.bool_)
    result[[score is not None for score in scores]] = improper
    return result


def unreadable(column: Sequence[Raw | None]) -> BoolArray:
    """Raw values that were skipped rather than parsed, and are not valid or not surely so.

    Of an unknown field that stands twice in one message only the last value can be looked at; this
    is the one place where a broken string or an infinite number may pass unseen.
    """
    views = [memoryview(raw) for raw in column if raw is not None]
    result = np.zeros(len(column), np.bool_)
    if not views or (max(map(len, views)) < _SHALLOW_BYTES and _all_parse(views)):
        return result
    unreadable = [len(view) >= _SHALLOW_BYTES or not _all_parse([view]) for view in views]
    result[[raw is not None for raw in column]] = unreadable
    return result


def _all_parse(views: Sequence[Any]) -> bool:
    try:
        deque(map(orjson.loads, views), maxlen=0)
    except orjson.JSONDecodeError:
        return False
    return True
