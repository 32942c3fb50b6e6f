"""Decodes JSON events of several models on one topic, poll after poll."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Generic, Union

import msgspec
from msgspec import Meta, Struct

from streamgauge.formats.block_reader import BlockReader, ModelT, Parse
from streamgauge.formats.event_time import EventTime


class BlockDecoder(Generic[ModelT]):
    """Models, the parser of their events, and what it learns from poll to poll.

    Messages are decoded so many at a time that their structs stay in the processor's cache.
    Raises ValueError if two models have the same name.
    """

    def __init__(self, models: Sequence[ModelT], times: EventTime, *, block: int) -> None:
        self._models = {model.schema.model: model for model in models}
        if len(self._models) != len(models):
            raise ValueError("two schemas are of the same model")
        self._times = times
        # Each block is grouped by model, so that many models on a topic want longer blocks.
        self._block = block * max(1, len(models))
        self._parse = self._build_parser()

    def _read_blocks(self, poll: BlockReader[ModelT, Any], messages: int) -> None:
        """Read so many messages, all of a poll; make room for what was seen often by now."""
        for start in range(0, messages, self._block):
            poll.read_block(self._parse, start, min(start + self._block, messages))
        learned = [model.learn() for model in self._models.values()]
        if any(learned):
            self._parse = self._build_parser()

    def _build_parser(self) -> Parse | None:
        return build_parser(model.event for model in self._models.values() if model.is_parsed)


class _Nothing(Struct, tag_field="model", tag="\0"):
    """What no message is, of a model that no configuration can name."""

    never: Annotated[int, Meta(ge=1, le=0)]


def build_parser(events: Iterable[type[Struct]]) -> Parse | None:
    """A parser of events of any of the types, told apart by their tags; None if there are none."""
    types = tuple(events)
    if not types:
        return None
    if len(types) == 1:
        # A type on its own would take an event that does not say which model it is of.
        types += (_Nothing,)
    return msgspec.json.Decoder(Union[types]).decode  # noqa: UP007, made at run time
