"""Split roles under kills: workers and the process that analyses, at random, and a recount."""

import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.test_workers import Stage, events, judge
from tests.support.brokers import Broker
from tests.support.chaos_forms import Form
from tests.support.monitors import Monitor

EVENTS = 12_000
KILLS = 12


@pytest.fixture(autouse=True)
def _long_form(form: Form) -> None:
    if form.name != "long":
        pytest.skip("it belongs to the long form of chaos (make chaos)")


def test_kills_at_random_change_no_result(apache_kafka: Broker, tmp_path: Path) -> None:
    stage = Stage(apache_kafka, tmp_path)
    sent = events(EVENTS, 7)
    chance = random.Random(7)
    begins = range(0, EVENTS, EVENTS // (4 * KILLS))
    with ExitStack() as stack:

        def start(role: str) -> Monitor:
            names[role] += 1
            return stack.enter_context(stage.start(f"{role}{names[role]}", "--role", role))

        names = {"analyse": 0, "aggregate": 0}
        analyse = start("analyse")
        workers = [start("aggregate") for _ in range(3)]
        for turn, begin in enumerate(begins):
            stage.send(sent[begin : begin + begins.step])
            time.sleep(0.5 + chance.random() / 2)
            if turn % 4 != 3:
                continue
            if chance.random() < 0.25:
                analyse.process.kill()
                analyse = start("analyse")
            else:
                place = chance.randrange(len(workers))
                workers[place].process.kill()
                workers[place] = start("aggregate")
        judge(stage, analyse, sent, patience=180.0)
        for process in (*workers, analyse):
            assert process.stop() == 0, process.log.read_text()
