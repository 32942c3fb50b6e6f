"""Remembered results: what is made of the same object again and again is made once."""

from collections.abc import Callable
from typing import Generic, TypeVar

G = TypeVar("G")
M = TypeVar("M")


class Remembered(Generic[G, M]):
    """What was last made of an object, which is made anew for another one alone.

    For objects that do not change, such as the dictionaries of columns. Whether it is the same one
    is told without a look into it.

    >>> length, given = Remembered(len), ("a", "b")
    >>> length(given), length(given)
    (2, 2)
    """

    def __init__(self, make: Callable[[G], M]) -> None:
        self._make = make
        self._last: tuple[G, M] | None = None

    def __call__(self, given: G) -> M:
        """Return what is made of this."""
        if self._last is None or self._last[0] is not given:
            self._last = given, self._make(given)
        return self._last[1]
