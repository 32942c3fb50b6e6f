"""One alert's state in the book, and the record that is made of it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from streamgauge.core.alerts.grouping import Member, Place, moved_rows, rank, represent
from streamgauge.core.alerts.identity import AlertKey, alert_id, fingerprint
from streamgauge.core.alerts.lifecycle import INACTIVE, Entry, Reason, State
from streamgauge.core.alerts.past import split_past
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


@dataclass(slots=True)
class Group:
    """Everything the book knows of one alert.

    `members` are the rows and windows that had evidence since the alert began, `speaker` is the
    newest finding of the row that represents them (at first the one that the alert began with),
    `record` the last revision published, None until the alert fires.
    """

    key: AlertKey
    speaker: Finding
    entry: Entry = INACTIVE
    members: dict[Place, Member] = field(default_factory=dict)
    record: AlertRecord | None = None

    def split(self, now: int, policy: AlertPolicy) -> tuple[Collection[Member], Collection[Member]]:
        """Return the members that count now, and those that only see the past."""
        return split_past(self.members.values(), self.speaker.row, now, policy.resolve_after)

    def choose_speaker(
        self,
        counting: Collection[Member],
        past: Collection[Member],
        now: int,
        policy: AlertPolicy,
        rivals: Sequence[Finding],
    ) -> Finding:
        """Settle which finding speaks for the alert now, and return it.

        `counting` and `past` are what `split` returned, `rivals` what represents the other alerts
        of the subject. Until the alert fires no row has a right to go on speaking; while it does,
        the one that spoke may do so of the past.
        """
        current = None if self.record is None else Place(self.speaker.row, self.record.window)
        members = list(counting)
        if self.entry.state is State.FIRING:
            members += [m for m in past if m.finding.row == self.speaker.row]
        self.speaker = represent(current, members, now, policy, rivals) or self._latest(members)
        return self.speaker

    def front(self) -> Finding:
        """Return the newest finding of the place that spoke last."""
        member = self.members.get(Place(self.speaker.row, self.speaker.window))
        return self.speaker if member is None else member.finding

    def onset(self) -> int | None:
        """Return when the change began: the onset of the firing revision (ms).

        It is dated anew only when another row speaks, by that row's own first onset; merely moving
        on, a window says nothing new of it.
        """
        if self.record is not None and self.record.slice == self.speaker.row.slice:
            return self.record.onset
        member = self.members.get(Place(self.speaker.row, self.speaker.window))
        own = self.speaker.onset if member is None else member.onset
        return self.record.onset if own is None and self.record is not None else own

    def began(self, now: int) -> int:
        """Return when the alert fired, before that when it was pending, or `now` for a new one."""
        if self.record is not None:
            return self.record.starts_at
        return now if self.entry.since is None else self.entry.since

    def _latest(self, members: Iterable[Member]) -> Finding:
        own = [m.finding for m in members if m.finding.row == self.speaker.row]
        same_window = [finding for finding in own if finding.window == self.speaker.window]
        return min(same_window or own, key=rank, default=self.speaker)


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
    counting, _ = group.split(now, policy)
    others, within = moved_rows(counting, speaker.row)
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
        window=speaker.window,
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
                ("window", speaker.window),
                ("p_value", "" if speaker.p_value is None else f"{speaker.p_value:.3g}"),
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
