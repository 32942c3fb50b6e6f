"""Keys of predictions: what they are made of, and that they stay the same."""

import os
import subprocess
import sys
from hashlib import blake2b

from streamgauge.core.joining.keys import keys
from streamgauge.core.joining.store import KEY_BYTES


def test_a_key_is_blake2b_over_the_models_name_led_by_its_length_and_the_id() -> None:
    for model, identifier in [("flight-delay", "p1"), ("", ""), ("ü", "名" * 300), ("m", "a\nb")]:
        name = model.encode()
        text = len(name).to_bytes(8, "little") + name + identifier.encode()
        assert keys(model, [identifier]) == [blake2b(text, digest_size=KEY_BYTES).digest()]


def test_no_ids_have_no_keys() -> None:
    assert keys("m", []) == []


def test_keys_come_in_the_order_of_the_ids_and_do_not_depend_on_the_others() -> None:
    ids = ["a", "b", "a", "c"]
    assert keys("m", ids) == [keys("m", [identifier])[0] for identifier in ids]


def test_keys_are_the_same_in_another_process() -> None:
    program = (
        "from streamgauge.core.joining.keys import keys;"
        "print(*(key.hex() for key in keys('m', ['p1', 'p2'])))"
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
