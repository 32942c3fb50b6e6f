"""Bounded calls: the client's transactional calls take a timeout, and do not always keep it.

`send_offsets_to_transaction` waits for a change of a broker's state that may never come when the
group's coordinator was out of the cluster's metadata for a moment, as a broker is that starts anew:
https://github.com/confluentinc/librdkafka/issues/5511 and, for the timeout that nobody looks at,
https://github.com/confluentinc/librdkafka/issues/5456. Nothing ends such a call; it can only be
left.
"""

import threading
from collections.abc import Callable
from typing import Final

GRACE_S: Final = 2.0
"""How much longer than it was given a call may last before it is left."""


class LeftError(Exception):
    """A call did not end in its time. It may still end, or never; its thread waits for it."""


class _Call(threading.Thread):
    """One call in a thread of its own, which does not keep the process from ending."""

    def __init__(self, call: Callable[[float], None], seconds: float) -> None:
        super().__init__(name="kafka-transaction", daemon=True)
        self._call = call
        self._seconds = seconds
        self.raised: BaseException | None = None

    def run(self) -> None:
        try:
            self._call(self._seconds)
        except BaseException as error:  # noqa: BLE001 - raised where the call was made
            self.raised = error


def bounded(call: Callable[[float], None], seconds: float) -> None:
    """Call with a timeout in seconds and raise what it raises; signals are served meanwhile.

    Raises LeftError where the call is still under way after that time and a grace.
    """
    thread = _Call(call, seconds)
    thread.start()
    thread.join(seconds + GRACE_S)
    if thread.is_alive():
        raise LeftError
    if thread.raised is not None:
        raise thread.raised


def aside(leave: Callable[[], object]) -> None:
    """Close what nobody needs any more in a thread of its own: that may take long, or never end."""
    threading.Thread(target=leave, name="kafka-leaving", daemon=True).start()
