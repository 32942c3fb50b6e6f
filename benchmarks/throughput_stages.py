"""Where the processor's time goes: the loop's steps in this process, each with a counter."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import streamgauge.formats.arrow_rows as arrow_rows
import streamgauge.runner.intake as intake_module
from benchmarks.throughput_stream import Filled
from streamgauge.cli.run import look_seldom_for_garbage
from streamgauge.clock import SystemClock
from streamgauge.config import load
from streamgauge.core.aggregate import Aggregator
from streamgauge.core.engine import ModelEngine
from streamgauge.core.joining.joiner import Joiner
from streamgauge.core.outcomes.stream import OutcomeStream
from streamgauge.formats.labels import LabelDecoder
from streamgauge.formats.predictions import PredictionDecoder
from streamgauge.formats.state_journal import StateJournal
from streamgauge.formats.state_manifest import Position
from streamgauge.io.kafka.reader import Reader
from streamgauge.io.metrics.exposition import Renderer
from streamgauge.runner.loop import BATCH
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.plan import plan, render_limits
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.stores import DiskStores, MemoryStores

CHECKPOINT_S: Final = 5.0
_STAGES: Final = (
    (Reader, "poll", "read"),
    (PredictionDecoder, "decode", "decode"),
    (arrow_rows, "read_frame", "decode"),
    (arrow_rows, "_decoded", "decode"),
    (LabelDecoder, "decode", "decode"),
    (intake_module, "keys", "keys"),
    (Aggregator, "aggregate", "aggregate"),
    (ModelEngine, "merge", "merge"),
    (ModelEngine, "advance", "close and analyse"),
    (Joiner, "predictions", "join"),
    (Joiner, "labels", "join"),
    (OutcomeStream, "predict", "outcomes"),
    (OutcomeStream, "join", "outcomes"),
    (Pipeline, "flush", "join store's flush"),
    (Pipeline, "snapshot", "snapshot"),
    (Renderer, "render", "render"),
)


@dataclass(slots=True)
class Counters:
    """Seconds of this thread's processor time by stage, of each without the stages inside it."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _inner: list[float] = field(default_factory=lambda: [0.0])

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside."""
        self._inner.append(0.0)
        began = time.thread_time()
        try:
            yield
        finally:
            took = time.thread_time() - began
            self.seconds[name] += took - self._inner.pop()
            self._inner[-1] += took

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that is counted."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return call(*args, **kwargs)

        return wrapper

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Count the stages of everything in this process."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in _STAGES]
        for owner, name, stage in _STAGES:
            setattr(owner, name, self.counted(stage, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, call in before:
                setattr(owner, name, call)


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds by stage; `checkpoints` have each its seconds and its bytes of state."""

    seconds: dict[str, float]
    client_seconds: float
    """Processor time of other threads: those of the Kafka client and of the join store."""
    wall_seconds: float
    checkpoints: tuple[tuple[float, int], ...]


def staged(config: Path, filled: Filled) -> Stages:
    """Take in all messages as the loop does, but for its group and its transactions."""
    settings = load(config)
    counters = Counters()
    found: list[tuple[float, int]] = []
    reader = Reader(settings.kafka.client_settings(), settings.group_id, "benchmark")
    clock = SystemClock()
    publisher = Publisher(clock, render_limits(settings))
    planned = plan(settings, config)
    folder = planned.join_folder
    pipeline = Pipeline(planned, MemoryStores() if folder is None else DiskStores(folder))
    journal = StateJournal(settings.app)
    partitions = filled.partitions
    pipeline.assign(partitions, clock.monotonic())
    reader.start(partitions, {}, from_beginning=True)
    pipeline.resume({}, {})
    look_seldom_for_garbage()
    with counters.installed():
        began, cpu = time.perf_counter(), time.process_time()
        with counters.stage("the rest"):
            due = clock.monotonic() + CHECKPOINT_S
            drained: set[int] = set()
            while len(drained) < len(partitions):
                poll = reader.poll(BATCH)
                drained |= poll.drained
                now, behind = clock.monotonic(), reader.behind()
                pipeline.process(poll.messages, poll.drained - behind, now, behind)
                reader.pause(pipeline.ahead())
                if now >= due or len(drained) == len(partitions):
                    found.append(_checkpoint(counters, journal, pipeline, reader))
                    due = clock.monotonic() + CHECKPOINT_S
                if publisher.snapshot_due():
                    first = publisher.snapshot() is None
                    publisher.publish(pipeline)
                    if first:  # it simulates what all later ones look up
                        took = counters.seconds.pop("snapshot") + counters.seconds.pop(
                            "render", 0.0
                        )
                        counters.seconds["first snapshot"] = took
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    reader.close()
    pipeline.close()
    assert pipeline.counts.accepted == filled.stream.messages, pipeline.counts
    return Stages(dict(counters.seconds), cpu - sum(counters.seconds.values()), wall, tuple(found))


def _checkpoint(
    counters: Counters, journal: StateJournal, pipeline: Pipeline, reader: Reader
) -> tuple[float, int]:
    began = time.thread_time()
    with counters.stage("state"):
        offsets = dict(reader.positions)
        floors = pipeline.checkpoint(offsets)
        positions = {p: Position(offset, floors[p]) for p, offset in offsets.items()}
        changes = journal.changes(pipeline.parts(), positions)
        journal.committed()
        pipeline.flush(offsets)
    return time.thread_time() - began, changes.nbytes
