"""A poll's messages as the compiled reader takes them."""

from dataclasses import dataclass

from streamgauge.core.batch import IntArray
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.joined import JoinedBytes
from streamgauge.formats.messages import RawMessages


@dataclass(frozen=True, slots=True)
class PlainText:
    """Values and keys of n messages, and `latest (n,) int64`: the greatest possible event times."""

    values: JoinedBytes
    keys: JoinedBytes
    latest: IntArray

    @classmethod
    def of(cls, messages: RawMessages, times: EventTime) -> "PlainText":
        """Join messages, unless they are already."""
        return cls(
            JoinedBytes.of(messages.values),
            JoinedBytes.of(messages.keys),
            times.latest_many(messages.broker_timestamp),
        )

    def __len__(self) -> int:
        return len(self.values)
