"""Store: what the join needs of the place where predictions wait for their labels."""

from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, IntArray

Keys = npt.NDArray[np.uint64]
"""n keys `(n, 2)`: a 128-bit hash of each prediction id, in two words."""

Records = npt.NDArray[Any]
"""n records `(n,)`, all of one type and so of one length; a structured array, as a rule."""

KEY_BYTES: Final = 16
"""Length of a key."""


class Space(StrEnum):
    """The two kinds of records, each with keys and a type of records of its own."""

    PREDICTIONS = "predictions"
    """Predictions that wait for a label or have one."""
    LABELS = "labels"
    """Labels whose prediction has not come yet."""


class Found(NamedTuple):
    """The k records that were found of n keys.

    Shapes: `place (k,) int64` which of the keys, ascending; `bucket (k,) int64`; `records (k,)`, a
    copy whose type is `V` of the records' length, or of length 0 where none was ever put.
    """

    place: IntArray
    bucket: IntArray
    records: Records


class Store(Protocol):
    """Records by key, in buckets that are dropped whole.

    A key is in one bucket of its space at most; a bucket is a number that grows with event time.
    What was put is there for the next `get`, whether or not it has reached a disk.
    """

    def get(self, space: Space, keys: Keys) -> Found:
        """Return the records of those of the keys that have one; a key may be sought twice."""
        ...

    def put(
        self,
        space: Space,
        buckets: IntArray,
        keys: Keys,
        records: Records,
        *,
        known: bool | BoolArray,
    ) -> None:
        """Write n records to their `buckets (n,)`, in place of what their keys had there.

        The keys are distinct. `known` says whether they had a record, of all or of each.
        """
        ...

    def drop(self, space: Space, bucket: int) -> None:
        """Forget a bucket and all records in it."""
        ...

    def sizes(self, space: Space) -> dict[int, int]:
        """Return how many bytes each bucket's keys and records take, buckets ascending.

        That depends on what was put alone: not on when anything was written, nor how.
        """
        ...


def alike(some: Keys, others: Keys) -> BoolArray:
    """Return which of n keys are the same `(n,)`."""
    same: BoolArray = (some[:, 0] == others[:, 0]) & (some[:, 1] == others[:, 1])
    return same
