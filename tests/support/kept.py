"""State as a checkpoint takes it and a new process gets it: copied, nothing shared."""

import copy
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from streamgauge.core.state import Kept, Part


class Checkpoint(NamedTuple):
    """Everything that lasts at one moment: data and tokens by key."""

    data: dict[str, Any]
    tokens: dict[str, object]


class Owner(Protocol):
    """Something that has parts."""

    def parts(self) -> Iterator[Part]:
        """Yield all parts."""
        ...


_ONCE: Final[dict[int, tuple[object, object, Any]]] = {}
"""Owners of data that can be had only once, with the token and the data that were had."""


def taken(owner: Owner) -> Checkpoint:
    """Take all parts, each encoded at once; what can be had only once is remembered."""
    data: dict[str, Any] = {}
    tokens: dict[str, object] = {}
    for part in owner.parts():
        assert part.key not in data, f"{part.key} is there twice"
        data[part.key] = data_of(part)
        tokens[part.key] = copy.deepcopy(part.token)
        assert_plain(data[part.key], part.key)
    return Checkpoint(data, tokens)


def adopt(owner: Owner, data: Kept) -> None:
    """Note that an owner has just been given these data, as a journal does."""
    for part in owner.parts():
        if part.once:
            source: object = getattr(part.data, "__self__", part.data)
            _ONCE[id(source)] = (source, part.token, copy.deepcopy(data[part.key]))


def data_of(part: Part) -> Any:
    """Return a copy of a part's data."""
    if not part.once:
        return copy.deepcopy(part.data())
    source: object = getattr(part.data, "__self__", part.data)
    known, token, data = _ONCE.get(id(source), (None, None, None))
    if known is not source or token != part.token:
        data = copy.deepcopy(part.data())
        _ONCE[id(source)] = (source, part.token, data)
    return copy.deepcopy(data)


def kept(owner: Owner) -> Kept:
    """The data of all parts."""
    return taken(owner).data


def assert_plain(data: object, place: str) -> None:
    """Check that data are what `core.state.Plain` allows, of exactly these types."""
    if isinstance(data, dict):
        for name, value in data.items():
            assert type(name) is str, f"{place}: key {name!r}"
            assert_plain(value, f"{place}.{name}")
    elif isinstance(data, list):
        for item in data:
            assert_plain(item, f"{place}[]")
    elif isinstance(data, np.ndarray):
        assert data.dtype.kind in "iufb", f"{place}: {data.dtype}"
    else:
        allowed = (type(None), bool, int, float, str, bytes)
        assert type(data) in allowed, f"{place}: {type(data)}"


def difference(first: object, second: object, place: str = "") -> str:
    """Where two plain values differ in type or bits, empty where they do not."""
    if type(first) is not type(second):
        return f"{place}: {first!r:.80} and {second!r:.80}"
    if isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            return f"{place}: {sorted(first.keys() ^ second.keys())[:3]}"
        found = (difference(first[name], second[name], f"{place}.{name}") for name in first)
        return next(filter(None, found), "")
    if isinstance(first, list) and isinstance(second, list):
        if len(first) != len(second):
            return f"{place}: {len(first)} and {len(second)} items"
        pairs = enumerate(zip(first, second, strict=True))
        found = (difference(a, b, f"{place}[{i}]") for i, (a, b) in pairs)
        return next(filter(None, found), "")
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        if first.dtype != second.dtype or first.shape != second.shape:
            return f"{place}: {first.dtype}{first.shape} and {second.dtype}{second.shape}"
        same = first.tobytes() == second.tobytes()
        return "" if same else f"{place}: {np.flatnonzero(first.ravel() != second.ravel())[:5]}"
    return "" if repr(first) == repr(second) else f"{place}: {first!r:.80} and {second!r:.80}"


def delivered(data: Kept) -> Kept:
    """The same data as a topic may give them back: in another order, arrays read-only."""
    return {key: _locked(copy.deepcopy(data[key])) for key in sorted(data, reverse=True)}


def _locked(data: Any) -> Any:
    if isinstance(data, dict):
        for value in data.values():
            _locked(value)
    elif isinstance(data, list):
        for value in data:
            _locked(value)
    elif isinstance(data, np.ndarray):
        data.flags.writeable = False
    return data
