"""Split roles without Kafka: processes that count, a topic in between, and one that analyses."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamgauge.formats.messages import RawMessages
from streamgauge.runner.plan import Plan
from streamgauge.runner.workers.analysis import Analysis
from streamgauge.runner.workers.counting import Counting, held
from tests.support.flights import NOW, Sent, polled


def partials(values: Sequence[bytes]) -> RawMessages:
    """One poll of the partials topic."""
    count = len(values)
    return RawMessages(
        [*values],
        [b""] * count,
        np.zeros(count, np.int32),
        np.arange(count, dtype=np.int64),
        np.full(count, -1, np.int64),
    )


class Fleet:
    """Some workers that share partitions, and the analysis of what they ship.

    Partition n is read by the worker whose turn it is: `n % workers`.
    """

    def __init__(self, plan: Plan, partitions: int, workers: int) -> None:
        inputs = [("predictions", number) for number in range(partitions)]
        self.analysis = Analysis(plan)
        self.analysis.assign(inputs, NOW)
        self.alerts: list[Any] = []
        self._of = {number: number % workers for number in range(partitions)}
        self._workers: list[Counting] = []
        self._numbers: list[dict[int, int]] = []
        for worker in range(workers):
            tokens = frozenset(n for n in self._of if self._of[n] == worker)
            mine = held(inputs, tokens)
            counting = Counting(plan, f"w{worker}")
            counting.assign(mine, NOW)
            self._workers.append(counting)
            self._numbers.append({number: i for i, (_, number) in enumerate(mine)})

    def count(self, messages: Sequence[tuple[int, Sent]]) -> None:
        """Let every worker take in its share of these messages."""
        for worker, counting in enumerate(self._workers):
            numbers = self._numbers[worker]
            mine = [(numbers[p], sent) for p, sent in messages if p in numbers]
            counting.process(polled(mine), frozenset(), NOW)

    def ship(self, worker: int, now: float = NOW) -> None:
        """Let a worker ship what it has counted, and the analysis take it in."""
        values = [value for _, value in self._workers[worker].ship()]
        assert all(len(value) < 900_000 for value in values)
        self.alerts += self.analysis.process(partials(values), frozenset(), now).alerts

    def finish(self) -> None:
        """Let everybody fall silent, with all partitions read to their end."""
        for worker, counting in enumerate(self._workers):
            self.ship(worker)
            everyone = frozenset(range(len(self._numbers[worker])))
            counting.process(polled([]), everyone, NOW)
        later = NOW + 1_000
        values = [value for counting in self._workers for _, value in counting.ship()]
        self.alerts += self.analysis.process(partials(values), frozenset(), later).alerts
