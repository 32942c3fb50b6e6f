"""Keys of predictions: what they are made of, and that they stay the same."""

import os
import subprocess
import sys
from collections.abc import Iterable
from hashlib import blake2b, shake_256
from uuid import UUID

import numpy as np
import pytest

from streamgauge.core.joining.keys import keys as words
from streamgauge.core.joining.store import KEY_BYTES
from tests.support.stores import octets

pytestmark = pytest.mark.usefixtures("either_way")


def keys(model: str, ids: Iterable[str]) -> list[bytes]:
    """The keys of ids as bytes."""
    return octets(words(model, ids))


MASK = (1 << 64) - 1


def named(model: str) -> bytes:
    name = model.encode()
    return len(name).to_bytes(8, "little") + name


def recounted(model: str, identifier: str) -> bytes:
    """The key of a short id, hashed in Python's integers."""
    data = identifier.encode()
    drawn = shake_256(named(model)).digest(8 * 4 * 18)
    factors = [int.from_bytes(drawn[at : at + 8], "little") for at in range(0, len(drawn), 8)]
    highs = []
    for lane in range(4):
        total = factors[4 * 16 + lane] + len(data) * factors[4 * 17 + lane]
        for word in range(0, len(data), 4):
            total += factors[word + lane] * int.from_bytes(data[word : word + 4], "little")
        highs.append((total & MASK) >> 32)
    halves = b""
    for half in (highs[0] << 32 | highs[1], highs[2] << 32 | highs[3]):
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            half = (half ^ half >> 33) * factor & MASK
        halves += (half ^ half >> 33).to_bytes(8, "little")
    return halves


@pytest.mark.parametrize("model", ["flight-delay", "", "ü"])
def test_a_short_ids_key_is_that_of_a_multilinear_hash(model: str) -> None:
    ids = ["p1", "", "a\nb", "名" * 21, "x" * 64, "p00000001", str(UUID(int=7))]
    assert keys(model, ids) == [recounted(model, identifier) for identifier in ids]
    alike = [f"p{i:08}" for i in range(20)]
    assert keys(model, alike) == [recounted(model, identifier) for identifier in alike]


def test_a_long_ids_key_is_blake2b_over_the_models_name_led_by_its_length_and_the_id() -> None:
    for model, identifier in [("flight-delay", "p" * 65), ("", "x" * 999), ("ü", "名" * 22)]:
        text = named(model) + identifier.encode()
        expected = blake2b(text, digest_size=KEY_BYTES).digest()
        assert keys(model, ["p1", identifier, "p2"])[1] == expected
        assert keys(model, ["p1", identifier, "p2"])[::2] == keys(model, ["p1", "p2"])


def test_ids_that_differ_only_in_zeros_at_the_end_have_different_keys() -> None:
    ids = ["", "\0", "\0\0", "\0" * 4, "\0" * 5, "a", "a\0", "a\0\0\0"]
    assert len(set(keys("m", ids))) == len(ids)


@pytest.mark.parametrize("form", ["p{}", "{:012}", "flight-{:x}-day", "{0}/{0}"])
def test_ids_that_are_counted_up_set_every_bit_of_their_keys_half_the_time(form: str) -> None:
    n = 1 << 16
    found = b"".join(keys("m", [form.format(i) for i in range(n)]))
    octets = np.frombuffer(found, np.uint8).reshape(n, KEY_BYTES)
    bits = np.unpackbits(octets, axis=1).mean(axis=0)
    # Six standard deviations of a fair coin.
    assert np.abs(bits - 0.5).max() < 6 * 0.5 / np.sqrt(n)
    for low in octets[:, 0], octets[:, 8]:
        counts = np.bincount(low, minlength=256)
        assert np.abs(counts - n / 256).max() < 6 * np.sqrt(n / 256)


def test_no_ids_have_no_keys() -> None:
    assert keys("m", []) == []


def test_keys_come_in_the_order_of_the_ids_and_do_not_depend_on_the_others() -> None:
    ids = ["a", "b", "a", "c"]
    assert keys("m", ids) == [keys("m", [identifier])[0] for identifier in ids]


def test_keys_are_the_same_in_another_process() -> None:
    program = (
        "from streamgauge.core.joining.keys import keys;"
        "print(*(key.tobytes().hex() for key in keys('m', ['p1', 'p2'])))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == [key.hex() for key in keys("m", ["p1", "p2"])]


def test_where_the_models_name_ends_and_the_id_begins_matters() -> None:
    assert keys("ab", ["c"]) != keys("a", ["bc"])
    assert keys("m", ["p"]) != keys("n", ["p"])


def test_a_hundred_thousand_ids_have_as_many_keys_of_one_length() -> None:
    found = keys("m", (f"prediction-{i}" for i in range(100_000)))
    assert len(set(found)) == 100_000
    assert {len(key) for key in found} == {KEY_BYTES}


def test_an_id_that_is_no_valid_text_has_a_key_too() -> None:
    assert keys("m", ["\ud800"]) != keys("m", ["\ud801"])
