"""Restoring: from the records of the state topic to parts, or an error, never to less.

What is returned is exactly what the last committed checkpoint left behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from streamgauge.core.state import Kept
from streamgauge.formats.state_manifest import Manifest, decode_manifest
from streamgauge.formats.state_records import (
    MANIFEST,
    Chunk,
    Records,
    StateError,
    decode,
    read,
    total,
)


class Written(NamedTuple):
    """What of a part stands in the topic: how many records, and the `total` of their checksums."""

    records: int
    digest: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The state as the last checkpoint left it, and how it is written down."""

    manifest: Manifest
    kept: Kept
    written: Mapping[str, Written]
    manifest_records: int


def restore(records: Records, app: str) -> Restored | None:
    """Return what the latest values of the state topic hold, None where there are none.

    Raises StateError where a record is damaged, missing or foreign.
    """
    if not records:
        return None
    chunks = [read(key, value, offset) for key, (offset, value) in records.items()]
    chunks.sort(key=_part_of)
    by_part = {part: list(group) for part, group in groupby(chunks, _part_of)}
    head = by_part.pop((MANIFEST, ""), None)
    if head is None:
        raise StateError.at("the manifest", f"is missing beside {len(chunks)} other records")
    manifest = decode_manifest(head, app)
    for chunk in chunks:
        if chunk.generation > manifest.generation:
            raise StateError.at(
                f"part {chunk.part!r}", "was written after the last complete checkpoint"
            )
    kept = {part: decode(group) for (_, part), group in by_part.items()}
    written = {
        part: Written(len(group), total(chunk.digest for chunk in group))
        for (_, part), group in by_part.items()
    }
    _verify(manifest, written)
    return Restored(manifest, kept, written, len(head))


def newest_epoch(records: Records) -> int:
    """Return the highest owner epoch among the records that are not damaged; 0 for none."""
    newest = 0
    for key, (offset, value) in records.items():
        try:
            newest = max(newest, read(key, value, offset).generation.epoch)
        except StateError:
            continue
    return newest


def _verify(manifest: Manifest, written: Mapping[str, Written]) -> None:
    counts = [written_part.records for written_part in written.values()]
    for what, found, left in (
        ("parts", len(counts), manifest.parts),
        ("records", sum(counts), manifest.records),
    ):
        if found != left:
            raise StateError.at(
                "the whole", f"{found} {what} are there, and the last checkpoint left {left}"
            )
    if total(w.digest for w in written.values()) != manifest.digest:
        raise StateError.at("the whole", "parts are not those that the last checkpoint left")


def _part_of(chunk: Chunk) -> tuple[bytes, str]:
    return chunk.kind, chunk.part
