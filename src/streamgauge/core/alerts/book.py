"""The alert book: all alerts of one model, from evaluation to evaluation."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from streamgauge.core.alerts.group import Group, compose
from streamgauge.core.alerts.grouping import (
    SERIOUS,
    Rank,
    observe,
    rank,
    update_member,
)
from streamgauge.core.alerts.identity import AlertKey, fingerprint, topic_of
from streamgauge.core.alerts.lifecycle import (
    NO_DATA,
    Observation,
    Reason,
    State,
    cooled_down,
    transition,
)
from streamgauge.core.alerts.news import news
from streamgauge.core.alerts.placing import place_findings
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.alerts.storage import Data, group_from_data, group_to_data
from streamgauge.core.findings import Finding, Verdict
from streamgauge.core.layout import Subject
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import ActiveAlert
from streamgauge.core.state import Kept, Part, needed, reading, within
from streamgauge.errors import StateError

FORMAT = 4
"""Version of the data that are kept."""

Explain = Callable[[Finding], Finding]

PUBLISHED = frozenset(
    {
        Reason.FIRED,
        Reason.SILENCED,
        Reason.UNSILENCED,
        Reason.REPRESENTATIVE_CHANGED,
        Reason.SEVERITY_RAISED,
        Reason.EFFECT_CHANGED,
        Reason.RESOLVED,
    }
)
"""Decisions on findings that make a new revision; missing data make one without findings."""


@dataclass(slots=True)
class AlertBook:
    """Turns findings into revisions of alerts; one book per model, whose event time it follows.

    The findings of one evaluation come in one call. Calls without findings in between change
    nothing, since what time alone ends is dated by its deadline. Memory is bounded by
    `AlertPolicy.max_alerts` and `max_rows`; what is over is counted in `refused_alerts` and
    `refused_rows`.
    """

    app: str
    policy: AlertPolicy = field(default_factory=AlertPolicy)
    fired: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Alerts that fired since the start, by (subject kind, detector, severity)."""
    decisions: Counter[Reason] = field(default_factory=Counter)
    """Decisions of the life cycle since the start, by reason."""
    refused_alerts: int = 0
    refused_rows: int = 0
    now: int | None = None
    """Event time of the last evaluation in milliseconds."""
    _groups: dict[AlertKey, Group] = field(default_factory=dict)
    _members: int = 0
    """Members of all alerts."""
    _changes: int = field(default=0, repr=False, compare=False)

    def update(
        self, findings: Iterable[Finding], now: int, explain: Explain | None = None
    ) -> tuple[AlertRecord, ...]:
        """Take in the findings of an evaluation at event time `now`; return what to publish.

        `explain` adds what moved, and from when on, to a finding that is published without it.
        The findings' order does not matter. Raises ValueError where event time went back.
        """
        if self.now is not None and now < self.now:
            raise ValueError(f"event time went back from {self.now} to {now}")
        self.now = now
        self._changes += 1
        records = self._expire(now)
        self._forget_cooled(now)
        due = self._judge(findings, now)
        fired_now = [group for group, _ in due if group.record is None]
        for group, reason in due:
            related = sorted(
                {
                    other.key.subject
                    for other in (fired_now if group.record is None else ())
                    if other.key[:2] == group.key[:2] and other.key.subject != group.key.subject
                }
            )
            if (
                explain is not None
                and group.entry.state is State.FIRING
                and not group.speaker.detail
            ):
                group.speaker = explain(group.speaker)
            records.append(self._publish(group, reason, now, related))
        self._forget_cooled(now)
        return tuple(records)

    def active(self) -> tuple[ActiveAlert, ...]:
        """Return the firing alerts that no silence covers."""
        return tuple(_active(group) for group in self._firing() if not group.entry.silenced)

    def silenced(self) -> tuple[ActiveAlert, ...]:
        """Return the firing alerts that a silence covers."""
        return tuple(_active(group) for group in self._firing() if group.entry.silenced)

    def watched(self) -> frozenset[tuple[RowKey, Subject]]:
        """Return the rows and subjects of pending and firing alerts.

        Their findings are wanted when clear too.
        """
        return frozenset(
            (row, key.subject) for key, group in self._groups.items() for row in group.members
        )

    def parts(self) -> Iterator[Part]:
        """Yield the counters and every alert; nothing of what they give is shared."""
        yield Part("book", self._changes, self._data)
        for key in sorted(self._groups):
            group = self._groups[key]
            name = f"alert/{fingerprint(self.app, key)}"
            yield Part(name, group.version, partial(group_to_data, group))

    def restore(self, kept: Kept) -> None:
        """Take back the parts. Raises StateError where they are of another format."""
        data = needed(kept, "book")
        with reading("book"):
            if data["format"] != FORMAT:
                raise StateError("book", f"has format {data['format']}, expected {FORMAT}")
            self.now = data["now"]
            self.fired = Counter({(kind, d, severity): n for kind, d, severity, n in data["fired"]})
            self.decisions = Counter({Reason(reason): n for reason, n in data["decisions"].items()})
            self.refused_alerts, self.refused_rows = data["refused_alerts"], data["refused_rows"]
        for name, item in within("alert", kept).items():
            with reading(f"alert/{name}"):
                group = group_from_data(item)
                self._groups[group.key] = self._changed(group)
                self._members += len(group.members)

    def _data(self) -> Data:
        return {
            "format": FORMAT,
            "now": self.now,
            "fired": [[*key, count] for key, count in sorted(self.fired.items())],
            "decisions": {reason.value: count for reason, count in sorted(self.decisions.items())},
            "refused_alerts": self.refused_alerts,
            "refused_rows": self.refused_rows,
        }

    def _changed(self, group: Group) -> Group:
        """Note that a group changed: no other change, of any group, has the same number."""
        self._changes += 1
        group.version = self._changes
        return group

    def _firing(self) -> list[Group]:
        return [
            self._groups[key]
            for key in sorted(self._groups)
            if self._groups[key].entry.state is State.FIRING
        ]

    def _expire(self, now: int) -> list[AlertRecord]:
        """Forget rows without judgement and end what is left with none, as of its deadline."""
        records: list[AlertRecord] = []
        for key in sorted(self._groups):
            group = self._groups[key]
            if group.members:
                last_seen = max(member.seen for member in group.members.values())
                self._forget_rows(group, now - self.policy.expire_after)
                if not group.members:
                    deadline = last_seen + self.policy.expire_after
                    was_firing = group.entry.state is State.FIRING
                    group.entry, reason = transition(group.entry, NO_DATA, deadline, self.policy)
                    self._changed(group)
                    self.decisions[reason] += 1
                    if was_firing:
                        records.append(self._publish(group, reason, deadline, ()))
        # In the order in which they would have ended had there been a call at each deadline.
        return sorted(records, key=lambda record: record.ends_at or 0)

    def _forget_cooled(self, now: int) -> None:
        """Drop what is over and may fire again."""
        for key, group in list(self._groups.items()):
            if group.entry.state is State.INACTIVE or cooled_down(group.entry, now, self.policy):
                del self._groups[key]

    def _judge(self, findings: Iterable[Finding], now: int) -> list[tuple[Group, Reason]]:
        """Move every alert that has findings; return those that need a revision, and why."""
        by_topic: dict[AlertKey, list[Finding]] = {}
        for finding in findings:
            by_topic.setdefault(topic_of(finding), []).append(finding)
        standing: dict[AlertKey, list[Group]] = {topic: [] for topic in by_topic}
        for key in sorted(self._groups):
            topic = key._replace(anchor="")
            if topic in standing:
                standing[topic].append(self._groups[key])
        due = []
        for topic in sorted(by_topic):
            for group, reason in self._judge_topic(topic, by_topic[topic], standing[topic], now):
                self.decisions[reason] += 1
                if reason in PUBLISHED:
                    due.append((group, reason))
        return due

    def _judge_topic(
        self, topic: AlertKey, findings: list[Finding], groups: list[Group], now: int
    ) -> list[tuple[Group, Reason]]:
        by_row: dict[RowKey, Finding] = {}
        for finding in sorted(findings, key=_most_serious):
            by_row.setdefault(finding.row, finding)
        shares = place_findings(topic, by_row.values(), groups, now, self.policy)
        if not shares:
            self.decisions[Reason.QUIET] += 1
        for group, share in shares:
            if group.entry.state is not State.RESOLVED:
                self._absorb(group, share, now)
        new = [group for group, _ in shares if group.entry.state is State.INACTIVE]
        live = [group for group in (*groups, *new) if group.entry.state is not State.RESOLVED]
        fronts = [(group.key, group.front()) for group in live]
        return [
            (group, self._move(group, now, [front for key, front in fronts if key != group.key]))
            for group, _ in shares
        ]

    def _move(self, group: Group, now: int, rivals: list[Finding]) -> Reason:
        was = self._changed(group).entry.state
        if was is State.RESOLVED:
            # A cooling alert follows no rows: whatever moves then must still be moved afterwards.
            return transition(group.entry, Observation(Verdict.DRIFT), now, self.policy)[1]
        observation = observe(group.members.values(), now, self.policy)
        entry, reason = transition(group.entry, observation, now, self.policy)
        if was is State.INACTIVE and entry.state is not State.INACTIVE:
            if len(self._groups) >= self.policy.max_alerts:
                self._members -= len(group.members)
                self.refused_alerts += 1
                return Reason.NO_ROOM
            self._groups[group.key] = group
        group.entry = entry
        speaker = group.choose_speaker(now, self.policy, rivals)
        if was is State.FIRING and reason is Reason.STILL_FIRING:
            assert group.record is not None
            reason = news(group.record, speaker, self.policy)
        if entry.state in (State.INACTIVE, State.RESOLVED):
            self._members -= len(group.members)
            group.members.clear()
        if entry.state is State.INACTIVE:
            self._groups.pop(group.key, None)
        return reason

    def _absorb(self, group: Group, findings: list[Finding], now: int) -> None:
        """Update the group's members from findings, the most serious first, one per row."""
        for finding in findings:
            before = group.members.get(finding.row)
            after = update_member(before, finding, now)
            if after is None:
                continue
            if before is None:
                if group.members and self._members >= self.policy.max_rows:
                    self.refused_rows += 1
                    continue
                self._members += 1
            group.members[finding.row] = after

    def _forget_rows(self, group: Group, oldest: int) -> None:
        for row in [row for row, member in group.members.items() if member.seen < oldest]:
            del self._changed(group).members[row]
            self._members -= 1

    def _publish(
        self, group: Group, reason: Reason, now: int, related: list[Subject] | tuple[()]
    ) -> AlertRecord:
        if group.record is None:
            speaker = group.speaker
            severity = self.policy.severity(speaker.subject, speaker.effect, speaker.excess)
            self.fired[group.key.subject.kind.value, group.key.detector, severity.value] += 1
        record = compose(group, reason, now, app=self.app, policy=self.policy, related=related)
        self._changed(group).record = record
        return record


def _most_serious(finding: Finding) -> tuple[int, Rank]:
    return SERIOUS.index(finding.verdict), rank(finding)


def _active(group: Group) -> ActiveAlert:
    record, speaker = group.record, group.speaker
    assert record is not None
    return ActiveAlert(
        alert_id=record.alert_id,
        model=record.model,
        model_version=record.model_version,
        slice=record.slice,
        subject=record.subject,
        detector=record.detector,
        severity=record.severity.value,
        summary=record.summary,
        starts_at=record.starts_at,
        onset=record.onset,
        statistic=speaker.statistic,
        threshold=speaker.threshold,
    )
