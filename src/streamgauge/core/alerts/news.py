"""News: whether a firing alert has changed enough for another revision."""

import math

from streamgauge.core.alerts.lifecycle import Reason
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.alerts.record import AlertRecord
from streamgauge.core.findings import Effect, Finding, Verdict


def news(last: AlertRecord, speaker: Finding, policy: AlertPolicy) -> Reason:
    """Return why the alert needs a new revision, or `still_firing` if it needs none.

    `last` is what was published, `speaker` the finding that speaks for the alert now. Severity
    only ever rises while an alert fires. While a period fills with a change, or empties of it, its
    effect grows and shrinks although the change itself does not, so a changed effect is news only
    where the two periods share no event.
    """
    if speaker.row.slice != last.slice:
        return Reason.REPRESENTATIVE_CHANGED
    if speaker.verdict is not Verdict.DRIFT:
        return Reason.STILL_FIRING
    severity = policy.severity(speaker.subject, speaker.effect, speaker.excess)
    if severity.rank > last.severity.rank:
        return Reason.SEVERITY_RAISED
    if speaker.start >= last.end and effect_changed(
        last.effect, speaker.effect, policy.change_factor
    ):
        return Reason.EFFECT_CHANGED
    return Reason.STILL_FIRING


def effect_changed(last: Effect, new: Effect, factor: float) -> bool:
    """Say whether an effect grew or shrank by the factor and left the interval it had.

    A change of sign counts; values of different measures, or unknown ones, are never compared.
    """
    if new.measure != last.measure or not (math.isfinite(new.value) and math.isfinite(last.value)):
        return False
    if new.value == last.value or last.lower <= new.value <= last.upper:
        return False
    if new.value * last.value <= 0:
        return True
    small, large = sorted((abs(new.value), abs(last.value)))
    return large >= factor * small
