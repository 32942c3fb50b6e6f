"""Manifest: written last in each checkpoint, it says what the state consists of.

It does not list the parts, of which there may be thousands, but carries their number and a digest
of all their records that is kept up to date: what is missing, foreign or of another checkpoint
changes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from streamgauge.formats.state_records import (
    DIGEST_BYTES,
    MANIFEST,
    Chunk,
    Generation,
    Record,
    StateError,
    decode,
    encode,
)

FORMAT: Final = 1
"""Of the parts as a whole: grows when what parts hold changes so that it cannot be restored."""


class Position(NamedTuple):
    """Where to go on in an input partition: the next offset to read, and its floor.

    The floor is the offset from which a lost join store is built again; it is the offset itself
    where nothing is known of it. `reached` is the newest event time (ms) read before the offset,
    and `settled` up to when (ms) predictions without a label have been given up; None where that is
    not known or, as in manifests, not kept.
    """

    offset: int
    floor: int
    reached: int | None = None
    settled: int | None = None


Positions = Mapping[tuple[str, int], Position]
"""By topic and partition."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The app and checkpoint that wrote the state, the inputs it reflects, and what it holds.

    `digest` is the `total` of the checksums of all `records` records of all `parts` parts.
    """

    app: str
    generation: Generation
    positions: Positions
    parts: int
    records: int
    digest: int


def encode_manifest(manifest: Manifest) -> list[Record]:
    """Return the manifest's records: one, unless there are tens of thousands of partitions."""
    data = {
        "format": FORMAT,
        "app": manifest.app,
        "positions": _columns(manifest.positions),
        "parts": manifest.parts,
        "records": manifest.records,
        "digest": manifest.digest.to_bytes(DIGEST_BYTES, "little"),
    }
    return encode("", data, manifest.generation, MANIFEST)


def decode_manifest(chunks: list[Chunk], app: str) -> Manifest:
    """Return the manifest from its chunks. Raises StateError where it is not this app's."""
    data = decode(chunks)
    try:
        written_for, layout = data["app"], data["format"]
        if layout != FORMAT:
            raise StateError.at(
                "the manifest",
                f"the state has format {layout}, this release reads {FORMAT}: run the one that"
                " wrote it",
            )
        if written_for != app:
            raise StateError.at(
                "the manifest", f"this is the state of app {written_for!r}, not of {app!r}"
            )
        return Manifest(
            app,
            chunks[0].generation,
            _positions(data["positions"]),
            data["parts"],
            data["records"],
            int.from_bytes(data["digest"], "little"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateError.at("the manifest", f"is no manifest: {error!r}") from error


def _columns(positions: Positions) -> dict[str, Any]:
    """Return positions by topic, as three columns: integers that pack to a few bytes each."""
    topics = sorted({topic for topic, _ in positions})
    by_topic = {topic: [p for t, p in sorted(positions) if t == topic] for topic in topics}
    return {
        topic: np.array([[number, *positions[topic, number][:2]] for number in numbers], np.int64).T
        for topic, numbers in by_topic.items()
    }


def _positions(columns: Mapping[str, Any]) -> dict[tuple[str, int], Position]:
    return {
        (topic, number): Position(offset, floor)
        for topic, table in columns.items()
        for number, offset, floor in table.T.tolist()
    }
