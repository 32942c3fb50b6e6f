"""The real loop on a simulated broker: whatever happens, nothing is lost and nothing counted twice.

Processes stop between any two calls to the broker, crash there, are held up and go on, and the
broker refuses, loses answers or is away; after everything that happens the log is recounted. See
`tests.support.simulation`. `STREAMGAUGE_TEST_SIMULATIONS` is how many examples are tried; more than
the default are drawn anew each time.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.simulation import events
from tests.support.simulation.breakages import BREAKAGES, Breakage
from tests.support.simulation.faults import Fault
from tests.support.simulation.machine import Simulation
from tests.support.simulation.world import World

FEW: Final = 12
EXAMPLES: Final = int(os.environ.get("STREAMGAUGE_TEST_SIMULATIONS", str(FEW)))
STEPS: Final = 40
MOST_TO_FIND: Final = 80
"""Examples within which each bug has to show."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    yield made
    made.close()


def budget(examples: int, *, phases: tuple[Phase, ...] = tuple(Phase)) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=EXAMPLES <= FEW and Phase.shrink in phases,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


TestSimulation = Simulation.TestCase
TestSimulation.settings = budget(EXAMPLES)


def fill(world: World, count: int = 20, name: str = "p") -> None:
    for number in range(count):
        world.send(events.prediction(f"{name}{number}", events.T0 + number * 100, number % 6))


def held_up(world: World, call: str) -> None:
    """A process is held up before a call, another takes over, and the first goes on."""
    fill(world, name="before")
    before = world.start(0)
    world.turns(before, 60)
    world.stop(before)
    fill(world)
    first = world.start(0)
    world.run_to(first, call, most=500)
    assert first.at == call
    world.freeze(first)
    world.pass_time(11)
    second = world.start(1)
    world.turns(second, 60)
    assert world.checker.drained()
    fill(world, 10, "after")
    world.thaw(first, 8)
    world.turns(first, 12)
    world.checker.check()
    assert not first.done, "a process ended"
    world.drain()


def hidden(world: World) -> None:
    """A foreign transaction hides a checkpoint from the process that goes on from it."""
    first = world.start(0)
    world.turns(first, 3)
    epoch = world.broker.init("foreign")
    world.broker.produce("foreign", epoch, 45.0, (events.STATE, 0), [(b"x", b"y", [])])
    fill(world)
    world.turns(first, 30)
    assert world.checker.drained()
    world.crash(first)
    world.pass_time(11)
    second = world.start(0)
    world.turns(second, 10)
    world.drain()


def refused(world: World) -> None:
    """The group refuses offsets once, and a process goes on from there later."""
    fill(world)
    first = world.start(0)
    world.faults.plan("offsets", Fault.BROKEN)
    world.turns(first, 60)
    world.crash(first)
    world.drain()


def crashes(world: World) -> None:
    """A process crashes before every call that there is, each time another one."""
    sent = 0
    for call in ("init", "topics", "committed", "ends", "offsets", "commit", "flush", "state"):
        for number in range(30):
            name, time = f"p{sent}", events.T0 + sent * 200
            world.send(events.prediction(name, time, number % 6))
            world.send(events.label(name, time + 100, number % 2, 0))
            world.send(events.bad(events.PREDICTIONS, f"bad{sent}", events.Fate.DECODE))
            sent += 1
        replica = world.start(0)
        world.run_to(replica, call, most=500)
        assert replica.at == call
        world.crash(replica)
        world.pass_time(11)
        world.checker.check()
    world.drain()
    assert len(list(world.broker.logs[events.LETTERS, 0].settled())) == sent
    assert list(world.broker.logs[events.ALERTS, 0].settled())


def torn(world: World) -> None:
    """A process crashes between the writes that belong together."""
    for number, call in enumerate(("produce", "commit", "commit offsets")):
        fill(world, 10, f"p{number}.")
        replica = world.start(0)
        world.run_to(replica, call, most=100)
        world.crash(replica)
        world.pass_time(11)
        world.checker.check()
    world.drain()


SCENARIOS: Final[dict[str, Callable[[World], None]]] = {
    "offsets_before_results": torn,
    "offsets_outside_the_transaction": torn,
    "state_up_to_the_stable_offset": hidden,
    "journal_before_commit": refused,
    "zombie_not_shut_out": lambda world: held_up(world, "produce"),
}
"""What shows bugs that it may take many examples to find."""
SIGNS: Final = r"I\d|dead letters|a process ended|state"


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda each: each.__name__)
def test_a_bug_is_found(breakage: Breakage) -> None:
    if breakage.__name__ in SCENARIOS and EXAMPLES <= FEW:
        pytest.skip("takes many examples: set STREAMGAUGE_TEST_SIMULATIONS")

    class Broken(Simulation):
        pass

    Broken.breakage = staticmethod(breakage)
    with pytest.raises(Exception, match=SIGNS):
        run_state_machine_as_test(
            seed(1)(Broken), settings=budget(MOST_TO_FIND, phases=(Phase.generate,))
        )


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_bug_shows_where_it_matters(name: str) -> None:
    (breakage,) = (each for each in BREAKAGES if each.__name__ == name)
    for broken in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if broken:
                breakage(patch)
            world = World(patch)
            with pytest.raises(Exception, match=SIGNS) if broken else nullcontext():
                SCENARIOS[name](world)
            world.close()


@pytest.mark.parametrize("happened", [True, False])
def test_a_commit_of_unknown_outcome_is_settled_by_the_next_owner(
    world: World, happened: bool
) -> None:
    fill(world)
    replica = world.start(0)
    world.run_to(replica, "commit", most=500)
    fault = Fault.NO_ANSWER if happened else Fault.NO_REQUEST
    world.faults.plan("commit", fault, 1_000)
    world.steps(replica, 1)
    world.crash(replica)
    assert bool(world.broker.ended) is happened
    world.start(0)
    world.drain()


@pytest.mark.parametrize(
    "call", ["ends", "state", "consume", "produce", "offsets", "commit", "flush"]
)
def test_what_was_held_up_while_another_took_over_goes_on_and_stands_by(
    world: World, call: str
) -> None:
    held_up(world, call)


def test_everything_is_counted_through_a_crash_before_every_call(world: World) -> None:
    crashes(world)


def test_markers_of_transactions_at_the_end_of_an_input_are_no_lag(world: World) -> None:
    for number in range(10):
        sent = events.prediction(f"p{number}", events.T0 + number * 1000, 1)
        world.send_together([sent], commit=number < 8)
    replica = world.start(0)
    world.turns(replica, 120)
    world.checker.check()
    ends = {at: world.broker.logs[at].high for at in events.INPUTS}
    assert world.checker.committed() == ends
    # All are read to their ends and quiet, so time stands where the last event was.
    assert world.checker._watermark == events.T0 + 7_000 - 10_000
    world.drain()
