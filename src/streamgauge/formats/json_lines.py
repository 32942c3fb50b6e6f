"""JSON that people can read and compare: every innermost list or object on a line of its own."""

from typing import Final

import numpy as np
import orjson

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
_INDENT: Final = "  "


def dumps(value: object) -> bytes:
    """Return a value as indented JSON.

    Objects and lists that hold others are spread over lines; those that do not, 1-D numpy arrays
    among them, take one line each. Infinite numbers become null; finite ones are written so that
    reading them gives the same number again.
    """
    parts: list[bytes] = []
    _write(value, "\n", parts)
    parts.append(b"\n")
    return b"".join(parts)


def _write(value: object, margin: str, parts: list[bytes]) -> None:
    inner = margin + _INDENT
    if isinstance(value, dict) and any(map(_holds_others, value.values())):
        for i, (key, child) in enumerate(value.items()):
            parts += [b"," if i else b"{", inner.encode(), orjson.dumps(key), b": "]
            _write(child, inner, parts)
        parts += [margin.encode(), b"}"]
    elif isinstance(value, list) and any(map(_holds_others, value)):
        for i, child in enumerate(value):
            parts += [b"," if i else b"[", inner.encode()]
            _write(child, inner, parts)
        parts += [margin.encode(), b"]"]
    else:
        parts.append(orjson.dumps(value, option=_OPTIONS))


def _holds_others(value: object) -> bool:
    return isinstance(value, dict | list | np.ndarray)
