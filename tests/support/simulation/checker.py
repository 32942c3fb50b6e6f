"""Checker: what was committed, held against a recount of the log.

Two recounts: of every message's fate, which needs nothing of the product, and of everything else by
one pipeline that nothing ever interrupts, which gets exactly the polls that became committed. It is
told where another process took over, for there all partitions count as just seen; the state that
stands in the topic must equal its own, bit by bit, and so must the alerts.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.formats.messages import RawMessages
from streamgauge.formats.state_manifest import Position
from streamgauge.formats.state_restore import restore
from streamgauge.io.kafka.errors import BrokerError
from streamgauge.runner.dead_letters import PREFIX
from streamgauge.runner.pipeline import Pipeline
from streamgauge.runner.stores import MemoryStores
from tests.support.kept import data_of, difference
from tests.support.label_checks import assert_identities, join_counts
from tests.support.restarts import plain
from tests.support.simulation import events
from tests.support.simulation.broker import Broker, Partition, Transaction
from tests.support.simulation.events import Fate, Sent
from tests.support.simulation.replica import Replica


@dataclass(frozen=True)
class Began:
    """A pipeline begins to read partitions."""

    partitions: tuple[Partition, ...]
    now: float


@dataclass(frozen=True)
class Took:
    """A pipeline takes in a poll."""

    messages: RawMessages
    rest: tuple[Any, ...]


Alert = tuple[str, int, str]
INDEX = f"model/{events.MODEL}/index"
JOINER = f"model/{events.MODEL}/outcomes/joiner"


def _depends(key: str) -> bool:
    """Tell whether a part is written otherwise for when it was asked for: a snapshot and what came.

    What it says shows in the alerts, and in the figures at the end. The index lists such parts too.
    """
    return "/detection/" in key or key == INDEX


class Checker:
    """Holds the recounts; `check` after anything that may have changed the log."""

    def __init__(self, broker: Broker) -> None:
        self.sent: dict[Partition, dict[int, Sent]] = {p: {} for p in events.INPUTS}
        self.checks = 0
        self.rebuilt = False
        """Whether any store was behind what was counted."""
        self._broker = broker
        self._pipeline = Pipeline(events.planned(), MemoryStores())
        self._done: dict[int, int] = {}
        """How far each life's notes are taken in, by identity."""
        self._lives: list[object] = []
        self._alerts: list[Alert] = []
        self._checked = 0
        self._generation: Any = None
        self._watermark: int | None = None
        self._begun = False

    # Ends of processes.

    def ended_badly(self, replica: Replica) -> None:
        """Judge an error that a process ended with: only the broker's refusals excuse one."""
        error = replica.error
        assert error is not None
        if not (isinstance(error, BrokerError) and replica.troubled):
            raise AssertionError(f"a process ended: {error!r}") from error

    def ended_well(self, replica: Replica) -> None:
        """I7: a process that was stopped leaves no transaction open."""
        name = f"streamgauge.{events.APP}"
        coordinator = self._broker.coordinators.get(name)
        left = None if coordinator is None else coordinator.transaction
        assert left is None or left.epoch != replica.epoch, "I7: a transaction was left open"

    # Invariants.

    def committed(self) -> dict[Partition, int]:
        """Return the group's offsets."""
        return {p: kept.offset for p, kept in self._broker.offsets.items()}

    def drained(self) -> bool:
        """I10: whether everything that was sent is counted."""
        offsets = self.committed()
        return all(
            offsets.get(at, 0) >= max(sent, default=-1) + 1 for at, sent in self.sent.items()
        )

    def check(self) -> None:
        """Check all invariants, if anything was committed since the last time."""
        offsets = self.committed()
        new = self._broker.ended[self._checked :]
        state = {r.key: (r.offset, r.value) for r in self._state()}
        records = {k: (o, v) for k, (o, v) in state.items() if k is not None and v is not None}
        restored = restore(records, events.APP)
        if restored is None:
            assert not offsets, "offsets are committed, and no state"
            return
        self._assert_positions(restored.manifest.positions)
        if not new:
            return
        self.checks += 1
        self._checked = len(self._broker.ended)
        generation = restored.manifest.generation
        assert self._generation is None or generation > self._generation, "I8"
        self._generation = generation
        self._assert_fates(offsets, restored.kept["counts"])
        self._assert_letters(offsets)
        for transaction in new:
            self._follow(transaction)
        self._assert_alerts()
        self._assert_state(restored.kept)
        self._assert_join(offsets)

    def _state(self) -> list[Any]:
        return list(self._broker.logs[events.STATE, 0].settled())

    def _assert_positions(self, positions: Any) -> None:
        """I4: the state's offsets and floors are the group's."""
        kept = {
            at: Position(found.offset, int(found.metadata.removeprefix("floor=")))
            for at, found in self._broker.offsets.items()
        }
        assert positions == kept, f"I4: {positions} in the state, {kept} in the group"

    def _assert_fates(self, offsets: dict[Partition, int], counts: Any) -> None:
        """I1: what was read is accepted, refused, unknown or nothing."""
        fates: Counter[Fate] = Counter()
        labels = 0
        for (topic, p), messages in self.sent.items():
            mine = [s for at, s in messages.items() if at < offsets.get((topic, p), 0)]
            fates.update(sent.fate for sent in mine)
            if topic == events.LABELS:
                labels += sum(sent.fate is Fate.ACCEPTED for sent in mine)
        expected = {
            "consumed": fates.total(),
            "accepted": fates[Fate.ACCEPTED],
            "rejected": {f.value: fates[f] for f in events.REJECTED if fates[f]},
            "unknown_models": fates[Fate.UNKNOWN],
            "unknown_fields": 0,
            "tombstones": fates[Fate.TOMBSTONE],
            "labels": labels,
        }
        assert counts == expected, f"I1: {counts} were counted of {expected}"

    def _assert_letters(self, offsets: dict[Partition, int]) -> None:
        """Every message that was refused has one dead letter, and no other has any."""
        found: Counter[tuple[str, int, int, str]] = Counter()
        for record in self._broker.logs[events.LETTERS, 0].settled():
            facts = {n.removeprefix(PREFIX): v for n, v in record.headers if isinstance(v, str)}
            facts |= {
                n.removeprefix(PREFIX): v.decode() for n, v in record.headers if type(v) is bytes
            }
            at = facts["topic"], int(facts["partition"]), int(facts["offset"]), facts["reason"]
            found[at] += 1
        expected = Counter(
            (*at, offset, sent.fate.value)
            for at, messages in self.sent.items()
            for offset, sent in messages.items()
            if sent.fate in events.REJECTED and offset < offsets.get(at, 0)
        )
        assert found == expected, f"dead letters: {found - expected} more, {expected - found} less"

    def _follow(self, transaction: Transaction) -> None:
        """Let the pipeline that is never interrupted take in what a transaction rests on."""
        rests_on = transaction.rests_on
        assert isinstance(rests_on, tuple)
        notes, count = rests_on
        begin = self._done.get(id(notes), 0)
        if not begin:
            self._lives.append(notes)
        self._done[id(notes)] = count
        for note in notes[begin:count]:
            if isinstance(note, Began):
                self._begin(note)
            else:
                outcome = self._pipeline.process(note.messages, *note.rest)
                self._alerts += [(r.alert_id, r.revision, r.status.value) for r in outcome.alerts]

    def _begin(self, note: Began) -> None:
        """Begin, or go on in another process: partitions are where they were, and just seen."""
        watermark = self._pipeline.watermark
        reached = {n: watermark.reached(n) for n in range(len(note.partitions))}
        watermark._partitions = {}
        self._pipeline.assign(note.partitions, note.now)
        for number, largest in reached.items():
            if largest is not None:
                watermark.resume(number, largest)

    def _assert_alerts(self) -> None:
        """I3: every revision of every alert once, in order, without gaps; and I9."""
        found: list[Alert] = []
        revisions: Counter[str] = Counter()
        for record in self._broker.logs[events.ALERTS, 0].settled():
            assert record.value is not None
            body = json.loads(record.value)
            revisions[body["alert_id"]] += 1
            assert body["revision"] == revisions[body["alert_id"]], f"I3: {body['alert_id']}"
            found.append((body["alert_id"], body["revision"], body["status"]))
        assert found == self._alerts, "I9: alerts differ from those of one life"

    def _assert_state(self, kept: Any) -> None:
        """I2, I6, I9: the state is that of one life, bit by bit."""
        watermark = kept["watermark"]["value"]
        if self._watermark is not None:
            assert watermark is not None
            assert watermark >= self._watermark, "I6: the watermark went back"
        self._watermark = watermark
        mine = {p.key: data_of(p) for p in self._pipeline.parts() if not _depends(p.key)}
        theirs = {key for key in kept if not _depends(key)}
        if self.rebuilt:
            # A store that is built again takes up old predictions once more, if only to know them.
            for each in (mine, kept):
                each[JOINER]["ledger"].pop("predictions_from", None)
        assert mine.keys() == theirs, f"I9: {sorted(mine.keys() ^ theirs)}"
        for key, data in mine.items():
            if "/outcomes/stream/" in key and "detection" not in key:
                data = _rounded_alike(kept[key], data)
            found = difference(kept[key], data, key)
            assert not found, f"I9: in the topic and in one life: {found}"

    def check_figures(self, figures: Any) -> None:
        """I9: what a process shows at its end is what one life shows.

        A store that was built again knows what is in it, not what became of what is not.
        """
        mine = plain(self._pipeline.snapshot(0.0))
        if self.rebuilt:
            for each in (mine, figures):
                each["models"][0]["outcomes"].pop("join")
        found = difference(figures, _rounded_alike(figures, mine, 1e-6))
        assert not found, f"I9: a process shows, and one life would: {found}"

    def _assert_join(self, offsets: dict[Partition, int]) -> None:
        """I5: every prediction is somewhere; and those with a label are pairs."""
        counts = join_counts(self._pipeline.engines[events.MODEL])
        assert_identities(counts)
        names: dict[str, list[str]] = {events.PREDICTIONS: [], events.LABELS: []}
        for (topic, p), messages in self.sent.items():
            names[topic] += [
                sent.name
                for at, sent in messages.items()
                if at < offsets.get((topic, p), 0) and sent.fate is Fate.ACCEPTED and sent.joins
            ]
        predicted, labelled = (set(names[t]) for t in (events.PREDICTIONS, events.LABELS))
        assert counts.predictions == len(names[events.PREDICTIONS])
        assert counts.labels == len(names[events.LABELS])
        assert counts.duplicates == len(names[events.PREDICTIONS]) - len(predicted)
        assert counts.joined == len(predicted & labelled), "I5"


def _rounded_alike(kept: Any, data: Any, tolerance: float = 1e-9) -> Any:
    """The data, with the kept numbers in place of theirs where they differ by rounding alone.

    Pairs are added up many at a time, and a checkpoint ends such a time: sums of floating-point
    numbers come out of another order than in one life.
    """
    if isinstance(data, dict) and isinstance(kept, dict):
        return {
            k: _rounded_alike(kept[k], v, tolerance) if k in kept else v for k, v in data.items()
        }
    if isinstance(data, list) and isinstance(kept, list) and len(data) == len(kept):
        return [_rounded_alike(*both, tolerance) for both in zip(kept, data, strict=True)]
    if not (isinstance(data, np.ndarray | float) and isinstance(kept, np.ndarray | float)):
        return data
    ours, theirs = np.asarray(data), np.asarray(kept)
    if ours.dtype.kind != "f" or ours.shape != theirs.shape:
        return data
    return (
        kept if np.allclose(ours, theirs, rtol=tolerance, atol=tolerance, equal_nan=True) else data
    )
