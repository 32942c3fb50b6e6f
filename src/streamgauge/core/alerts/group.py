"""One alert's state in the book, and the record that is made of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamgauge.core.alerts.grouping import Member, moved_rows, represent
from streamgauge.core.alerts.identity import AlertKey, alert_id, fingerprint
from streamgauge.core.alerts.lifecycle import INACTIVE, Entry, Reason, State
from streamgauge.core.alerts.policy import AlertPolicy, Severity
from streamgauge.core.alerts.record import AlertRecord, AlertStatus
from streamgauge.core.alerts.wording import (
    firing_summary,
    no_data_summary,
    resolved_summary,
    rows_text,
    topics_text,
    utc,
)
from streamgauge.core.findings import Finding
from streamgauge.core.layout import Subject
from streamgauge.core.slices import RowKey


@dataclass(slots=True)
class Group:
    """Everything the book knows of one alert.

    `members` are the rows that had evidence since the alert began, `speaker` is the
    newest finding of the row that represents them (at first the one that the alert began with),
    `record` the last revision published, None until the alert fires.
    """

    key: AlertKey
    speaker: Finding
    entry: Entry = INACTIVE
    members: dict[RowKey, Member] = field(default_factory=dict)
    record: AlertRecord | None = None
    version: int = field(default=0, repr=False, compare=False)
    """Set by the book to another number with every change."""

    def choose_speaker(self, now: int, policy: AlertPolicy, rivals: Sequence[Finding]) -> Finding:
        """Settle which finding speaks for the alert now, and return it.

        `rivals` are what represents the other alerts of the subject. Until the alert fires no row
        has a right to go on speaking.
        """
        current = None if self.record is None else self.speaker.row
        best = represent(current, self.members.values(), now, policy, rivals)
        self.speaker = best or self.front()
        return self.speaker

    def front(self) -> Finding:
        """Return the newest finding of the row that spoke last."""
        member = self.members.get(self.speaker.row)
        return self.speaker if member is None else member.finding

    def onset(self) -> int | None:
        """Return when the change began: the onset of the firing revision (ms).

        It is dated anew only when another row speaks, by that row's own first onset: later
        periods may have left the change behind.
        """
        if self.record is not None and self.record.slice == self.speaker.row.slice:
            return self.record.onset
        member = self.members.get(self.speaker.row)
        own = self.speaker.onset if member is None else member.onset
        return self.record.onset if own is None and self.record is not None else own

    def began(self, now: int) -> int:
        """Return when the alert fired, before that when it was pending, or `now` for a new one."""
        if self.record is not None:
            return self.record.starts_at
        return now if self.entry.since is None else self.entry.since


def compose(
    group: Group,
    reason: Reason,
    now: int,
    *,
    app: str,
    policy: AlertPolicy,
    related: Sequence[Subject] = (),
) -> AlertRecord:
    """Return the next revision of a group that has just fired, changed or resolved.

    `related` are the subjects of the same model version that fired in the same evaluation.
    """
    entry, speaker, last = group.entry, group.speaker, group.record
    assert entry.since is not None
    others, within = moved_rows(group.members.values(), speaker.row)
    severity = policy.severity(speaker.subject, speaker.effect, speaker.excess)
    starts_at, onset, ends_at = entry.since, group.onset(), None
    if entry.state is State.RESOLVED:
        assert last is not None, "only what fired resolves"
        starts_at, onset, ends_at = last.starts_at, last.onset, entry.since
        severity = last.severity
        if reason is Reason.EXPIRED_NO_DATA:
            last_seen = ends_at - policy.expire_after
            summary = no_data_summary(speaker, starts_at, last_seen)
        else:
            assert entry.clear_since is not None
            summary = resolved_summary(speaker, starts_at, entry.clear_since)
    else:
        summary = firing_summary(speaker, onset, others, within)
        if last is not None:
            severity = max(severity, last.severity, key=_urgency)
    identity = fingerprint(app, group.key)
    return AlertRecord(
        alert_id=alert_id(identity, starts_at),
        fingerprint=identity,
        revision=1 if last is None else last.revision + 1,
        status=AlertStatus.FIRING if ends_at is None else AlertStatus.RESOLVED,
        severity=severity,
        model=group.key.model,
        model_version=group.key.version,
        slice=speaker.row.slice,
        subject=group.key.subject,
        detector=group.key.detector,
        statistic=float(speaker.statistic),
        threshold=float(speaker.threshold),
        effect=speaker.effect,
        samples=int(speaker.samples),
        start=speaker.start,
        end=speaker.end,
        onset=onset,
        starts_at=starts_at,
        ends_at=ends_at,
        summary=summary,
        labels=policy.labels,
        annotations=tuple(
            (name, text)
            for name, text in (
                ("reason", reason.value),
                ("also_moved", rows_text(others, within)),
                ("related", topics_text(related)),
                ("silenced", _silenced(group, now, policy)),
            )
            if text
        ),
    )


def _urgency(severity: Severity) -> int:
    return severity.rank


def _silenced(group: Group, now: int, policy: AlertPolicy) -> str:
    if not group.entry.silenced:
        return ""
    silence = policy.silence(group.speaker, now)
    if silence is None:
        return "yes"
    return silence.comment or f"until {utc(silence.ends_at)}"
