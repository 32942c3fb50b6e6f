"""Identity: names of alerts that are pure functions of what they are about."""

from hashlib import sha256
from typing import NamedTuple

from streamgauge.core.findings import Finding
from streamgauge.core.layout import Subject


class AlertKey(NamedTuple):
    """What one alert is about; slices that moved with each other share one alert.

    The detector belongs to it because statistics of different detectors cannot be compared. The
    anchor tells alerts of one subject apart: empty for the first one, for others the label of the
    row that they began with.
    """

    model: str
    version: str
    subject: Subject
    detector: str
    anchor: str = ""


def topic_of(finding: Finding) -> AlertKey:
    """Return what a finding is about: the key of its alert, without an anchor."""
    return AlertKey(finding.model, finding.row.version, finding.subject, finding.detector)


def fingerprint(app: str, key: AlertKey) -> str:
    """Return 16 hex digits that are the same for the same alert of the same app, always."""
    kind, name = key.subject.kind, key.subject.name
    anchor = (key.anchor,) if key.anchor else ()
    return _digest(app, key.model, key.version, kind, name, key.detector, *anchor)


def alert_id(fingerprint: str, starts_at: int) -> str:
    """Return 16 hex digits for one firing of an alert, by the event time at which it fired."""
    return _digest(fingerprint, str(starts_at))


def _digest(*parts: str) -> str:
    # Lengths in front, so that ("ab", "c") and ("a", "bc") differ whatever the parts hold.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
