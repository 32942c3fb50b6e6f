"""The compiled reader: what it takes it reads as Python does, what it leaves leaves no trace."""

import ctypes
import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, localcontext
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hatch_build import SOURCES, compile_library, find_compiler
from streamgauge.core.batch import CodeArray, ModelSchema, Task
from streamgauge.formats.event_time import EventTime, parse_rfc3339
from streamgauge.formats.plain_events import (
    LAYOUT,
    Field,
    Kind,
    PlainColumns,
    PlainReader,
    powers_of_ten,
)
from streamgauge.formats.plain_predictions import Learned, PlainPredictions
from streamgauge.formats.plain_text import PlainText
from tests.support.compiled import built
from tests.support.native_events import BINARY, event, messages

SPECIES = ModelSchema(
    "species", Task.MULTICLASS, numeric=("width",), tags=("region",), classes=("a", "b", "c")
)
PRICE = ModelSchema("price", Task.REGRESSION, numeric=("distance",))
MANY = 20_000


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The reader, compiled now."""
    return built(SOURCES["plain_events"], LAYOUT, tmp_path_factory.mktemp("compiled"))


def _all(text: PlainText) -> CodeArray:
    return np.arange(len(text), dtype=np.int32)


def _read(
    compiled: ctypes.CDLL,
    schema: ModelSchema,
    events: Sequence[Any],
    learned: Learned | None = None,
) -> PlainColumns:
    poll = messages(events)
    reader = PlainPredictions(compiled, schema, EventTime())
    reader.learn(learned or Learned())
    text = PlainText.of(poll, EventTime())
    return reader.read(text, _all(text))


def _read_numbers(compiled: ctypes.CDLL, texts: Sequence[str]) -> dict[str, float]:
    """What the texts that are taken were read as."""
    fields = [Field("prediction_id", Kind.IDENTITY), Field("x", Kind.NUMBER, required=True)]
    reader = PlainReader(compiled, "m", fields, EventTime())
    poll = messages([b'{"prediction_id":"p1","x":%s}' % text.encode() for text in texts])
    text = PlainText.of(poll, EventTime())
    found = reader.read(text, _all(text))
    return dict(zip([texts[row] for row in found.rows], found.numbers[0].tolist(), strict=True))


def _any_bits(rng: random.Random) -> Iterator[str]:
    while True:
        (value,) = struct.unpack("d", rng.randbytes(8))
        if value - value == 0:
            yield repr(value)


def _half_way(rng: random.Random) -> Iterator[str]:
    """Decimals of at most 19 digits in the middle between two doubles, and next to it."""
    while True:
        odd = rng.getrandbits(53) << 1 | 1 << 53 | 1
        with localcontext(prec=60):
            middle = Decimal(odd) * Decimal(2) ** rng.randint(-2, 6)
            yield f"{middle + rng.choice([0, 0, 1, -1]):f}"


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda rng: repr(rng.gauss(0, 1) * 10 ** rng.randint(-9, 9)), id="usual"),
        pytest.param(lambda rng: repr(round(rng.gauss(0, 1e4), rng.randint(0, 6))), id="rounded"),
        pytest.param(lambda rng: f"{rng.gauss(0, 1e3):.{rng.randint(0, 7)}f}", id="short"),
        pytest.param(lambda rng: next(_any_bits(rng)), id="any bits"),
        pytest.param(lambda rng: next(_half_way(rng)), id="half way"),
        pytest.param(lambda rng: f"{rng.getrandbits(60)}e{rng.randint(-345, 312)}", id="powers"),
        pytest.param(lambda rng: f"0.{'0' * rng.randint(0, 30)}{rng.getrandbits(50)}", id="zeros"),
    ],
)
def test_numbers_are_the_nearest_doubles(compiled: ctypes.CDLL, draw: Any) -> None:
    rng = random.Random(11)
    texts = [draw(rng) for _ in range(MANY)]
    found = _read_numbers(compiled, texts)
    assert {text: struct.pack("d", value) for text, value in found.items()} == {
        text: struct.pack("d", float(text)) for text in found
    }
    assert len(found) > 0.85 * len(set(texts))


def test_all_short_numbers_of_some_characters_are_read_as_by_json(compiled: ctypes.CDLL) -> None:
    texts = ["".join(some) for n in range(1, 7) for some in product("019.-e", repeat=n)]
    expected = {text: float(text) for text in texts if _is_number(text)}
    found = _read_numbers(compiled, texts)
    assert expected.items() >= found.items()
    # What is not surely a normal number is left: an integer -0, and what is too large or too small.
    left = [float(text) for text in expected.keys() - found.keys()]
    assert all(value == 0 or abs(value) < 1e-300 or abs(value) > 1e300 for value in left)
    assert "-0" not in found
    assert struct.pack("d", found["-0.0"]) == struct.pack("d", -0.0)
    assert len(found) > 2_000


def _is_number(text: str) -> bool:
    try:
        return isinstance(json.loads(text), int | float)
    except ValueError:
        return False


def test_numbers_that_json_does_not_know_are_left(compiled: ctypes.CDLL) -> None:
    texts = ["01", "+1", ".5", "1.", "1e", "1e+", "-", "--1", "0x1", "NaN", "Infinity", "-Infinity"]
    texts += ["1e999", "-1e400", "1_0", "1 2", "1,", "", "1.5.2", "1e5e5", "00", "-01", "1e1.5"]
    assert _read_numbers(compiled, texts) == {}


def test_what_is_no_utf_8_is_left(compiled: ctypes.CDLL) -> None:
    rng = random.Random(7)
    edges = "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
    bad = [
        *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xef"),
        *(b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"\xc3"),
    ]
    texts = []
    for _ in range(MANY):
        parts = [rng.choice(edges).encode() for _ in range(rng.randrange(4))]
        if rng.random() < 0.5:
            parts.insert(rng.randrange(len(parts) + 1), rng.choice(bad))
        if rng.random() < 0.2:
            parts.append(rng.randbytes(2).translate(None, b'"\\' + bytes(range(32))))
        parts.insert(0, b"a" * rng.randrange(9))
        texts.append(b"".join(parts))
    fields = [Field("prediction_id", Kind.IDENTITY), Field("x", Kind.TAG)]
    reader = PlainReader(compiled, "m", fields, EventTime())
    text = PlainText.of(
        messages([b'{"prediction_id":"p1","x":"%s"}' % t for t in texts]), EventTime()
    )
    found = reader.read(text, _all(text))
    good = [place for place, each in enumerate(texts) if _decodes(each)]
    assert found.rows.tolist() == good
    assert MANY // 4 < len(good) < 3 * MANY // 4


def _decodes(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_powers_of_ten_are_the_first_bits_of_the_powers() -> None:
    powers = powers_of_ten().tolist()
    assert len(powers) == 651
    for exponent, (high, low) in enumerate(powers, -342):
        bits = high << 64 | low
        assert bits >> 127 == 1
        with localcontext(prec=400):
            exact = Decimal(10) ** exponent
            ratio = exact / bits
            assert abs(ratio / Decimal(2) ** round(ratio.log10() / Decimal(2).log10()) - 1) < 2e-38


def _date_times(rng: random.Random) -> Iterable[str]:
    for _ in range(MANY):
        parts = [rng.randint(0, 9999), rng.randint(0, 13), rng.randint(0, 32)]
        if rng.random() < 0.8:
            parts = [rng.randint(1999, 2101), rng.randint(1, 12), rng.randint(1, 31)]
        clock = [rng.randint(0, 24), rng.randint(0, 60), rng.randint(0, 61)]
        fraction = rng.choice(["", ".", f".{rng.getrandbits(rng.randint(1, 40))}", ",5"])
        zone = rng.choice(
            ["Z", "z", "", "+00:00", f"-{clock[0]:02}:{clock[1]:02}", "+1:00", "+0100"]
        )
        date = "-".join(f"{part:02}" for part in parts).rjust(10, "0")
        time = ":".join(f"{part:02}" for part in clock)
        yield f"{date}{rng.choice('TTTTTt ')}{time}{fraction}{zone}"


def test_date_times_are_read_as_by_the_rules_or_left(compiled: ctypes.CDLL) -> None:
    texts = list(_date_times(random.Random(5)))
    events = [event(timestamp=text) for text in texts]
    poll = messages(events, broker_timestamp=-1)
    reader = PlainPredictions(compiled, BINARY, EventTime())
    text = PlainText.of(poll, EventTime())
    found = reader.read(text, _all(text))
    times = found.times.tolist()
    assert times == [parse_rfc3339(texts[row]) for row in found.rows]
    plain = [text for text in texts if text == text.upper() and ":60" not in text]
    possible = [t for t in map(parse_rfc3339, plain) if t and EventTime().possible(t, -1)]
    assert times == possible
    assert len(times) > 1_000


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (BINARY, {}),
        (BINARY, {"status": None, "latency_ms": None, "tags": None, "score": None}),
        (BINARY, {"tags": {"region": 7, "desk": 0.5}, "model_version": 12, "prediction": "é\n"}),
        (BINARY, {"features": {"distance": "far", "carrier": [1, {"a": []}], "holiday": 0}}),
        (SPECIES, {"score": {"c": 0.5, "a": 0.25, "b": 0.25}, "prediction": "a", "features": {}}),
        (SPECIES, {"score": None, "prediction": "other", "features": {"width": 1}}),
        (PRICE, {"prediction": -3.5e-7, "features": {"distance": 1}, "tags": {}}),
    ],
)
def test_plain_events_are_taken(
    compiled: ctypes.CDLL, schema: ModelSchema, fields: dict[str, Any]
) -> None:
    plain = event(model=schema.model) | fields
    reordered = dict(reversed(plain.items()))
    ways = [
        json.dumps(plain),
        json.dumps(reordered, indent=1),
        json.dumps(plain, separators=(",", ":")),
    ]
    found = _read(compiled, schema, [way.encode() for way in ways])
    assert found.rows.tolist() == [0, 1, 2]
    assert not len(found.left)


def test_learned_names_are_taken_and_counted(compiled: ctypes.CDLL) -> None:
    features = event()["features"] | {"extra": {"a": [1, "x", None, True, {"b": {}}]}}
    sent = [event(trace=["ü", -1.5e3], features=features, tags={"zone": 4, "desk": "d"})] * 2
    assert not len(_read(compiled, BINARY, sent).rows)
    found = _read(compiled, BINARY, sent, Learned(("trace",), ("extra",), ("zone",)))
    assert found.rows.tolist() == [0, 1]
    assert found.unknown == 4


def test_what_is_left_leaves_no_value_in_a_column(compiled: ctypes.CDLL) -> None:
    good = event(tags={"region": "eu", "desk": "a"})
    broken = event(tags={"region": "never", "desk": "b"}, prediction="zz", latency_ms=-1)
    found = _read(compiled, BINARY, [broken, good, broken, broken, good])
    assert found.rows.tolist() == [1, 4]
    assert found.left.tolist() == [0, 2, 3]
    poll = messages([good] * 5)
    batch = PlainPredictions(compiled, BINARY, EventTime()).batch(found, poll)
    assert [column.values for column in batch.tags] == [("eu",), ("a",)]
    assert batch.prediction.values == ("1",)  # type: ignore[union-attr]


def test_many_values_of_one_column_are_told_apart(compiled: ctypes.CDLL) -> None:
    names = [f"r{number}" for number in np.random.default_rng(1).integers(0, 9_000, 10_000)]
    names[:4] = ["1", "\\u0031", "r\u00e9", "r\\u00e9"]
    values = [
        json.dumps(event(tags={"region": "@"}), ensure_ascii=False).replace("@", name).encode()
        for name in names
    ]
    poll = messages(values, [b"p1"] * len(values))
    reader = PlainPredictions(compiled, BINARY, EventTime())
    text = PlainText.of(poll, EventTime())
    found = reader.read(text, _all(text))
    region = reader.batch(found, poll).tags[0]
    expected = [json.loads(f'"{name}"') for name in names]
    assert [region.values[code] for code in region.codes] == expected
    assert len(set(region.values)) == len(region.values) == len(set(expected))


def test_broken_messages_lead_the_reader_nowhere_beyond_its_memory(tmp_path: Path) -> None:
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("needs a C compiler")
    asked = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    sanitizer = Path(asked.stdout.strip())
    watched = tmp_path / "watched.so"
    flags = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    problem = compile_library(SOURCES["plain_events"], watched, *flags)
    if not sanitizer.is_absolute() or problem is not None:
        pytest.skip("needs the address sanitizer of the C compiler")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.plain_fuzz", str(watched), "20000"],
        env=os.environ | {"LD_PRELOAD": str(sanitizer), "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert 500 < int(done.stdout) < 10_000
