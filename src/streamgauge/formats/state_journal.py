"""State journal: which parts a checkpoint has to write, going by what the last one left.

It is told of a commit only by `committed`. What was asked for in between, and then aborted, has
changed nothing: the next `changes` brings it again, under a new generation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from streamgauge.core.state import Part
from streamgauge.formats.state_manifest import Manifest, Positions, encode_manifest
from streamgauge.formats.state_records import (
    MANIFEST,
    Generation,
    Record,
    Records,
    digest_of,
    encode,
    state_key,
    total,
)
from streamgauge.formats.state_restore import Restored, Written, newest_epoch

_UNKNOWN: Final = object()
"""The token of a part of which no owner has told one: it equals none."""


class _Entry(NamedTuple):
    token: object
    written: Written


class _Ledger(NamedTuple):
    """What the topic holds once a checkpoint is committed."""

    entries: Mapping[str, _Entry]
    manifest_records: int
    stale: frozenset[bytes]
    """Keys that belong to nothing and are to go."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one checkpoint writes to the state topic."""

    generation: Generation
    records: tuple[Record, ...]
    tombstones: tuple[bytes, ...]
    manifest: tuple[Record, ...]
    parts: int
    """How many parts are written anew."""

    def messages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield keys and values in the order in which they are to be written."""
        yield from self.records
        for key in self.tombstones:
            yield key, None
        yield from self.manifest

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(len(key) + len(value or b"") for key, value in self.messages())


class StateJournal:
    """Keeps the tokens of what is written; one for each time this process becomes the owner."""

    def __init__(self, app: str, restored: Restored | None = None) -> None:
        self.epoch = 1
        self._app = app
        self._sequence = 0
        self._ledger = _Ledger({}, 0, frozenset())
        self._next: _Ledger | None = None
        if restored is not None:
            before = restored.manifest.generation
            self.epoch, self._sequence = before.epoch + 1, before.sequence
            entries = {key: _Entry(_UNKNOWN, written) for key, written in restored.written.items()}
            self._ledger = _Ledger(entries, restored.manifest_records, frozenset())

    @classmethod
    def discarding(cls, app: str, records: Records) -> Self:
        """Return a journal that begins anew and whose first checkpoint clears these records."""
        journal = cls(app)
        journal.epoch = newest_epoch(records) + 1
        journal._ledger = _Ledger({}, 0, frozenset(records))
        return journal

    def adopt(self, parts: Iterable[Part]) -> None:
        """Take the tokens of parts just restored, so that they are not written all over again.

        Without it the first checkpoint writes every part: right too, and as long as the state is.
        """
        entries = dict(self._ledger.entries)
        for part in parts:
            entry = entries.get(part.key)
            if entry is not None:
                entries[part.key] = entry._replace(token=part.token)
        self._ledger = self._ledger._replace(entries=entries)

    def changes(self, parts: Iterable[Part], positions: Positions) -> Changes:
        """Return what differs from the last committed checkpoint, and the new manifest.

        Raises NotPlainError for parts that cannot be kept, ValueError for a key that comes twice.
        """
        # Every attempt has a number of its own, so that records of one that was aborted cannot be
        # taken for those of the next, not even by a reader that sees both.
        self._sequence += 1
        generation = Generation(self.epoch, self._sequence)
        before = self._ledger
        entries: dict[str, _Entry] = {}
        records: list[Record] = []
        changed = 0
        for key, token, data, _ in parts:
            if key in entries:
                raise ValueError(f"state part {key!r} comes twice")
            entry = before.entries.get(key)
            if entry is None or entry.token != token:
                written = encode(key, data(), generation)
                records += written
                changed += 1
                digest = total(digest_of(value) for _, value in written)
                entry = _Entry(token, Written(len(written), digest))
            entries[key] = entry
        manifest = encode_manifest(self._manifest(generation, positions, entries))
        self._next = _Ledger(entries, len(manifest), frozenset())
        written_keys = {key for key, _ in records} | {key for key, _ in manifest}
        gone = [key for key in self._gone(before, self._next) if key not in written_keys]
        return Changes(generation, tuple(records), tuple(gone), tuple(manifest), changed)

    def committed(self) -> None:
        """Take note that what `changes` last returned is committed."""
        assert self._next is not None, "nothing was to be committed"
        self._ledger, self._next = self._next, None

    def _manifest(
        self, generation: Generation, positions: Positions, entries: Mapping[str, _Entry]
    ) -> Manifest:
        written = [entry.written for entry in entries.values()]
        return Manifest(
            self._app,
            generation,
            positions,
            len(written),
            sum(w.records for w in written),
            total(w.digest for w in written),
        )

    @staticmethod
    def _gone(before: _Ledger, after: _Ledger) -> Iterator[bytes]:
        """Yield the keys of records that were there and are no more."""
        yield from sorted(before.stale)
        for key, entry in before.entries.items():
            now = after.entries.get(key)
            left = 0 if now is None else now.written.records
            for number in range(left, entry.written.records):
                yield state_key(key, number)
        for number in range(after.manifest_records, before.manifest_records):
            yield state_key("", number, MANIFEST)
