"""Store: what the join needs of the place where predictions wait for their labels."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

KEY_BYTES: Final = 16
"""Length of a key: a 128-bit hash of the prediction id."""


class Space(StrEnum):
    """The two kinds of records, each with keys of its own."""

    PREDICTIONS = "predictions"
    """Predictions that wait for a label or have one."""
    LABELS = "labels"
    """Labels whose prediction has not come yet."""


class Store(Protocol):
    """Records by key, in buckets that are dropped whole.

    A key is in one bucket of its space at most; a bucket is a number that grows with event time.
    What was put is there for the next `get`, whether or not it has reached a disk.
    """

    def get(self, space: Space, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of every key, None where there is none."""
        ...

    def put(
        self, space: Space, bucket: int, keys: Sequence[bytes], values: Sequence[bytes]
    ) -> None:
        """Write records, in place of what these keys had in this bucket; the keys are distinct."""
        ...

    def drop(self, space: Space, bucket: int) -> None:
        """Forget a bucket and all records in it."""
        ...

    def sizes(self, space: Space) -> dict[int, int]:
        """Return about how many bytes each bucket takes, buckets ascending."""
        ...
