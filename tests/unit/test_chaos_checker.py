"""The checker of the chaos tests can fail: every broken promise is told, and told as what it is.

The seeded bugs are played on a log that commits as Kafka does; `tests/chaos` plays them on a real
one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import pytest

from tests.support.chaos_checker import (
    Checkpoint,
    Ending,
    Evidence,
    Inspection,
    Letter,
    Revision,
    Sample,
    check,
)
from tests.support.chaos_ledger import Entry, Ledger, Partition
from tests.support.chaos_stream import LABELS, PREDICTIONS, stream

TOPICS = "predictions", "labels"
BATCH = 150


def entries(count: int) -> Iterator[Entry]:
    """The first events of a stream, with the offsets that a broker would give them."""
    ends: dict[tuple[int, int], int] = {}
    for event in islice(stream(7, 1_764_000_000_000), count):
        place = event.topic, event.partition
        offset = ends.get(place, 0)
        ends[place] = offset + 1
        yield Entry.of(event, offset)


LEDGER = Ledger(TOPICS, entries(6_000))


@dataclass
class Kept:
    """What a broker holds of an app: committed results, state and offsets."""

    evidence: Evidence = field(default_factory=lambda: Evidence(LEDGER))
    state: dict[Partition, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    group: dict[Partition, int] = field(default_factory=dict)
    epoch: int = 0
    sequence: int = 0


class KilledError(Exception):
    """The end of a life."""


class Life:
    """A monitor that counts, alerts and commits, as simply as can be, and may be killed."""

    def __init__(self, kept: Kept, start: dict[Partition, int], counts: dict[str, int]) -> None:
        self.kept = kept
        self.positions = dict(start)
        self.counts = dict(counts)
        kept.epoch += 1

    def turn(self, commit: Callable[["Life", list[Letter], list[Revision]], None]) -> bool:
        """Take in a batch and commit it; return whether there was one."""
        letters: list[Letter] = []
        alerts: list[Revision] = []
        moved = False
        for partition, found in LEDGER.partitions.items():
            first = self.positions.get(partition, 0)
            batch = found[first : first + BATCH]
            moved |= bool(batch)
            before = {partition: first}
            self.positions[partition] = first + len(batch)
            new = LEDGER.counts({partition: first + len(batch)}) - LEDGER.counts(before)
            for name, count in new.items():
                self.counts[name] = self.counts.get(name, 0) + count
            letters += [
                Letter((*partition, e.offset), e.kind.removeprefix("bad "))
                for e in batch
                if e.kind.startswith("bad ")
            ]
        if moved:
            # One alert that is revised with every batch.
            alerts.append(Revision("a", self.counts["consumed"] // BATCH, ""))
            commit(self, letters, alerts)
        return moved

    def publish(self, letters: list[Letter], alerts: list[Revision]) -> None:
        """Make results visible; revisions are counted on from what is in the topic."""
        found = self.kept.evidence
        found.letters += letters
        for alert in alerts:
            found.alerts.append(alert._replace(revision=len(found.alerts) + 1))

    def save(self) -> None:
        """Make the state visible."""
        kept = self.kept
        kept.sequence += 1
        kept.state, kept.counts = dict(self.positions), dict(self.counts)
        kept.evidence.checkpoints.append(
            Checkpoint(kept.epoch, kept.sequence, kept.state, kept.counts, kept.sequence)
        )

    def commit_offsets(self) -> None:
        """Commit the group's offsets."""
        self.kept.group = dict(self.positions)


def as_it_should(life: Life, letters: list[Letter], alerts: list[Revision]) -> None:
    """All at once: a kill is before or after it."""
    life.publish(letters, alerts)
    life.save()
    life.commit_offsets()


def to_the_end(life: Life, commit: Callable[[Life, list[Letter], list[Revision]], None]) -> None:
    """Take in all there is."""
    while life.turn(commit):
        continue


def finished(kept: Kept) -> Evidence:
    """What such a run leaves behind, with the figures that follow from its counts."""
    found = kept.evidence
    found.inspections.append(Inspection(kept.state, kept.group))
    found.samples.append(Sample(1, 5.0, 100.0, 1e6))
    found.figures = LEDGER.figures()
    joined = LEDGER.joined()
    labels = joined["labels"] - joined["joined"]
    labels -= joined["corrections"] + joined["duplicate_labels"]
    pending = joined["predictions"] - joined["joined"] - joined["duplicates"]
    found.joined = {**joined, "pending": pending, "waiting": labels}
    start, end = 1_764_000_000_000, 1_764_000_010_000
    found.means = {v: (start, end, mean) for v, mean in LEDGER.means(start, end).items()}
    return found


def good() -> Evidence:
    """A run without faults and bugs."""
    kept = Kept()
    life = Life(kept, {}, {})
    to_the_end(life, as_it_should)
    return finished(kept)


def told(found: Evidence, calm: Evidence | None = None) -> set[str]:
    """Which invariants the checker calls broken."""
    return {violation.invariant for violation in check(found, calm)}


def test_a_good_run_is_called_good() -> None:
    assert check(good(), good()) == []


def test_the_stream_holds_every_kind_of_event() -> None:
    kinds = {(event.topic, event.kind) for event in islice(stream(7, 0), 60_000)}
    assert {kind for topic, kind in kinds if topic == PREDICTIONS} == set(_KINDS)
    assert {kind for topic, kind in kinds if topic == LABELS} == set(_LABEL_KINDS)


_KINDS = (
    "good", "duplicate", "error", "late", "unknown", "tombstone",
    "bad decode", "bad schema", "bad timestamp",
)  # fmt: skip
_LABEL_KINDS = "first", "correction", "again", "orphan", "unknown", "bad decode"


def test_commit_before_produce_is_caught() -> None:
    kept = Kept()

    def broken(life: Life, letters: list[Letter], alerts: list[Revision]) -> None:
        life.commit_offsets()
        if len(kept.evidence.checkpoints) == 3 and kept.epoch == 1:
            raise KilledError
        life.publish(letters, alerts)
        life.save()

    life = Life(kept, {}, {})
    with pytest.raises(KilledError):
        to_the_end(life, broken)
    kept.evidence.inspections.append(Inspection(kept.state, kept.group))
    # The next life goes on from the group's offsets with the counts of the state.
    life = Life(kept, kept.group, kept.counts)
    to_the_end(life, broken)
    assert {"I1", "I4"} <= told(finished(kept))


def test_offsets_outside_the_transaction_are_caught() -> None:
    kept = Kept()

    def broken(life: Life, letters: list[Letter], alerts: list[Revision]) -> None:
        life.publish(letters, alerts)
        life.save()
        if len(kept.evidence.checkpoints) == 3 and kept.epoch == 1:
            raise KilledError
        life.commit_offsets()

    life = Life(kept, {}, {})
    with pytest.raises(KilledError):
        to_the_end(life, broken)
    kept.evidence.inspections.append(Inspection(kept.state, kept.group))
    life = Life(kept, kept.group, kept.counts)
    to_the_end(life, broken)
    assert {"I1", "I4"} <= told(finished(kept))


def test_a_restore_to_the_last_stable_offset_is_caught() -> None:
    kept = Kept()
    life = Life(kept, {}, {})
    for _ in range(2):
        life.turn(as_it_should)
    # A foreign transaction opens here: what follows is invisible to readers of stable records.
    stable = kept.state, kept.counts
    for _ in range(2):
        life.turn(as_it_should)
    life = Life(kept, *stable)
    to_the_end(life, as_it_should)
    assert {"I1", "I8"} <= told(finished(kept))


Change = Callable[[Evidence], object]

CHANGES: dict[str, tuple[str, Change]] = {
    "a dead letter is missing": ("I1", lambda e: e.letters.pop()),
    "a dead letter stands twice": ("I1", lambda e: e.letters.append(e.letters[0])),
    "a good event is a dead letter": (
        "I1",
        lambda e: e.letters.append(Letter(("predictions", 0, 10**6), "decode")),
    ),
    "a dead letter has another reason": (
        "I1",
        lambda e: e.letters.append(e.letters.pop()._replace(reason="moon")),
    ),
    "the end is not reached": ("I1", lambda e: e.checkpoints.pop()),
    "nothing was committed": ("I1", lambda e: e.checkpoints.clear()),
    "one more is counted": (
        "I1",
        lambda e: e.checkpoints.append(
            e.checkpoints[-1]._replace(
                sequence=99, counts={**e.checkpoints[-1].counts, "accepted": 1}
            )
        ),
    ),
    "a figure is off by one": (
        "I2",
        lambda e: e.figures.update({next(iter(e.figures)): -1.0}),
    ),
    "a join is off by one": ("I2", lambda e: e.joined.update(joined=e.joined["joined"] + 1)),
    "a mean is off": (
        "I2",
        lambda e: e.means.update({v: (a, b, m + 1e-6) for v, (a, b, m) in e.means.items()}),
    ),
    "a revision stands twice": ("I3", lambda e: e.alerts.append(e.alerts[-1])),
    "a revision is missing": ("I3", lambda e: e.alerts.pop(1)),
    "revisions come out of order": ("I3", lambda e: e.alerts.reverse()),
    "the group is ahead of the state": (
        "I4",
        lambda e: e.inspections.append(
            Inspection({("predictions", 0): 5}, {("predictions", 0): 6})
        ),
    ),
    "nobody has looked at the offsets": ("I4", lambda e: e.inspections.clear()),
    "a prediction is in no place": ("I5", lambda e: e.joined.update(pending=0)),
    "a label is in two places": ("I5", lambda e: e.joined.update(orphans=1)),
    "a committed watermark goes back": (
        "I6",
        lambda e: e.checkpoints.append(e.checkpoints[-1]._replace(sequence=99, watermark=0)),
    ),
    "a published watermark goes back": (
        "I6",
        lambda e: e.samples.append(e.samples[-1]._replace(watermark=1.0)),
    ),
    "a transaction is open": ("I7", lambda e: e.open_transactions.append("alerts")),
    "an old owner writes": (
        "I8",
        lambda e: e.checkpoints.append(e.checkpoints[-1]._replace(sequence=99, epoch=0)),
    ),
    "a checkpoint is written twice": ("I8", lambda e: e.checkpoints.append(e.checkpoints[-1])),
    "an alert differs": (
        "I9",
        lambda e: e.alerts.append(e.alerts.pop()._replace(content="other")),
    ),
    "an alert rests on other evidence": (
        "I9",
        lambda e: e.alerts.append(e.alerts.pop()._replace(statistic=1.0)),
    ),
    "another figure differs": ("I9", lambda e: e.figures.update(drift=0.1)),
    "messages are left": ("I10", lambda e: setattr(e, "lag", 3.0)),
    "memory grows": ("I11", lambda e: e.samples.append(Sample(2, 5.0, 1.0, 1e10))),
    "series grow": ("I11", lambda e: e.samples.append(Sample(2, 5.0, 1e6, 1.0))),
    "a replica ends by itself": ("ending", lambda e: e.endings.append(Ending(3, 0, None))),
    "a stop fails": ("ending", lambda e: e.endings.append(Ending(3, 1, 0))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_broken_is_told(name: str) -> None:
    invariant, change = CHANGES[name]
    found = good()
    change(found)
    assert invariant in told(found, good())


def test_a_ledger_with_a_gap_is_refused() -> None:
    kept = list(entries(100))
    with pytest.raises(AssertionError, match="has no event at offset"):
        Ledger(TOPICS, [e for e in kept if (e.partition, e.offset) != (1, 3)])


def test_a_recount_of_parts_adds_up_to_that_of_the_whole() -> None:
    whole = LEDGER.counts(LEDGER.ends)
    parts = [LEDGER.counts({partition: end}) for partition, end in LEDGER.ends.items()]
    assert whole["consumed"] == sum(LEDGER.ends.values())
    assert all(whole[name] == sum(part[name] for part in parts) for name in whole)
