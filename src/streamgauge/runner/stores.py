"""Stores: where each model's predictions wait for their labels, and what is kept beside them."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from streamgauge.core.joining.keys import SCHEME
from streamgauge.core.joining.memory import MemoryStore
from streamgauge.core.joining.store import Store
from streamgauge.core.layout import Layout
from streamgauge.core.model_counter import ModelCounter
from streamgauge.core.model_spec import ModelSpec
from streamgauge.io.joining.errors import JoinStoreBusyError
from streamgauge.io.joining.join_store import JoinStore
from streamgauge.io.joining.kept_rows import KeptRows
from streamgauge.io.joining.opening import Origin

Partition = tuple[str, int]
Offsets = Mapping[Partition, int]
"""The next offset to read of each (topic, partition)."""

_FORMAT: Final = 1

log = logging.getLogger(__name__)


class KeptStore(Store, Protocol):
    """A store that is written together with what its caller wants to find beside it."""

    def meta(self) -> bytes | None:
        """Return what the last flush was given, None where there has been none."""
        ...

    def unflushed(self) -> int:
        """Return about how many bytes wait for the next flush."""
        ...

    def flush(self, meta: bytes) -> None:
        """Write everything since the last flush, and `meta`, all or nothing.

        That may go on after the call, which then raises what the flush before met.
        """
        ...

    def close(self) -> None:
        """Close the store, once all flushes are written; what was not flushed is forgotten."""
        ...


class Stores(Protocol):
    """Opens the stores of models."""

    def open(self, model: str, fingerprint: str) -> KeptStore:
        """Return a model's store; one of another fingerprint begins anew."""
        ...


PLACES: Final = 8
"""Folders of one model: a process that is stopped, or about to end, may still hold the first."""


class DiskStores:
    """Stores in folders of their own below one folder."""

    def __init__(self, folder: Path, places: int = PLACES) -> None:
        self._folder = folder
        self._places = places
        self._kept = KeptRows()
        """Rows of all models' stores in memory."""

    def open(self, model: str, fingerprint: str) -> KeptStore:
        """Return a model's store; one of another fingerprint begins anew.

        Raises JoinStoreError where the folder cannot be used.
        """
        name = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        for place in range(self._places):
            try:
                store = JoinStore.open(self._folder / name / str(place), fingerprint, self._kept)
                break
            except JoinStoreBusyError:
                if place == self._places - 1:
                    raise
        if store.origin is Origin.REPLACED:
            log.warning("join store of %s is built again: %s", model, store.reason)
        return store


class MemoryStores:
    """Stores that end with the process."""

    def open(self, model: str, fingerprint: str) -> KeptStore:  # noqa: ARG002
        """Return an empty store."""
        return _Forgetful()


class _Forgetful(MemoryStore):
    def meta(self) -> bytes | None:
        return None

    def unflushed(self) -> int:
        """Return 0: nothing is written anywhere."""
        return 0

    def flush(self, meta: bytes) -> None:
        """Do nothing: what is in memory is there already."""

    def close(self) -> None:
        """Do nothing."""


def fingerprint(spec: ModelSpec, layout: Layout) -> str:
    """Return what tells stores apart whose records mean something else."""
    assert spec.labels is not None
    told = (
        _FORMAT,
        SCHEME,
        layout,
        spec.slices,
        spec.max_slices,
        spec.max_versions,
        spec.labels.max_delay_ms,
        spec.labels.threshold,
    )
    return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()


class Join:
    """One model's store with the offsets that it reflects."""

    def __init__(self, engine: ModelCounter, store: KeptStore) -> None:
        self.offsets: dict[Partition, int] | None = None
        """None where nothing is known of the store: it is empty."""
        self._engine = engine
        self._store = store
        meta = store.meta()
        if meta is not None:
            kept: dict[str, Any] = msgspec.msgpack.decode(meta, strict=False)
            engine.restore_join(kept["join"])
            self.offsets = {(topic, p): offset for topic, p, offset in kept["offsets"]}

    def flush(self, offsets: Offsets) -> None:
        """Begin to write the store, which reflects all input up to these offsets.

        Raises JoinStoreError where the time before that could not be done.
        """
        kept = {
            "offsets": [[topic, p, offset] for (topic, p), offset in offsets.items()],
            "join": self._engine.join_state(),
        }
        self._store.flush(msgspec.msgpack.encode(kept))
        self.offsets = dict(offsets)

    def unflushed(self) -> int:
        """Return about how many bytes wait for the next flush."""
        return self._store.unflushed()

    def close(self) -> None:
        """Close the store, once it is written; JoinStoreError where that could not be done."""
        self._store.close()
