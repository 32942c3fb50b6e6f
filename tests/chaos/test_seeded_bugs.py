"""The chaos tests are worth something: a monitor with a known bug in it does not pass them."""

import random
import signal
import time

import pytest

from tests.chaos.test_state import restored_beside_a_transaction
from tests.support.chaos_checker import check
from tests.support.chaos_driver import until_active
from tests.support.chaos_forms import Form
from tests.support.chaos_stage import Stage

KILLS = 5


@pytest.fixture(autouse=True)
def _long_form(form: Form) -> None:
    if form.name != "long":
        pytest.skip("it belongs to the long form of chaos (make chaos)")


@pytest.mark.parametrize("bug", ["commit before produce", "offsets outside the transaction"])
def test_a_commit_in_two_steps_is_caught(stage: Stage, bug: str) -> None:
    stream = stage.stream(seed=21, rate=400.0, least=10_000)
    app = stage.app(stream, name="two-steps", bug=bug)
    rng = random.Random(5)
    for _ in range(KILLS):
        replica = app.start()
        until_active(app, replica)
        time.sleep(rng.uniform(0.5, 1.5))
        replica.end(signal.SIGKILL)
        app.inspect()
    app.start()
    found = {violation.invariant for violation in check(app.settle(stream.finish()))}
    assert "I4" in found


def test_a_restore_to_the_last_stable_offset_is_caught(stage: Stage) -> None:
    found = restored_beside_a_transaction(stage, bug="restore to the last stable offset")
    assert {"I1", "I8"} & set(found)
