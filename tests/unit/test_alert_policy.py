import math

import pytest

from streamgauge.core.alerts.policy import (
    AlertPolicy,
    Grade,
    Severity,
    Silence,
    assured_size,
    budget_levels,
    standard_grades,
)
from streamgauge.core.findings import Effect
from streamgauge.core.layout import LATENCY, STATUS, Subject, SubjectKind
from tests.support.alert_findings import DISTANCE, EWR, T0, UA, UA_EWR, WHOLE, finding

SOME = Effect("tvd", 0.2, 0.1, 0.3)
ACCURACY = Subject(SubjectKind.PERFORMANCE, "accuracy")


def test_harm_is_critical_and_a_moved_input_is_a_warning() -> None:
    policy = AlertPolicy()
    assert policy.severity(DISTANCE, SOME) is Severity.WARNING
    assert policy.severity(LATENCY, SOME) is Severity.WARNING
    assert policy.severity(STATUS, SOME) is Severity.CRITICAL
    assert policy.severity(ACCURACY, SOME) is Severity.CRITICAL


def test_a_lower_base_severity_leaves_harm_critical() -> None:
    policy = AlertPolicy(grades=standard_grades(Severity.INFO))
    assert policy.severity(DISTANCE, SOME) is Severity.INFO
    assert policy.severity(ACCURACY, SOME) is Severity.CRITICAL


def test_the_strongest_grade_whose_effect_is_assured_applies() -> None:
    policy = AlertPolicy(
        grades=(
            Grade(Severity.WARNING, SubjectKind.FEATURE, measure="tvd", at_least=0.1),
            Grade(Severity.CRITICAL, SubjectKind.FEATURE, "distance", "tvd", 0.15),
        )
    )
    assert policy.severity(DISTANCE, Effect("tvd", 0.2, 0.1, 0.3)) is Severity.WARNING
    assert policy.severity(DISTANCE, Effect("tvd", 0.2, 0.15, 0.3)) is Severity.CRITICAL
    assert policy.severity(DISTANCE, Effect("psi", 0.9, 0.8, 1.0)) is Severity.INFO
    assert policy.severity(ACCURACY, Effect("tvd", 0.9, 0.8, 1.0)) is Severity.INFO


LEVELS = budget_levels({Severity.CRITICAL: 1 / 365, Severity.WARNING: 1 / 7, Severity.INFO: 1.0})


def test_a_budget_needs_the_evidence_by_which_it_is_smaller_than_the_most_generous() -> None:
    severities, nats = zip(*LEVELS, strict=True)
    assert severities == (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
    assert nats == pytest.approx((0.0, math.log(7), math.log(365)), abs=1e-6)
    assert budget_levels({}) == ()


def test_budgets_that_differ_by_rounding_alone_need_the_same_evidence() -> None:
    day = 86_400_000
    levels = budget_levels({Severity.INFO: 1 / day, Severity.WARNING: 7.0000000001 / (7 * day)})
    assert AlertPolicy(levels=levels).levels == ((Severity.INFO, 0), (Severity.WARNING, 0))


@pytest.mark.parametrize(
    ("excess", "severity"),
    [
        (None, Severity.INFO),
        (-1.0, Severity.INFO),
        (math.nan, Severity.INFO),
        (0.0, Severity.INFO),
        (math.log(7) - 0.01, Severity.INFO),
        (math.log(7) + 0.01, Severity.WARNING),
        (math.log(365) - 0.01, Severity.WARNING),
        (math.log(365) + 0.01, Severity.CRITICAL),
        (math.inf, Severity.CRITICAL),
    ],
)
def test_an_alert_has_the_highest_severity_whose_budget_its_evidence_reaches(
    excess: float | None, severity: Severity
) -> None:
    policy = AlertPolicy(levels=LEVELS)
    for subject in (DISTANCE, LATENCY, STATUS, ACCURACY):
        assert policy.severity(subject, SOME, excess) is severity


def test_harm_is_critical_without_evidence_where_critical_has_no_budget() -> None:
    policy = AlertPolicy(levels=LEVELS[:2])
    assert policy.severity(ACCURACY, SOME, 0.0) is Severity.CRITICAL
    assert policy.severity(STATUS, SOME, None) is Severity.CRITICAL
    assert policy.severity(DISTANCE, SOME, 0.0) is Severity.INFO
    assert policy.severity(DISTANCE, SOME, 1_000.0) is Severity.WARNING


@pytest.mark.parametrize(
    ("effect", "size"),
    [
        (Effect("share", 0.2, 0.1, 0.3), 0.1),
        (Effect("share", -0.2, -0.3, -0.1), 0.1),
        (Effect("share", 0.1, -0.1, 0.3), 0.0),
        (Effect("share", -0.2, math.nan, math.nan), 0.2),
        (Effect("share", 0.2, 0.1, math.inf), 0.2),
    ],
)
def test_the_assured_size_is_the_smallest_effect_within_the_interval(
    effect: Effect, size: float
) -> None:
    assert assured_size(effect) == size


def test_an_unknown_effect_reaches_no_size() -> None:
    grade = Grade(Severity.CRITICAL, at_least=0.1)
    assert not grade.applies(DISTANCE, Effect("tvd", math.nan, math.nan, math.nan))


def test_a_silence_matches_what_it_names_until_it_ends() -> None:
    drift = finding(at=UA_EWR)
    assert Silence(T0 + 1).matches(drift, T0)
    assert not Silence(T0).matches(drift, T0)
    every = Silence(
        T0 + 1,
        model="flight-delay",
        version="4",
        kind=SubjectKind.FEATURE,
        name="distance",
        detector="distribution",
        slice=(("origin", "EWR"),),
    )
    assert every.matches(drift, T0)
    assert every.matches(finding(at=EWR), T0)
    assert not every.matches(finding(at=UA), T0)
    assert not every.matches(finding(at=WHOLE), T0)
    for other in (
        Silence(T0 + 1, model="x"),
        Silence(T0 + 1, version="x"),
        Silence(T0 + 1, kind=SubjectKind.SCORE),
        Silence(T0 + 1, name="x"),
        Silence(T0 + 1, detector="x"),
        Silence(T0 + 1, slice=(("origin", "JFK"),)),
    ):
        assert not other.matches(drift, T0)
    assert AlertPolicy(silences=(Silence(T0), every)).silence(drift, T0) is every


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="pending_for: must not be negative"):
        AlertPolicy(pending_for=-1)
    with pytest.raises(ValueError, match="resolve_after: must not be negative"):
        AlertPolicy(resolve_after=-1)
    with pytest.raises(ValueError, match="cool_down: must not be negative"):
        AlertPolicy(cool_down=-1)
    with pytest.raises(ValueError, match="together: must not be negative"):
        AlertPolicy(together=-1)
    with pytest.raises(ValueError, match="expire_after: must be positive"):
        AlertPolicy(expire_after=0)
    with pytest.raises(ValueError, match="max_alerts: must be positive"):
        AlertPolicy(max_alerts=0)
    with pytest.raises(ValueError, match="takeover_factor: must be 1 or more"):
        AlertPolicy(takeover_factor=0.5)
    with pytest.raises(ValueError, match="change_factor: must be 1 or more"):
        AlertPolicy(change_factor=math.nan)
    with pytest.raises(ValueError, match=r"levels: info with 2\.0 nats is out of order"):
        AlertPolicy(levels=((Severity.WARNING, 1.0), (Severity.INFO, 2.0)))
    with pytest.raises(ValueError, match=r"levels: critical with 0\.5 nats is out of order"):
        AlertPolicy(levels=((Severity.WARNING, 1.0), (Severity.CRITICAL, 0.5)))
    with pytest.raises(ValueError, match="levels: info with nan nats is out of order"):
        AlertPolicy(levels=((Severity.INFO, math.nan),))
