"""The checker: holds what a run under faults left behind against the invariants I1 to I11.

It knows nothing of how the faults were made, and takes nothing but evidence: what was sent, what
stands in the topics, what was served, and how processes ended.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import isclose
from typing import Final, NamedTuple

from tests.support.chaos_ledger import Ledger, Partition

COUNTED: Final = ("consumed", "accepted", "labels", "unknown_models", "tombstones")
MOST_BYTES: Final = 600 * 2**20
"""Memory of a replica at most: with everything imported it is at about a third of it."""
MOST_SERIES: Final = 2_000
TOLERANCE: Final = 1e-9
SAME_EVIDENCE: Final = 0.02
"""How far the evidence of alerts may be apart. Which events came too late for the detectors' pane
goes by what was read with them in one poll: history read at once has fewer of them."""


class Violation(NamedTuple):
    """A broken promise: which one, and how."""

    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


class Checkpoint(NamedTuple):
    """A checkpoint as readers of committed records see it, and what it says was counted."""

    epoch: int
    sequence: int
    positions: Mapping[Partition, int]
    counts: Mapping[str, int]
    watermark: int | None


class Inspection(NamedTuple):
    """At one moment: the offsets of the latest checkpoint, and the group's."""

    state: Mapping[Partition, int]
    group: Mapping[Partition, int]


class Revision(NamedTuple):
    """A revision of an alert: what it is about and says, and the evidence for it."""

    alert: str
    revision: int
    content: str
    statistic: float = 0.0


class Letter(NamedTuple):
    """A dead letter: what it is of, and why."""

    place: tuple[str, int, int]
    reason: str


class Sample(NamedTuple):
    """One look at a process."""

    process: int
    watermark: float
    series: float
    resident: float


class Ending(NamedTuple):
    """How a process ended: its exit code, or minus a signal, and how it was to end.

    None where it was not to end at all.
    """

    process: int
    status: int
    expected: int | None


@dataclass
class Evidence:
    """All that a run left behind, once the stream had ended and everything was read."""

    ledger: Ledger
    checkpoints: list[Checkpoint] = field(default_factory=list)
    inspections: list[Inspection] = field(default_factory=list)
    alerts: list[Revision] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    open_transactions: list[str] = field(default_factory=list)
    """Topics in which a transaction stands open after the last replica has stopped."""
    figures: dict[str, float] = field(default_factory=dict)
    """Final samples of the metrics, by name and labels."""
    joined: dict[str, int] = field(default_factory=dict)
    means: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    """By version: start and end (ms) of the last window, and the mean of x in it."""
    lag: float = 0.0


def check(found: Evidence, calm: Evidence | None = None) -> list[Violation]:
    """Return all broken promises; `calm` is the same stream watched without faults."""
    checks = (
        _counted_in_one_place, _recount, _published_once, _offsets_in_the_state, _join_adds_up,
        _watermarks, _open_transactions, _epochs, _caught_up, _bounded, _endings,
    )  # fmt: skip
    violations = [violation for one in checks for violation in one(found)]
    return violations + ([] if calm is None else list(_as_without_faults(found, calm)))


def _counted_in_one_place(found: Evidence) -> Iterator[Violation]:
    """I1: at every checkpoint, what was counted is what stands before its offsets."""
    for checkpoint in found.checkpoints:
        expected = found.ledger.counts(checkpoint.positions)
        for name in {*expected, *checkpoint.counts}:
            if expected[name] != checkpoint.counts.get(name, 0):
                yield Violation(
                    "I1",
                    f"checkpoint {checkpoint.epoch}.{checkpoint.sequence} has {name}"
                    f" {checkpoint.counts.get(name, 0)}, the ledger {expected[name]}",
                )
    if not found.checkpoints:
        yield Violation("I1", "there is no checkpoint to judge by")
    elif dict(found.checkpoints[-1].positions) != found.ledger.ends:
        yield Violation("I1", "the last checkpoint does not reach the end of the topics")
    letters = Counter(letter.place for letter in found.letters)
    for place, count in letters.items():
        if count > 1:
            yield Violation("I1", f"{place} has {count} dead letters")
    expected_letters = found.ledger.refused()
    for place in letters.keys() ^ expected_letters.keys():
        what = "has no dead letter" if place in expected_letters else "should have none"
        yield Violation("I1", f"{place} {what}")
    for place, reason in found.letters:
        if expected_letters.get(place, reason) != reason:
            yield Violation("I1", f"{place} is refused for {reason}")


def _recount(found: Evidence) -> Iterator[Violation]:
    """I2: the final figures are those of a recount."""
    expected = {**found.ledger.figures(), **found.ledger.joined()}
    told: dict[str, float] = {**found.figures, **found.joined}
    for name, value in expected.items():
        if told.get(name, 0.0) != value:
            yield Violation("I2", f"{name} is {told.get(name)}, a recount gives {value}")
    if not found.means:
        yield Violation("I2", "no mean was published")
    for version, (start, end, mean) in found.means.items():
        exact = found.ledger.means(start, end).get(version, float("nan"))
        if not isclose(mean, exact, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield Violation(
                "I2", f"the mean of version {version} is {mean}, a recount gives {exact}"
            )


def _published_once(found: Evidence) -> Iterator[Violation]:
    """I3: every revision of every alert once, without gaps and in order."""
    by_alert: dict[str, list[int]] = {}
    for alert in found.alerts:
        by_alert.setdefault(alert.alert, []).append(alert.revision)
    for alert_id, revisions in by_alert.items():
        if revisions != list(range(1, len(revisions) + 1)):
            yield Violation("I3", f"alert {alert_id} has the revisions {revisions}")


def _offsets_in_the_state(found: Evidence) -> Iterator[Violation]:
    """I4: the state's offsets are the group's."""
    for number, (state, group) in enumerate(found.inspections):
        for partition in state.keys() | group.keys():
            if state.get(partition) != group.get(partition):
                yield Violation(
                    "I4",
                    f"inspection {number}: {partition} is at {state.get(partition)} in the state,"
                    f" and the group at {group.get(partition)}",
                )
    if not found.inspections:
        yield Violation("I4", "nobody has looked at the group's offsets")


def _join_adds_up(found: Evidence) -> Iterator[Violation]:
    """I5: every prediction and every label is in one place."""
    j = found.joined
    sums = {
        "predictions": ("joined", "pending", "expired", "duplicates"),
        "labels": ("joined", "corrections", "waiting", "orphans", "late", "duplicate_labels"),
    }
    for whole, parts in sums.items():
        total = sum(j.get(part, 0) for part in parts)
        if j.get(whole, -1) != total:
            yield Violation("I5", f"{j.get(whole)} {whole}, and {total} in {', '.join(parts)}")


def _watermarks(found: Evidence) -> Iterator[Violation]:
    """I6: watermarks never go back, over all owners in what is committed, and in each process."""
    committed = [c.watermark for c in found.checkpoints if c.watermark is not None]
    by_process = groupby(sorted(found.samples, key=lambda s: s.process), lambda s: s.process)
    rows = {"committed": committed} | {
        f"process {process}": [int(s.watermark) for s in samples] for process, samples in by_process
    }
    for name, values in rows.items():
        for before, after in pairwise(values):
            if after < before:
                yield Violation("I6", f"the watermark went from {before} to {after} ({name})")


def _open_transactions(found: Evidence) -> Iterator[Violation]:
    """I7: a stop leaves no transaction open."""
    for topic in found.open_transactions:
        yield Violation("I7", f"a transaction stands open in {topic}")


def _epochs(found: Evidence) -> Iterator[Violation]:
    """I8: owners' epochs and the sequence of checkpoints only grow, and no offset goes back."""
    for before, after in pairwise(found.checkpoints):
        if after.epoch < before.epoch:
            yield Violation("I8", f"epoch {after.epoch} wrote after epoch {before.epoch}")
        if after.sequence <= before.sequence:
            yield Violation("I8", f"checkpoint {after.sequence} came after {before.sequence}")
        for partition, offset in before.positions.items():
            if after.positions.get(partition, -1) < offset:
                yield Violation("I8", f"{partition} went back from {offset}")


def _as_without_faults(found: Evidence, calm: Evidence) -> Iterator[Violation]:
    """I9: alerts, figures and the join are those of a run without faults."""
    ours, theirs = (Counter(a.content for a in e.alerts) for e in (found, calm))
    for content in (ours - theirs) + (theirs - ours):
        side = "only under faults" if ours[content] > theirs[content] else "missing under faults"
        yield Violation("I9", f"alert {side}: {content[:200]}")
    known: dict[str, list[float]] = {}
    for alert in calm.alerts:
        known.setdefault(alert.content, []).append(alert.statistic)
    for alert in found.alerts:
        # What fires, resolves and fires again does so in the same order.
        calmly, *known[alert.content] = known.get(alert.content) or [alert.statistic]
        if not isclose(alert.statistic, calmly, rel_tol=SAME_EVIDENCE):
            text = f"evidence is {alert.statistic}, and {calmly} without faults: {alert.content}"
            yield Violation("I9", text[:300])
    for one, other in (
        (_judged(found.figures), _judged(calm.figures)),
        (_given_up(found.joined), _given_up(calm.joined)),
    ):
        for name in one.keys() | other.keys():
            first, second = one.get(name), other.get(name)
            if (
                first is None
                or second is None
                or not isclose(first, second, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
            ):
                yield Violation("I9", f"{name} is {first}, and {second} without faults")


def _judged(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures but those of labels that come to nothing: see `_given_up`."""
    alone = "fate=orphan", "fate=late", "streamgauge_waiting_labels"
    return {k: v for k, v in figures.items() if not any(part in k for part in alone)}


def _given_up(joined: Mapping[str, int]) -> dict[str, float]:
    """Return what became of the join, all labels that come to nothing in one.

    When a store is built again, labels of forgotten predictions are given up sooner; and which
    predictions are forgotten when a label comes too late goes by how far others have been read.
    """
    one = {name: float(count) for name, count in joined.items()}
    alone = sum(one.pop(name, 0.0) for name in ("waiting", "orphans", "late"))
    return {**one, "waiting, orphans or late": alone}


def _caught_up(found: Evidence) -> Iterator[Violation]:
    """I10: lag returns to 0."""
    if found.lag != 0:
        yield Violation("I10", f"{found.lag:.0f} messages are not read")


def _bounded(found: Evidence) -> Iterator[Violation]:
    """I11: memory and series stay under their caps."""
    for name, cap in (("resident", MOST_BYTES), ("series", MOST_SERIES)):
        most = max((getattr(sample, name) for sample in found.samples), default=0.0)
        if most > cap:
            yield Violation("I11", f"{name} reached {most:.0f}, the cap is {cap}")
    if not found.samples:
        yield Violation("I11", "nobody has looked at memory and series")


def _endings(found: Evidence) -> Iterator[Violation]:
    """No replica ends by itself, and those that are asked to end well."""
    for process, status, expected in found.endings:
        if status != expected:
            yield Violation("ending", f"process {process} ended with {status}, not {expected}")
