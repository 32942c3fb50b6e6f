"""Analyst: the loop of the process that analyses what workers have counted."""

from collections.abc import Sequence

from streamgauge.errors import StreamgaugeError
from streamgauge.io.kafka.attended import Still
from streamgauge.io.kafka.reader import ANSWER_S
from streamgauge.runner.checkpoints import Begun
from streamgauge.runner.loop import BACKLOG, Loop
from streamgauge.runner.plan import Plan
from streamgauge.runner.stores import Offsets, Partition
from streamgauge.runner.work import Work
from streamgauge.runner.workers.analysis import Analysis


class Analyst(Loop):
    """Runs one replica of the process that analyses; as in `Loop`, others stand by.

    It reads the partials topic alone. What it begins with without any state are all partials that
    there are, or, where the state is discarded, those that come from now on.
    """

    _events: Sequence[Partition] = ()

    def _inputs(self, patience: float = ANSWER_S) -> tuple[list[Partition], bool]:
        self._events, labelled = super()._inputs(patience)
        topic = self._config.partials_topic
        partitions = self._reader.partitions_of((topic,), patience)
        if len(partitions) != 1:
            raise StreamgaugeError(
                f"kafka: topic {topic} has {len(partitions)} partitions, but what comes after what"
                " is told by a single one; delete it, and run `streamgauge check --create -c FILE`"
            )
        return partitions, labelled

    @property
    def _keeps_stores(self) -> bool:
        return False  # those are the workers'

    def _new_work(self, plan: Plan) -> Work:
        return Analysis(plan, self._spill)

    def _assign(self, pipeline: Work, partitions: Sequence[Partition]) -> None:  # noqa: ARG002
        super()._assign(pipeline, self._events)

    def _read_state(self, partitions: list[Partition], still: Still) -> Begun:
        begun = super()._read_state(partitions, still)
        if self._discard:
            return Begun(None, {})
        if not begun.positions.keys() >= set(partitions):
            # The state is that of one process that did everything until now.
            return Begun(begun.kept, self._membership.committed(partitions))
        return begun

    def _check_state(self, begun: Begun) -> None:
        """Take over any state: that of one process is complete up to where workers begin."""

    def _start_reading(self, partitions: list[Partition], offsets: Offsets) -> None:
        self._reader.start(partitions, offsets, from_beginning=not self._discard)

    @property
    def _has_backlog(self) -> bool:
        """Whether there is much to read, here or where events are counted.

        Snapshots are made seldom then: time is better spent on what is left.
        """
        work = self._pipeline
        return super()._has_backlog or (isinstance(work, Analysis) and work.left >= BACKLOG)

    def _look_for_partitions(self, pipeline: Work) -> None:
        super()._look_for_partitions(pipeline)
        self._assign(pipeline, ())
