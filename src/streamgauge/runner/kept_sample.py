"""Samples of messages as parts: what comes later only adds to the last of them."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np

from streamgauge.core.state import Kept, Part, Plain, reading
from streamgauge.formats.messages import RawMessages

MESSAGES_PER_PART: Final = 256
"""A part begins with the first poll that begins after so many messages of the one before."""


def sample_parts(polls: Sequence[RawMessages]) -> Iterator[Part]:
    """Yield polls in parts of a few hundred messages."""
    runs: dict[int, list[RawMessages]] = {}
    before = 0
    for poll in polls:
        runs.setdefault(before // MESSAGES_PER_PART, []).append(poll)
        before += len(poll)
    for number, run in runs.items():
        yield Part(str(number), len(run), partial(_data, run))


def sample_of(kept: Kept) -> list[RawMessages]:
    """Return the polls that `sample_parts` yielded, each as it was."""
    polls: list[RawMessages] = []
    for key in sorted(kept, key=int):
        with reading(key):
            polls += _polls(kept[key])
    return polls


def _data(polls: list[RawMessages]) -> Plain:
    return {
        "sizes": [len(poll) for poll in polls],
        "values": [value for poll in polls for value in poll.values],
        "keys": [key for poll in polls for key in poll.keys],
        "partition": np.concatenate([poll.partition for poll in polls]),
        "offset": np.concatenate([poll.offset for poll in polls]),
        "broker_timestamp": np.concatenate([poll.broker_timestamp for poll in polls]),
    }


def _polls(data: Plain) -> Iterator[RawMessages]:
    ends = np.cumsum([0, *data["sizes"]]).tolist()
    if any(len(data[name]) != ends[-1] for name in data if name != "sizes"):
        raise ValueError("the columns are not of the same length")
    for begin, end in pairwise(ends):
        some = slice(begin, end)
        yield RawMessages(
            list(data["values"][some]),
            list(data["keys"][some]),
            np.array(data["partition"][some], np.int32),
            np.array(data["offset"][some], np.int64),
            np.array(data["broker_timestamp"][some], np.int64),
        )
