"""The property of recovery: a process that goes on from a checkpoint does what the first would.

Streams of a known model with a change that raises alerts and resolves them, late events and times
that are excluded, and of a model whose reference is learned; cut at any poll.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamgauge.runner.pipeline import Pipeline
from tests.support.flights import (
    MONTH,
    NOW,
    SECOND,
    T0,
    arrived,
    flights,
    planned,
    polled,
    reference_of,
    send,
)
from tests.support.restarts import Disk, Step, assert_goes_on, assert_tokens_tell, steps_of
from tests.support.spills import Elsewhere

RNG = np.random.default_rng(11)
REFERENCE = reference_of(flights(RNG, 4_000, -MONTH, 0))
END_S = 400
SIZES = st.lists(st.integers(50, 300), min_size=1, max_size=3)
"""Sizes of polls."""
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""No shrinking: whatever the stream, the first part that differs tells more than a short one."""
CUTS = st.floats(0.0, 1.0)
"""Where a stream is cut."""
MORE: Mapping[str, Any] = {
    "alerts": {
        "budget": "1 per hour",
        "resolve_after": "20s",
        "exclusions": [{"start": "2025-11-24T16:01:00Z", "end": "2025-11-24T16:01:20Z"}],
    },
    "time": {"grace": "40s"},
}


def changed(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Distances of one carrier in another unit for a while."""
    found = []
    for event in events:
        features = dict(event.get("features", {}))
        during = T0 + 80 * SECOND <= event["timestamp"] < T0 + 120 * SECOND
        if (
            during
            and features.get("carrier") == "UA"
            and isinstance(features.get("distance"), float)
        ):
            features["distance"] *= 3
        found.append({**event, "features": features} if features else dict(event))
    return found


def drawn() -> list[dict[str, Any]]:
    """Events of all models, some of them far too late."""
    known = changed(flights(RNG, 1_000, 0, END_S) + flights(RNG, 150, 90, END_S, version="4"))
    learned = flights(RNG, 350, 0, END_S, model="learning")
    return known + learned


EVENTS = drawn()


def late(seed: int, messages: list[Any]) -> list[Any]:
    """Let some messages come much later than the allowed disorder, within the grace and after."""
    rng = np.random.default_rng(seed)
    at = np.arange(len(messages)) + rng.integers(100, 500, len(messages)) * (
        rng.random(len(messages)) < 0.05
    )
    return [messages[i] for i in np.argsort(at, kind="stable").tolist()]


EVERY = cycle([0, 1, 2])
"""Steps of windows live elsewhere in each process, which nothing may depend on."""


def flight_pipeline(disk: Disk) -> Pipeline:
    section = {"traffic": {"tolerance": 0.5}, "labels": {"max_delay": "1m", "coverage": 0.5}}
    plan = planned(REFERENCE, learned={"learning": "1m"}, section=section, **MORE)
    return Pipeline(plan, disk, Elsewhere(next(EVERY)))


@cache
def flight_steps(seed: int, partitions: int, sizes: tuple[int, ...]) -> list[Step]:
    rng = np.random.default_rng(seed)
    steps = steps_of(late(seed, arrived(map(send, EVENTS), partitions, rng)), sizes)
    return [*steps, Step(polled([]), frozenset(range(partitions)), NOW + 1_000)]


@settings(max_examples=5, phases=PHASES)
@given(st.integers(0, 2**32), st.integers(1, 3), SIZES, CUTS, st.integers(1, 6))
def test_a_process_that_goes_on_from_a_checkpoint_does_what_the_first_would(
    seed: int, partitions: int, sizes: list[int], cut: float, every: int
) -> None:
    steps = flight_steps(seed, partitions, tuple(sizes))
    names = [("predictions", p) for p in range(partitions)]
    assert_goes_on(flight_pipeline, names, steps, round(cut * len(steps)), every)


@settings(max_examples=3, phases=PHASES)
@given(st.integers(0, 2**32), SIZES, st.integers(1, 3))
def test_a_part_with_the_same_token_has_the_same_data(
    seed: int, sizes: list[int], every: int
) -> None:
    steps = flight_steps(seed, 1, tuple(sizes))
    assert_tokens_tell(flight_pipeline, [("predictions", 0)], steps, every)
