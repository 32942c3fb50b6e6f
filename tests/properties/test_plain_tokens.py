"""Dictionaries that last: poll after poll is read as by a reader that has seen none before."""

import ctypes
import json
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatch_build import SOURCES
from streamgauge.core.batch import Categories, EventBatch, ModelSchema, Task
from streamgauge.formats import plain_tokens
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.messages import RawMessages
from streamgauge.formats.plain_events import LAYOUT, PlainColumns
from streamgauge.formats.plain_predictions import Learned, PlainPredictions
from streamgauge.formats.plain_text import PlainText
from tests.support.compiled import built
from tests.support.native_events import (
    BINARY,
    Event,
    event,
    messages,
    read_back,
    read_faults,
)

SPECIES = ModelSchema(
    "species",
    Task.MULTICLASS,
    numeric=("distance",),
    categorical=("carrier",),
    tags=("region", "desk"),
    classes=("a", "b"),
)
NEVER = "never"
"""Begins what is in refused events alone."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The reader, compiled now."""
    return built(SOURCES["plain_events"], LAYOUT, tmp_path_factory.mktemp("compiled"))


def _written(rng: Random, text: str) -> str:
    """A string in JSON, some of whose characters are escaped."""
    if rng.random() < 0.8:
        return json.dumps(text, ensure_ascii=rng.random() < 0.5)
    return '"' + "".join(f"\\u{ord(c):04x}" if rng.random() < 0.3 else c for c in text) + '"'


def _text(rng: Random, many: int) -> str:
    number = rng.randrange(many)
    return rng.choice(
        ["", "é", "1", "true"] + 9 * [f"{number}", f"airport {number:>9}", f"{number:>7}"]
    )


def _scalar(rng: Random, many: int) -> str:
    number = rng.randrange(many)
    others = ["true", "false", "null", "1", "1.0", f"{number}", f"{number}.5", f"-{number + 1}"]
    return rng.choice(others) if rng.random() < 0.4 else _written(rng, _text(rng, many))


def _message(rng: Random, many: int) -> bytes:
    """An event, of one model or the other, that is taken or not."""
    carrier = rng.choice(["7", "null"]) if rng.random() < 0.1 else _written(rng, _text(rng, many))
    features = {"distance": "#distance", "carrier": "#carrier"}
    values = {
        "distance": rng.choice(["1", "2.5", '"far"']),
        "carrier": carrier,
        "region": _scalar(rng, many),
        "desk": _scalar(rng, many),
        "version": rng.choice(["null", "1", '"1"', f'"v{rng.randrange(many)}"']),
    }
    fields = event(
        features=features, tags={"region": "#region", "desk": "#desk"}, model_version="#version"
    )
    if rng.random() < 0.4:
        p = rng.random()
        fields |= {"model": SPECIES.model, "prediction": "a", "score": {"a": p, "b": 1 - p}}
    if rng.random() < 0.2:
        values |= {name: _written(rng, f"{NEVER} {rng.random()}") for name in values}
        broken: list[tuple[str, object]] = [("latency_ms", -1), ("extra", 1), ("score", 2)]
        broken += [("score", {"a": 0.5, "b": 0.25})]
        fields |= [rng.choice(broken)]
    if rng.random() < 0.3:
        fields = dict(reversed(fields.items()))
    text = json.dumps(fields)
    for name, value in values.items():
        text = text.replace(f'"#{name}"', value)
    return text.encode()


def _read(reader: PlainPredictions, poll: RawMessages) -> tuple[PlainColumns, EventBatch]:
    text = PlainText.of(poll, EventTime())
    found = reader.read(text, np.arange(len(text), dtype=np.int32))
    return found, reader.batch(found, poll)


def _events(batch: EventBatch) -> list[Event]:
    faults = read_faults(batch)
    return [read_back(batch, i, "p1", faults.get(i, {})) for i in range(len(batch))]


def _texts(column: Categories) -> set[str]:
    return {column.values[code] for code in column.codes.tolist() if code >= 0}


def _columns(batch: EventBatch) -> list[Categories]:
    prediction = batch.prediction
    assert isinstance(prediction, Categories)
    return [batch.version, batch.categorical[0], *batch.tags, prediction]


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(0, 80), min_size=1, max_size=8),
    st.sampled_from([3, 40, 5_000]),
    st.sampled_from([(1, 8_192), (2, 16), (64, 64)]),
)
def test_every_poll_is_read_as_if_it_were_the_first(
    compiled: ctypes.CDLL, seed: int, sizes: list[int], many: int, limits: tuple[int, int]
) -> None:
    rng = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_tokens, "_LEAST_ROOM", limits[0])
        patch.setattr(plain_tokens, "MOST_TOKENS", limits[1])
        readers = [PlainPredictions(compiled, schema, EventTime()) for schema in (BINARY, SPECIES)]
        kept: list[tuple[EventBatch, list[Event]]] = []
        seen: dict[tuple[str, int], set[str]] = {}
        for size in sizes:
            poll = messages([_message(rng, many) for _ in range(size)], [b"p1"] * size)
            if rng.random() < 0.1:
                learned = Learned(("trace", f"{size}"))
                for reader in readers:
                    reader.learn(learned)
            for reader in readers:
                found, batch = _read(reader, poll)
                fresh = PlainPredictions(compiled, reader.schema, EventTime())
                expected, as_first = _read(fresh, poll)
                assert found.rows.tolist() == expected.rows.tolist()
                assert found.left.tolist() == expected.left.tolist()
                assert _events(batch) == _events(as_first)
                kept.append((batch, _events(batch)))
                for i, (mine, first) in enumerate(
                    zip(_columns(batch), _columns(as_first), strict=True)
                ):
                    texts = seen.setdefault((reader.schema.model, i), set())
                    texts |= _texts(first)
                    assert set(mine.values) <= texts
                    assert len(set(mine.values)) == len(mine.values)
                    assert not any(text.startswith(NEVER) for text in mine.values)
        # Later polls change nothing of an earlier one.
        assert all(_events(batch) == events for batch, events in kept)
