"""Attended work: the group is served beside work that keeps its caller from polling."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

ATTENDED_S: Final = 300.0
"""How long the group is served beside other work; what takes longer is taken to hang.

From then on the client counts the time without a poll, and leaves the group in the end.
"""
_EVERY_S: Final = 0.1

Still = Callable[[], None]
"""What long work calls now and then: it raises where the work is of no use any more."""


def always() -> None:
    """Let work go on in any case."""


@contextmanager
def attended(
    serve: Callable[[float], None], still: Still, longest: float = ATTENDED_S
) -> Iterator[Still]:
    """Call `serve` (with a wait in seconds) again and again in a thread, until the work is done.

    Yields what raises as `still` does, or what `serve` has raised; it is called once more at the
    end of work that went well.
    """
    done = threading.Event()
    refused: list[BaseException] = []

    def attend() -> None:
        until = time.monotonic() + longest
        try:
            # Never with a wait: the client lets one call in at a time, and the work makes some too.
            while not done.wait(_EVERY_S) and time.monotonic() < until:
                serve(0.0)
        except BaseException as error:  # noqa: BLE001 - raised where the work looks
            refused.append(error)

    def look() -> None:
        if refused:
            raise refused[0]
        still()

    thread = threading.Thread(target=attend, name="kafka-attended", daemon=True)
    thread.start()
    try:
        yield look
    finally:
        done.set()
        thread.join()
    look()
