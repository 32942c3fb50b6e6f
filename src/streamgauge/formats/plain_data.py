"""Plain data as bytes and back, exactly: the body of state records.

Everything but arrays is MessagePack. Arrays stand beside it as raw little-endian bytes with dtype
and shape, each by itself: integers are stored byte plane by byte plane, which deflates smaller
and faster, and what a sample shows not to shrink (most sums of values) is left as it is, since
trying would cost most of the time.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final, NoReturn

import msgspec
import numpy as np
import numpy.typing as npt

from streamgauge.core.state import Plain
from streamgauge.deflate import deflated

Array = npt.NDArray[Any]

DEEPEST: Final = 64
"""Levels of lists and dicts that may stand in each other."""
_SAMPLE: Final = 4096
_SHRINKS: Final = 0.85
"""Part of its size that a sample must shrink to for the rest to be tried."""
_ARRAY: Final = 1
"""MessagePack's extension code for the place of an array."""
_KINDS: Final = "biufc"
_LARGEST_ITEM: Final = {"b": 1, "i": 8, "u": 8, "f": 8, "c": 16}
_RAW, _DEFLATED, _PLANES = 0, 1, 2
_SIZE: Final = struct.Struct("<BQ")
_ARRAY_OF: Final = struct.Struct(">BI")
_BYTES_OF: Final = struct.Struct(">BI")
_HEAD: Final = struct.Struct("<cBB")
"""Of an array: kind, bytes an item, number of dimensions; the shape follows."""


class NotPlainError(ValueError):
    """State holds something that would not come back the same; the text says where and what."""


class DamagedError(ValueError):
    """Bytes that `pack` did not make."""


def pack(data: Plain) -> bytes:
    """Return plain data as bytes. Raises NotPlainError where `unpack` would return other data."""
    return b"".join(pieces(data))


def pieces(data: Plain) -> Iterator[bytes]:
    """Yield the bytes that `pack` returns, one array after the other.

    Whoever writes them away as they come never has large data twice.
    """
    _check(data, DEEPEST)
    arrays: list[Array] = []

    def place(array: Array) -> msgspec.msgpack.Ext:
        arrays.append(array)
        return msgspec.msgpack.Ext(_ARRAY, struct.pack("<I", len(arrays) - 1))

    frame = msgspec.msgpack.encode(data, enc_hook=place)
    # A MessagePack array of byte strings; the heads say how long each is.
    yield _ARRAY_OF.pack(0xDD, 1 + len(arrays))
    for body in chain([_squeezed(frame)], map(_array_bytes, arrays)):
        yield _BYTES_OF.pack(0xC6, len(body))
        yield body


def unpack(packed: bytes) -> Plain:
    """Return what was packed; arrays are new and writable. Raises DamagedError for other bytes."""
    try:
        frame, *bodies = msgspec.msgpack.decode(packed, type=list[bytes])
        arrays = [_array(body) for body in bodies]

        def at(code: int, place: memoryview) -> Array:
            if code != _ARRAY:
                raise DamagedError(f"extension {code} is not known")
            index: int = struct.unpack("<I", place)[0]
            return arrays[index]

        return msgspec.msgpack.decode(_loosened(frame), ext_hook=at)
    except (
        msgspec.DecodeError,
        struct.error,
        zlib.error,
        ValueError,
        IndexError,
        TypeError,
    ) as error:
        raise DamagedError(f"is no packed plain data: {error}") from error


def _check(value: Plain, levels: int) -> None:
    kind = type(value)
    if kind is float or kind is bool or value is None or kind is bytes:
        return
    if kind is int:
        if not -(2**63) <= value < 2**64:
            _refuse("an integer beyond 64 bits; keep it as text")
    elif kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            _refuse("text with a lone surrogate; keep it as bytes")
    elif kind is list or kind is dict:
        if levels == 0:
            _refuse(f"more than {DEEPEST} levels deep; keep it flatter")
        _check_items(value, levels - 1)
    elif kind is np.ndarray:
        letter = value.dtype.kind
        if letter not in _KINDS or value.dtype.itemsize > _LARGEST_ITEM[letter]:
            _refuse(f"an array of {value.dtype}; only numbers of up to 64 bits are kept")
    else:
        _refuse(f"a {kind.__module__}.{kind.__qualname__}, which is not plain data")


def _check_items(values: Any, levels: int) -> None:
    items = values.items() if type(values) is dict else enumerate(values)
    for name, item in items:
        if type(values) is dict:
            if type(name) is not str:
                _refuse(f"the key {name!r}, which is not text")
            _check(name, 0)
        try:
            _check(item, levels)
        except NotPlainError as error:
            place, _, what = str(error).partition(" holds ")
            raise NotPlainError(f"[{name!r}]{place} holds {what}") from None


def _refuse(what: str) -> NoReturn:
    raise NotPlainError(f" holds {what}")


def _array_bytes(array: Array) -> bytes:
    dtype = array.dtype
    head = _HEAD.pack(dtype.kind.encode(), dtype.itemsize, array.ndim)
    shape = struct.pack(f"<{array.ndim}Q", *array.shape)
    return head + shape + _planes(np.asarray(array, dtype.newbyteorder("<")))


def _planes(array: Array) -> bytes:
    raw = array.tobytes()
    if array.dtype.kind not in "iu" or array.dtype.itemsize == 1:
        return _squeezed(raw)
    turned = np.frombuffer(raw, np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()
    return _squeezed(turned, planes=raw)


def _squeezed(body: bytes, planes: bytes | None = None) -> bytes:
    """Return bytes, smaller where that is worth it; `planes` is what to keep where it is not."""
    plain = body if planes is None else planes
    code = _DEFLATED if planes is None else _PLANES
    if len(body) > 4 * _SAMPLE:
        step = len(body) // 4
        sample = b"".join(body[i * step : i * step + _SAMPLE // 4] for i in range(4))
        if len(deflated(sample)) > _SHRINKS * len(sample):
            return _SIZE.pack(_RAW, len(plain)) + plain
    small = deflated(body)
    if len(small) >= len(plain):
        return _SIZE.pack(_RAW, len(plain)) + plain
    return _SIZE.pack(code, len(plain)) + small


def _loosened(body: bytes, itemsize: int = 1) -> bytes:
    code, size = _SIZE.unpack_from(body)
    rest = memoryview(body)[_SIZE.size :]
    if code not in (_RAW, _DEFLATED, _PLANES):
        raise DamagedError(f"packing {code} is not known")
    if code == _RAW:
        plain = bytes(rest)
    else:
        # Never more than was said to be there, so that damage cannot fill the memory.
        opener = zlib.decompressobj()
        plain = opener.decompress(rest, size + 1) if size else b""
    if len(plain) != size:
        raise DamagedError(f"{len(plain)} bytes are there and {size} were kept")
    if code == _PLANES:
        plain = np.frombuffer(plain, np.uint8).reshape(itemsize, -1).T.tobytes()
    return plain


def _array(body: bytes) -> Array:
    kind, itemsize, dimensions = _HEAD.unpack_from(body)
    dtype = np.dtype(f"<{kind.decode('ascii')}{itemsize}")
    shape = struct.unpack_from(f"<{dimensions}Q", body, _HEAD.size)
    raw = _loosened(body[_HEAD.size + 8 * dimensions :], dtype.itemsize)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise DamagedError(f"{len(raw)} bytes are no array {shape} of {dtype}")
    if not raw:
        return np.empty(shape, dtype)
    return np.frombuffer(raw, dtype).reshape(shape).copy()
