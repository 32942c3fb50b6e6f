"""Split roles under kills: workers and the process that analyses, at random, and a recount."""

import json
import random
import re
import time
from collections import defaultdict
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.test_workers import Stage, events, judge
from tests.support.brokers import Broker
from tests.support.chaos_forms import Form
from tests.support.monitors import Monitor

EVENTS = 12_000
KILLS = 12
SHIPPED = re.compile(r" (\d+) from (\d+|the start) to (\d+)")


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
        try:
            judge(stage, analyse, sent, patience=180.0)
        finally:
            twice = shipped_twice(tmp_path)
            assert not twice, twice
        for process in (*workers, analyse):
            assert process.stop() == 0, process.log.read_text()


def shipped_twice(folder: Path) -> list[str]:
    """Return which offsets workers have shipped although others had, by what their logs tell."""
    ranges = defaultdict(list)
    for log in folder.glob("aggregate*.log"):
        for line in log.read_text().splitlines():
            # The client writes lines of its own; the last of a killed process may be torn.
            if not (line.startswith("{") and line.endswith("}")):
                continue
            message = json.loads(line)["message"]
            if message.startswith("shipped "):
                for number, begin, end in SHIPPED.findall(message):
                    first = int(begin) if begin.isdigit() else 0
                    ranges[int(number)].append((first, int(end), log.stem))
    return [
        f"partition {number}: {one[2]} to {one[1]}, {other[2]} from {other[0]}"
        for number, found in ranges.items()
        for one, other in pairwise(sorted(found))
        if other[0] < one[1]
    ]
