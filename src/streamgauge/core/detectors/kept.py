"""Kept: what detectors hold, as plain data and back."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt


def arrays_data(owner: object, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """Return an owner's arrays by name, to be encoded before the owner goes on."""
    return {name.lstrip("_"): getattr(owner, name) for name in names}


def take_arrays(
    owner: object, names: Iterable[str], data: dict[str, Any], rows: int, axis: int = 0
) -> None:
    """Set an owner's arrays to copies of what `arrays_data` returned.

    Raises ValueError where they differ from those that the owner has in more than how many rows
    there are along `axis`, which has to be `rows`. Numbers that were kept in a wider dtype, as
    earlier versions did, are rounded.
    """
    for name in names:
        old = getattr(owner, name)
        new = np.array(data[name.lstrip("_")])
        if new.dtype.kind == old.dtype.kind:
            narrower = new.astype(old.dtype)
            if new.dtype.kind == "f" or (narrower == new).all():
                new = narrower
        due = (*old.shape[:axis], rows, *old.shape[axis + 1 :])
        if new.shape != due or new.dtype != old.dtype:
            raise ValueError(f"{name} is {new.shape} {new.dtype}, not {due} {old.dtype}")
        setattr(owner, name, new)


def numbers_data(owner: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name: numbers, None and tuples of numbers."""
    return {f.name.lstrip("_"): _plain(getattr(owner, f.name)) for f in fields(owner)}


def put_numbers(owner: Any, data: dict[str, Any]) -> None:
    """Set the fields of a dataclass to what `numbers_data` returned."""
    for item in fields(owner):
        value = data[item.name.lstrip("_")]
        setattr(owner, item.name, tuple(value) if isinstance(value, list) else value)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
