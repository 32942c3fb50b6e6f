"""Findings for alert tests, with every field that a test does not care about filled in."""

from streamgauge.core.findings import Effect, Finding, Verdict
from streamgauge.core.layout import Subject, SubjectKind
from streamgauge.core.slices import RowKey

MINUTE = 60_000
HOUR = 60 * MINUTE
T0 = 1_381_204_800_000
"""2013-10-08 04:00 UTC."""

DISTANCE = Subject(SubjectKind.FEATURE, "distance")
AIR_TIME = Subject(SubjectKind.FEATURE, "air_time")


def row(*pairs: tuple[str, str], version: str = "4") -> RowKey:
    """Return a row; without pairs the whole version."""
    return RowKey(version, pairs)


WHOLE = row()
UA = row(("carrier", "UA"))
EWR = row(("origin", "EWR"))
UA_EWR = row(("carrier", "UA"), ("origin", "EWR"))
EV_LGA = row(("carrier", "EV"), ("origin", "LGA"))


def finding(
    verdict: Verdict = Verdict.DRIFT,
    at: RowKey = WHOLE,
    *,
    statistic: float = 100.0,
    now: int = T0,
    subject: Subject = DISTANCE,
    detector: str = "distribution",
    length: int = 5 * MINUTE,
    effect: Effect | None = None,
    samples: int = 1240,
    onset: int | None = None,
    excess: float | None = None,
    detail: str = "mean 1,420 to 2,285 (+61%)",
    model: str = "flight-delay",
) -> Finding:
    """Return a finding about `[now - length, now)`."""
    return Finding(
        model=model,
        row=at,
        subject=subject,
        detector=detector,
        verdict=verdict,
        statistic=statistic,
        threshold=40.0,
        effect=effect or Effect("wasserstein", 1.02, 0.98, 1.06),
        samples=samples,
        start=now - length,
        end=now,
        onset=onset,
        detail=detail,
        excess=excess,
    )
