"""Storage: alerts as plain data and back, without loss (also of NaN and infinities)."""

import math
from typing import Any

from streamgauge.core.alerts.group import Group
from streamgauge.core.alerts.grouping import Member
from streamgauge.core.alerts.identity import AlertKey
from streamgauge.core.alerts.lifecycle import Entry, State
from streamgauge.core.alerts.policy import Severity
from streamgauge.core.alerts.record import AlertRecord, AlertStatus
from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.slices import RowKey

Data = dict[str, Any]


def group_to_data(group: Group) -> Data:
    """Return a group as dicts, lists, strings, numbers and None."""
    entry = group.entry
    return {
        "key": _key_to_data(group.key),
        "entry": [entry.state.value, entry.since, entry.clear_since, entry.silenced],
        "members": [
            [m.verdict.value, _finding_to_data(m.finding), m.seen, m.onset]
            for _, m in sorted(group.members.items())
        ],
        "speaker": _finding_to_data(group.speaker),
        "record": None if group.record is None else _record_to_data(group.record),
    }


def group_from_data(data: Data) -> Group:
    """Return the group that `group_to_data` wrote."""
    key = _key_from_data(data["key"])
    state, since, clear_since, silenced = data["entry"]
    members = [
        Member(Verdict(verdict), _finding_from_data(item, key), *times)
        for verdict, item, *times in data["members"]
    ]
    speaker, record = data["speaker"], data["record"]
    return Group(
        key=key,
        entry=Entry(State(state), since, clear_since, silenced),
        members={m.finding.row: m for m in members},
        speaker=_finding_from_data(speaker, key),
        record=None if record is None else _record_from_data(record, key),
    )


def _key_to_data(key: AlertKey) -> list[str]:
    subject = key.subject
    return [key.model, key.version, subject.kind.value, subject.name, key.detector, key.anchor]


def _key_from_data(data: list[str]) -> AlertKey:
    model, version, kind, name, detector, anchor = data
    return AlertKey(model, version, Subject(SubjectKind(kind), name), detector, anchor)


def _finding_to_data(finding: Finding) -> Data:
    return {
        "slice": _pairs_to_data(finding.row.slice),
        "verdict": finding.verdict.value,
        "statistic": _number_to_data(finding.statistic),
        "threshold": _number_to_data(finding.threshold),
        "effect": _effect_to_data(finding.effect),
        "samples": int(finding.samples),
        "start": int(finding.start),
        "end": int(finding.end),
        "onset": None if finding.onset is None else int(finding.onset),
        "detail": finding.detail,
        "explains": None if finding.explains is None else _number_to_data(finding.explains),
        "excess": None if finding.excess is None else _number_to_data(finding.excess),
    }


def _finding_from_data(data: Data, key: AlertKey) -> Finding:
    return Finding(
        model=key.model,
        row=RowKey(key.version, _pairs_from_data(data["slice"])),
        subject=key.subject,
        detector=key.detector,
        verdict=Verdict(data["verdict"]),
        statistic=float(data["statistic"]),
        threshold=float(data["threshold"]),
        effect=_effect_from_data(data["effect"]),
        samples=data["samples"],
        start=data["start"],
        end=data["end"],
        onset=data["onset"],
        detail=data["detail"],
        explains=None if data["explains"] is None else float(data["explains"]),
        excess=None if data["excess"] is None else float(data["excess"]),
    )


def _record_to_data(record: AlertRecord) -> Data:
    return {
        "alert_id": record.alert_id,
        "fingerprint": record.fingerprint,
        "revision": record.revision,
        "status": record.status.value,
        "severity": record.severity.value,
        "slice": _pairs_to_data(record.slice),
        "statistic": _number_to_data(record.statistic),
        "threshold": _number_to_data(record.threshold),
        "effect": _effect_to_data(record.effect),
        "samples": record.samples,
        "start": int(record.start),
        "end": int(record.end),
        "onset": None if record.onset is None else int(record.onset),
        "starts_at": record.starts_at,
        "ends_at": record.ends_at,
        "summary": record.summary,
        "causes": [dict(cause) for cause in record.causes],
        "labels": _pairs_to_data(record.labels),
        "annotations": _pairs_to_data(record.annotations),
    }


def _record_from_data(data: Data, key: AlertKey) -> AlertRecord:
    return AlertRecord(
        alert_id=data["alert_id"],
        fingerprint=data["fingerprint"],
        revision=data["revision"],
        status=AlertStatus(data["status"]),
        severity=Severity(data["severity"]),
        model=key.model,
        model_version=key.version,
        slice=_pairs_from_data(data["slice"]),
        subject=key.subject,
        detector=key.detector,
        statistic=float(data["statistic"]),
        threshold=float(data["threshold"]),
        effect=_effect_from_data(data["effect"]),
        samples=data["samples"],
        start=data["start"],
        end=data["end"],
        onset=data["onset"],
        starts_at=data["starts_at"],
        ends_at=data["ends_at"],
        summary=data["summary"],
        causes=tuple(data["causes"]),
        labels=_pairs_from_data(data["labels"]),
        annotations=_pairs_from_data(data["annotations"]),
    )


def _effect_to_data(effect: Effect) -> list[Any]:
    return [effect.measure, *map(_number_to_data, (effect.value, effect.lower, effect.upper))]


def _effect_from_data(data: list[Any]) -> Effect:
    measure, value, lower, upper = data
    return Effect(measure, float(value), float(lower), float(upper))


def _pairs_to_data(pairs: tuple[tuple[str, str], ...]) -> list[list[str]]:
    return [list(pair) for pair in pairs]


def _pairs_from_data(data: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in data)


def _number_to_data(value: float) -> float | str:
    """Return a float, as text where JSON has no number for it."""
    value = float(value)
    return value if math.isfinite(value) else repr(value)
