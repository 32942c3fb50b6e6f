"""Reading ahead: the next items are made in a thread while one is worked on."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")


def ahead(source: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield the items of a source, up to `depth` of which are made in advance by one thread.

    What the source raises is raised here, in its turn. An iteration that is broken off ends the
    thread once the items under way are made.
    """
    end = object()
    items = iter(source)
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        pending = deque(reader.submit(next, items, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(reader.submit(next, items, end))
            yield cast("T", item)
