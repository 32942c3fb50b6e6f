import math
from dataclasses import replace

import pytest

from streamgauge.core.alerts.book import AlertBook
from streamgauge.core.alerts.lifecycle import Reason
from streamgauge.core.alerts.news import effect_changed, news
from streamgauge.core.alerts.policy import AlertPolicy, Grade, Severity
from streamgauge.core.findings import Effect, Verdict
from tests.support.alert_findings import EWR, MINUTE, T0, UA, finding

POLICY = AlertPolicy(
    change_factor=1.5,
    grades=(Grade(Severity.WARNING), Grade(Severity.CRITICAL, measure="tvd", at_least=0.5)),
)
LAST = AlertBook("flights", POLICY).update(
    [finding(at=UA, effect=Effect("tvd", 0.2, 0.15, 0.25))], T0
)[0]


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        # The same, or within the interval that was published: no news.
        ((0.2, 0.15, 0.25), False),
        ((0.25, 0.2, 0.3), False),
        # Outside the interval, but not by the factor.
        ((0.29, 0.25, 0.33), False),
        # By the factor, up or down.
        ((0.31, 0.25, 0.37), True),
        ((0.13, 0.1, 0.16), True),
        # The other direction, or gone.
        ((-0.2, -0.25, -0.15), True),
        ((0.0, 0.0, 0.0), True),
        # Not known.
        ((math.nan, math.nan, math.nan), False),
        ((math.inf, math.nan, math.nan), False),
    ],
)
def test_an_effect_has_changed_outside_its_interval_and_by_the_factor(
    new: tuple[float, float, float], changed: bool
) -> None:
    assert effect_changed(Effect("tvd", 0.2, 0.15, 0.25), Effect("tvd", *new), 1.5) is changed


def test_without_an_interval_the_factor_alone_decides() -> None:
    last = Effect("tvd", 0.2, math.nan, math.nan)
    assert effect_changed(last, Effect("tvd", 0.31, math.nan, math.nan), 1.5)
    assert not effect_changed(last, Effect("tvd", 0.29, math.nan, math.nan), 1.5)


def test_effects_of_different_measures_are_never_compared() -> None:
    assert not effect_changed(Effect("tvd", 0.2, 0.1, 0.3), Effect("psi", 9.0, 8.0, 10.0), 1.5)


def test_a_factor_of_one_makes_no_news_of_an_equal_effect() -> None:
    last = Effect("tvd", 0.2, math.nan, math.nan)
    assert not effect_changed(last, last, 1.0)


def test_the_reason_of_a_revision_is_the_first_that_applies() -> None:
    later = T0 + 5 * MINUTE
    same = finding(at=UA, effect=Effect("tvd", 0.2, 0.15, 0.25), now=later)
    assert news(LAST, same, POLICY) is Reason.STILL_FIRING
    grown = replace(same, effect=Effect("tvd", 0.4, 0.35, 0.45))
    assert news(LAST, grown, POLICY) is Reason.EFFECT_CHANGED
    severe = replace(same, effect=Effect("tvd", 0.6, 0.55, 0.65))
    assert news(LAST, severe, POLICY) is Reason.SEVERITY_RAISED
    elsewhere = replace(severe, row=EWR)
    assert news(LAST, elsewhere, POLICY) is Reason.REPRESENTATIVE_CHANGED


def test_a_changed_effect_is_news_once_the_period_shares_no_event_with_the_last() -> None:
    grown = Effect("tvd", 0.4, 0.35, 0.45)
    for now, reason in (
        (LAST.end + 5 * MINUTE - 1, "still_firing"),
        (LAST.end + 5 * MINUTE, "effect_changed"),
    ):
        assert news(LAST, finding(at=UA, effect=grown, now=now), POLICY) == reason
    # Severity does not wait.
    severe = finding(at=UA, effect=Effect("tvd", 0.6, 0.55, 0.65), now=LAST.end + 1)
    assert news(LAST, severe, POLICY) is Reason.SEVERITY_RAISED


def test_severity_never_falls_while_an_alert_fires() -> None:
    last = replace(LAST, severity=Severity.CRITICAL)
    same = finding(at=UA, effect=Effect("tvd", 0.2, 0.15, 0.25))
    assert news(last, same, POLICY) is Reason.STILL_FIRING


def test_figures_without_evidence_are_no_news() -> None:
    shrunk = finding(Verdict.UNDECIDED, UA, effect=Effect("tvd", 0.01, 0.0, 0.02))
    assert news(LAST, shrunk, POLICY) is Reason.STILL_FIRING
