"""Taken: what messages became on their way to the engines, and how many events that was."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from streamgauge.core.batch import IntArray
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.messages import Decoded, DecodedLabels, Rejected
from streamgauge.formats.predictions import PredictionDecoder
from streamgauge.runner.inputs import Part


@dataclass(slots=True)
class Counts:
    """What became of the events read, since the start.

    `consumed == accepted + sum(rejected) + unknown_models + tombstones`. A message in JSON is one
    event, whatever it holds; an Arrow batch is one for each row, or one if it cannot be read.
    """

    consumed: int = 0
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    unknown_models: int = 0
    unknown_fields: int = 0
    tombstones: int = 0
    labels: int = 0
    """Label events among the accepted ones."""

    def copy(self) -> "Counts":
        """Return the same counts, which do not grow with these."""
        return replace(self, rejected=dict(self.rejected))


class Taken(NamedTuple):
    """What became of one poll's messages: those that are refused, and how many events each is.

    The rows of an Arrow batch that are refused come one after the other. `sizes (n,) int64` is None
    where each message is one event.
    """

    rejected: tuple[Rejected, ...]
    sizes: IntArray | None


class Prepared(NamedTuple):
    """A poll's messages, divided, and what they became where they are decoded already."""

    predictions: Part
    labels: Part
    decoded: Decoded | None = None
    decoded_labels: DecodedLabels | None = None
    decoders: tuple[PredictionDecoder, LabelDecoder] | None = None
    """What they were decoded by."""
