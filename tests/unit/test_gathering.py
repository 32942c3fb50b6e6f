"""Batches that are put together hold the same events in their order."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.batch import EventBatch, ModelSchema, Task
from streamgauge.core.concatenation import concatenated
from streamgauge.formats.native import NativeDecoder
from streamgauge.runner.gathering import LARGE, Gathering
from tests.support.native_events import BINARY, event, messages, read_back, read_faults

OPEN = ModelSchema("flight-delay", Task.REGRESSION, ("distance",), ("carrier",), (), ("region",))
ODD = [1400.0, "far", None, 7]


def decoded(schema: ModelSchema, events: list[dict[str, Any]]) -> tuple[EventBatch, list[str]]:
    found = NativeDecoder([schema]).decode(messages(events))
    assert not found.rejected
    return found.batches[0], list(found.ids[0])


def read(batch: EventBatch, ids: list[str]) -> list[Any]:
    faults = read_faults(batch)
    found = [read_back(batch, i, name, faults.get(i, {})) for i, name in enumerate(ids)]
    assert len(found) == len(batch)
    return found


def some(number: int, carrier: str | None, odd: Any, version: int) -> dict[str, Any]:
    features = {"distance": odd, "carrier": carrier, "holiday": number % 2 == 0}
    return event(prediction_id=f"p{number}", features=features, model_version=version)


DRAWN = st.tuples(
    st.sampled_from(["UA", "AA", "DL", None]), st.sampled_from(ODD), st.integers(1, 3)
)


@settings(max_examples=60)
@given(
    st.sampled_from([BINARY, OPEN]),
    st.lists(st.lists(DRAWN, min_size=1, max_size=4), min_size=1, max_size=5),
)
def test_joined_batches_read_like_one_after_the_other(
    schema: ModelSchema, parts: list[list[tuple[Any, Any, int]]]
) -> None:
    numbers = iter(range(100))
    found = [decoded(schema, [some(next(numbers), *each) for each in part]) for part in parts]
    whole = concatenated([batch for batch, _ in found])
    expected = [each for batch, ids in found for each in read(batch, ids)]
    assert read(whole, [name for _, ids in found for name in ids]) == expected
    for column in (*whole.categorical, *whole.tags, whole.version):
        assert column.codes.dtype == np.int32
        assert len(set(column.values)) == len(column.values)
    assert whole.numeric.dtype == np.float64
    assert whole.faults.row.dtype == np.int32


def test_a_batch_alone_is_not_copied() -> None:
    batch, _ = decoded(BINARY, [event()])
    assert concatenated([batch]) is batch


@pytest.mark.parametrize("size", [LARGE // 2, LARGE // 3])
def test_batches_wait_until_they_are_large_or_released(size: int) -> None:
    taken: list[tuple[int, list[str]]] = []
    gathering = Gathering(lambda batch, ids: taken.append((len(batch), list(ids))))
    batch, _ = decoded(BINARY, [event()])
    many = concatenated([batch] * size)
    turns = -(-LARGE // size)
    for turn in range(turns):
        assert not taken
        gathering.take(many, [str(turn)])
    assert taken == [(turns * size, [str(turn) for turn in range(turns)])]
    gathering.take(batch, ["last"])
    gathering.release()
    gathering.release()
    assert taken[1:] == [(1, ["last"])]
