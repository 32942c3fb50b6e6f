"""Plain events of several models on one topic, each message by the reader of its model."""

from typing import Generic, Protocol, TypeVar

import numpy as np

from streamgauge.core.batch import CodeArray, IntArray
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.plain_events import PlainColumns
from streamgauge.formats.plain_text import PlainText


class PlainModel(Protocol):
    """Reads the plain events of one model."""

    def read(self, text: PlainText, rows: CodeArray) -> PlainColumns:
        """Read some of the messages, ascending; those that are no plain events are left."""
        ...


M = TypeVar("M", bound=PlainModel)


class PlainModels(Generic[M]):
    """The readers of a topic's models."""

    def __init__(self, models: dict[str, M], times: EventTime) -> None:
        self.models = models
        self._times = times

    def read(self, messages: RawMessages) -> dict[str, PlainColumns]:
        """The plain events of each model that has any."""
        if not self.models:
            return {}
        text = PlainText.of(messages, self._times)
        found = {}
        rows = np.arange(len(text), dtype=np.int32)
        for name, plain in self.models.items():
            if len(rows):
                columns = plain.read(text, rows)
                rows = columns.left
                if len(columns.rows):
                    found[name] = columns
        # The models that had most are tried first the next time.
        order = sorted(self.models, key=lambda n: -len(found[n].rows) if n in found else 0)
        self.models = {name: self.models[name] for name in order}
        return found


def left(messages: RawMessages, found: dict[str, PlainColumns]) -> tuple[IntArray, RawMessages]:
    """The messages `(m,)` that are not among what was found, and where they are."""
    is_left = np.ones(len(messages), np.bool_)
    for columns in found.values():
        is_left[columns.rows] = False
    places = np.flatnonzero(is_left)
    return places, messages if len(places) == len(messages) else messages.take(places)
