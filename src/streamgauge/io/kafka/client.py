"""What the reader needs of a Kafka client: partitions, positions, and messages as columns."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from confluent_kafka import KafkaError

from streamgauge.core.batch import CodeArray, IntArray

Partition = tuple[str, int]
"""A topic, and the number of one of its partitions."""
Headers = Sequence[tuple[str, str | bytes | None]]


class Source(Protocol):
    """A message that was read, as confluent-kafka's `Message`."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> str | bytes | None: ...
    def value(self) -> str | bytes | None: ...
    def headers(self) -> Mapping[str, str | bytes | None] | Headers | None: ...


class Trouble(NamedTuple):
    """What a client tells of a partition instead of a message, the end of it too."""

    topic: str
    partition: int
    offset: int | None
    error: KafkaError


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Received:
    """The n messages that were taken, as columns, in the order in which the client gave them.

    `values` and `keys` have n entries; message i is of partition `partitions[place[i]]`, `place
    (n,) int32`. `offset (n,) int64`; `timestamp (n,) int64` in ms, -1 where the broker gave none.
    `sources` holds n messages as such, until they are let go of.
    """

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    partitions: Sequence[Partition]
    place: CodeArray
    offset: IntArray
    timestamp: IntArray
    sources: Sequence[Source]
    troubles: Sequence[Trouble]
    let_go: Callable[[], None] = nothing
    """Gives back what `sources` are read from."""


class Client(Protocol):
    """A consumer outside any group. Whatever asks the broker raises KafkaException.

    Where it `is_shared`, one thread may take messages while another one asks for all else.
    """

    is_shared: ClassVar[bool]

    def partitions_of(self, topic: str, patience: float) -> list[int] | None:
        """Return the numbers of a topic's partitions, None if there is no such topic.

        The broker has so long to answer (s).
        """

    def ends(self, partition: Partition, patience: float) -> tuple[int, int]:
        """Return the first offset that the broker holds of a partition, and that after the last."""

    def known_end(self, partition: Partition) -> int:
        """Return the offset after the last as far as is known, below 0 where nothing is."""

    def assign(self, at: Mapping[Partition, int]) -> None:
        """Read from these offsets, and nothing else."""

    def extend(self, at: Mapping[Partition, int]) -> None:
        """Read from these offsets as well."""

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Hold partitions back."""

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Let partitions go on that were held back."""

    def take(self, most: int, wait_s: float) -> tuple[int, int]:
        """Take up to so many messages, waiting so long for them; return how many, and their bytes.

        Troubles are among them.
        """

    def received(self) -> Received:
        """Return what was taken since this was asked last."""

    def close(self) -> None:
        """Let go of everything; may take long where the broker does not answer."""
