"""Owners of a state for tests: a member of the group, a writer and a journal, put together."""

import time
from copy import copy
from functools import partial
from types import TracebackType
from typing import Self

from streamgauge.core.state import Part, Plain
from streamgauge.formats.state_journal import StateJournal
from streamgauge.formats.state_manifest import Position
from streamgauge.formats.state_restore import Restored
from streamgauge.io.kafka.membership import Membership
from streamgauge.io.kafka.state_topic import StateReader
from streamgauge.io.kafka.transactions import TransactionalWriter
from tests.support.topics import new_topic, unique_name


class Place:
    """An app's topics on a broker: one input, its results and its state."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap = bootstrap_servers
        self.app = unique_name("app")
        self.group = f"streamgauge.{self.app}"
        self.input = new_topic(bootstrap_servers, 2, stem="input")
        self.results = new_topic(bootstrap_servers, stem="results")
        self.state = new_topic(
            bootstrap_servers, stem="state", config={"cleanup.policy": "compact"}
        )

    def settings(self, **more: str | int) -> dict[str, str | int | float | bool]:
        return {"bootstrap.servers": self.bootstrap, "log_level": 0, **more}

    def reader(self, patience: float = 30.0) -> StateReader:
        return StateReader(self.settings(), self.group, "test", self.state, patience)

    def restore(self) -> Restored | None:
        return self.reader().restore(self.app)

    def positions(self, offset: int) -> dict[tuple[str, int], Position]:
        return {(self.input, p): Position(offset + p, offset) for p in range(2)}


class Owner:
    """A member of the group that is active, with a writer that has taken over."""

    def __init__(self, place: Place, **settings: str | int) -> None:
        self.place = place
        self.writer = TransactionalWriter(place.settings(**settings), "test", place.app)
        self._membership: Membership | None = None
        self.journal = StateJournal(place.app)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.writer.close()
        self.leave()

    @property
    def membership(self) -> Membership:
        """Membership of the app's group, which begins when it is first asked for."""
        if self._membership is None:
            settings = self.place.settings(
                **{"session.timeout.ms": 2000, "heartbeat.interval.ms": 500}
            )
            place = self.place
            self._membership = Membership(settings, place.group, "test", place.state)
        return self._membership

    def leave(self) -> None:
        """Leave the group."""
        if self._membership is not None:
            self._membership.close()
            self._membership = None

    def take_over(self) -> Restored | None:
        """Become active, shut out the previous owner and restore."""
        self.join()
        self.writer.fence()
        restored = self.place.restore()
        self.journal = StateJournal(self.place.app, restored)
        return restored

    def join(self) -> None:
        deadline = time.monotonic() + 30
        while not self.membership.poll(0.1):
            assert time.monotonic() < deadline, "not active within 30 s"

    def write(self, state: dict[str, Plain], offset: int, result: bytes | None = None) -> None:
        """Begin a transaction and write a whole checkpoint into it, without committing."""
        self.writer.begin()
        if result is not None:
            self.writer.write(self.place.results, b"key", result)
        parts = [Part(key, object(), partial(copy, data)) for key, data in state.items()]
        changes = self.journal.changes(parts, self.place.positions(offset))
        for key, value in changes.messages():
            self.writer.write(self.place.state, key, value)

    def commit(self, offset: int) -> None:
        self.membership.poll(0.0)
        self.writer.commit(self.place.positions(offset), self.membership.group_metadata())
        self.journal.committed()

    def checkpoint(self, state: dict[str, Plain], offset: int, result: bytes | None = None) -> None:
        self.write(state, offset, result)
        self.commit(offset)

    def committed(self) -> list[int]:
        """Return the group's offsets, by partition, as far as there are any."""
        found = self.membership.committed([(self.place.input, p) for p in range(2)])
        return [kept.offset for _, kept in sorted(found.items())]
