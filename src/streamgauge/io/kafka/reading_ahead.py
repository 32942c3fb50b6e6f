"""Polls that are read, and prepared, beside what is done with those before."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from streamgauge.formats.messages import RawMessages
from streamgauge.io.kafka.client import Received, nothing

MOST_AHEAD: Final = 4
"""Polls that are read ahead at most: while a pane of many slices closes, five could be read."""
MOST_AHEAD_BYTES: Final = 32 << 20
"""Bytes of messages that are read ahead at most, where that is more than one poll."""

Prepare = Callable[[RawMessages], Any]
"""What may be made of messages before they are read."""


class Fetched(NamedTuple):
    """Messages that the client has given, as they came and as columns, in bytes; see `Poll`."""

    received: Received
    messages: RawMessages
    size: int
    full: bool
    prepared: Any

    @property
    def may_be_followed(self) -> bool:
        """Whether what comes after may be read ahead."""
        return self.full and self.messages.arrow is None


Fetch = Callable[[int, Prepare | None], Fetched]
"""Takes up to so many messages from the client; raises KafkaException."""


class ReadingAhead:
    """Fetches the next polls' messages in another thread, and gives back those of polls before.

    While there is something ahead, nobody else may fetch.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._beside = ThreadPoolExecutor(1, "kafka-reading-ahead")
        self._ahead: deque[Future[Fetched | None]] = deque()
        """The next polls' messages, where they are fetched already or about to be."""
        self._reach = 0
        """How many polls may be ahead."""
        self._halt = False
        """Whether those that are about to be fetched are left: None will come of them."""
        self._let_go = nothing
        """Gives back what was returned last."""
        self._left: SimpleQueue[Callable[[], None]] = SimpleQueue()
        """Gives back what was returned before, which nobody looks at any more."""

    def next(self, most: int) -> Fetched:
        """Return the next messages: those that were fetched ahead, or up to so many taken now.

        What was returned before is given back. Raises KafkaException.
        """
        self._left.put(self._let_go)
        self._let_go = nothing
        ahead = self._ahead.popleft() if self._ahead else None
        if ahead is None or not ahead.done():
            # Else it is left to the other thread, which is the one that has time.
            self._give_back()
        fetched = None if ahead is None else ahead.result()
        if fetched is None:
            self.forget()  # nothing more will come of the others
            fetched = self._fetch(most, None)
        self._let_go = fetched.received.let_go
        return fetched

    def go_on(self, most: int, prepare: Prepare | None, after: Fetched) -> None:
        """Fetch more, and prepare it, while the caller does something else `after` these.

        Without `prepare` nothing more is fetched. Polls ahead become more from one to the next.
        """
        if prepare is None or not after.may_be_followed:
            self._reach = 0
        else:
            most_ahead = max(1, min(MOST_AHEAD, MOST_AHEAD_BYTES // max(after.size, 1)))
            self._reach = min(self._reach + 1, most_ahead)
        if not self._ahead:
            self._halt = False
        while len(self._ahead) < self._reach:
            self._ahead.append(self._beside.submit(self._fetch_ahead, most, prepare))
        if not self._reach:
            self._give_back()

    def halt(self) -> None:
        """Leave what is not fetched yet."""
        self._halt = True

    def wait(self) -> None:
        """Wait until all that is ahead is fetched."""
        wait(self._ahead)

    def forget(self) -> None:
        """Leave what is ahead, fetched or not: it is to be read again."""
        self.halt()
        self.wait()
        self._ahead.clear()

    def close(self) -> None:
        """Leave what is ahead, and fetch nothing more ahead."""
        self.forget()
        self._beside.shutdown()

    def _give_back(self) -> None:
        """Give back what nobody looks at any more, in whichever thread."""
        with suppress(Empty):
            while True:
                self._left.get_nowait()()

    def _fetch_ahead(self, most: int, prepare: Prepare | None) -> Fetched | None:
        """Fetch beside all else, unless there is no more or it may not go on."""
        self._give_back()
        if self._halt:
            return None
        fetched = self._fetch(most, prepare)
        if not fetched.may_be_followed:
            self.halt()
        return fetched
