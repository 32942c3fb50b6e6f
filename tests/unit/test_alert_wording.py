import math
from datetime import UTC, datetime

import pytest

from streamgauge.core.alerts.wording import (
    TEXT_LIMIT,
    certainty,
    clean,
    effect_text,
    firing_summary,
    no_data_summary,
    number,
    percent,
    place,
    resolved_summary,
    rows_text,
    topic,
    topics_text,
    utc,
)
from streamgauge.core.findings import Effect
from streamgauge.core.layout import (
    LABEL,
    LATENCY,
    PREDICTION,
    SCORE,
    STATUS,
    Subject,
    SubjectKind,
)
from tests.support.alert_findings import (
    AIR_TIME,
    DISTANCE,
    EWR,
    HOUR,
    T0,
    UA,
    UA_EWR,
    WHOLE,
    finding,
    row,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.02, "1.02"),
        (0.98, "0.98"),
        (1.0, "1"),
        (12.345, "12.3"),
        (0.00012345, "0.000123"),
        (0.0000321, "3.2e-05"),
        (999.4, "999"),
        (999.7, "1,000"),
        (1420.0, "1,420"),
        (-1234567.8, "-1,234,568"),
        (3.21e18, "3.2e+18"),
        (math.nan, "unknown"),
        (math.inf, "unknown"),
    ],
)
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert number(value) == text


def test_shares_are_written_as_percentages() -> None:
    assert percent(0.1234) == "12.3 %"


@pytest.mark.parametrize("ms", [0, T0, T0 + 10_000, -HOUR, 253_402_300_799_000])
def test_times_are_written_in_utc_with_seconds_where_there_are_any(ms: int) -> None:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    pattern = "%H:%M UTC" if moment.second == 0 else "%H:%M:%S UTC"
    assert utc(ms) == f"{moment.date().isoformat()} {moment.strftime(pattern)}"


def test_a_time_that_no_calendar_has_is_an_overflow() -> None:
    with pytest.raises(OverflowError):
        utc(10**15)


def test_foreign_text_comes_on_one_line_and_not_too_long() -> None:
    assert clean("a\n b\t\x1b[31mc\u202e") == "a b [31mc"
    assert clean("x" * TEXT_LIMIT) == "x" * TEXT_LIMIT
    cut = clean("x" * (TEXT_LIMIT + 1))
    assert len(cut) == TEXT_LIMIT
    assert cut.endswith("…")


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (DISTANCE, "distance"),
        (SCORE, "score"),
        (PREDICTION, "predictions"),
        (LABEL, "labels"),
        (STATUS, "failed requests"),
        (LATENCY, "latency"),
        (Subject(SubjectKind.SERVICE, "traffic"), "traffic"),
        (Subject(SubjectKind.PERFORMANCE, "log_loss"), "log loss"),
        (Subject(SubjectKind.PERFORMANCE, "error_rate"), "error rate"),
        (Subject(SubjectKind.PERFORMANCE, "calibration_low"), "outcomes at low scores"),
        (Subject(SubjectKind.PERFORMANCE, "estimate_gap"), "errors beyond what scores let expect"),
        (Subject(SubjectKind.PERFORMANCE, "own_figure"), "own figure"),
        (Subject(SubjectKind.DATA_QUALITY, "distance.missing"), "missing values in distance"),
        (Subject(SubjectKind.DATA_QUALITY, "a.b.unseen"), "unseen values in a.b"),
        (Subject(SubjectKind.DATA_QUALITY, "a.b"), "a.b"),
        (Subject(SubjectKind.PIPELINE, "lag"), "pipeline lag"),
    ],
)
def test_subjects_have_names_for_people(subject: Subject, text: str) -> None:
    assert topic(subject) == text


def test_a_row_is_named_by_model_version_and_slice() -> None:
    assert place("m", UA_EWR) == "m version 4, carrier=UA,origin=EWR"
    assert place("m", WHOLE) == "m version 4"
    assert place("m", row(version="")) == "m"


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (Effect("wasserstein", 1.02, 0.98, 1.06), "Wasserstein distance 1.02 σ [0.98 to 1.06]"),
        (Effect("share", 0.13, 0.119, 0.142), "share changed by +13 points [+11.9 to +14.2]"),
        (Effect("share", -0.13, -0.14, -0.12), "share changed by -13 points [-14 to -12]"),
        (Effect("tvd", 0.25, 0.2, 0.3), "share of events that moved 25 % [20 % to 30 %]"),
        (Effect("own_measure", 1234.5, math.nan, 2.0), "own measure 1,234"),
        (Effect("psi", math.nan, 0.1, 0.2), "PSI unknown"),
    ],
)
def test_effects_come_with_their_interval(effect: Effect, text: str) -> None:
    assert effect_text(effect) == text


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (0.5, "just"),
        (1.0, "just"),
        (1.04, "just"),
        (1.06, "1.1 times"),
        (3.44, "3.4 times"),
        (9.97, "10 times"),
        (496.0, "500 times"),
        (1_240.0, "1,200 times"),
        (999_999.0, "1 million times"),
        (2_480_000.0, "2.5 million times"),
        (56e9, "56 billion times"),
        (0.999e12, "1 trillion times"),
        (1.01e12, "over a trillion times"),
        (math.inf, "over a trillion times"),
    ],
)
def test_how_sure_is_told_by_the_evidence_against_the_budget(factor: float, text: str) -> None:
    assert certainty(finding(samples=1240, excess=math.log(factor))) == (
        f"1,240 events, evidence {text} what the budget of false alarms asks for"
    )


def test_without_evidence_that_counts_against_the_budget_only_events_are_told() -> None:
    assert certainty(finding(samples=1240)) == "1,240 events"
    assert certainty(finding(samples=1, excess=math.nan)) == "1 event"


def test_many_rows_are_named_and_counted() -> None:
    assert rows_text([]) == ""
    assert rows_text([EWR]) == "origin=EWR"
    assert rows_text([EWR, UA], named=1) == "origin=EWR and 1 more slice"
    assert rows_text([EWR, WHOLE, UA, UA_EWR], named=1) == "origin=EWR and 3 more slices"
    assert rows_text([EWR, WHOLE, UA]) == "origin=EWR, all events and carrier=UA"
    assert rows_text([EWR, WHOLE, UA, UA_EWR]) == (
        "origin=EWR, all events, carrier=UA and 1 more slice"
    )
    assert topics_text([DISTANCE, AIR_TIME]) == "distance and air_time"
    assert topics_text([DISTANCE, AIR_TIME, SCORE], 1) == "distance and 2 more subjects"


def test_slices_of_what_the_text_is_about_are_only_counted() -> None:
    assert rows_text([EWR], within=2) == "origin=EWR and 2 more slices"
    assert rows_text([EWR, UA], within=2, named=1) == "origin=EWR and 3 more slices"
    assert rows_text([], within=1) == "1 slice within it"
    assert rows_text([], within=1200) == "1,200 slices within it"
    assert firing_summary(finding(), None, [], 12).endswith("; also 12 slices within it.")


def test_a_firing_summary_says_what_since_when_how_much_against_what_and_how_sure() -> None:
    drift = finding(at=UA, onset=T0 - 2 * HOUR, excess=6.2)
    assert firing_summary(drift, T0 - HOUR, [EWR, WHOLE, UA_EWR, row(("origin", "JFK"))]) == (
        "distance of flight-delay version 4, carrier=UA: mean 1,420 to 2,285 (+61%), "
        "Wasserstein distance 1.02 σ [0.98 to 1.06] against the reference, "
        "since 2013-10-08 03:00 UTC (1,240 events, evidence 490 times what the budget of false "
        "alarms asks for); "
        "also origin=EWR and 3 more slices."
    )


def test_without_an_onset_the_summary_counts_from_the_start_of_the_period() -> None:
    quality = finding(
        subject=Subject(SubjectKind.DATA_QUALITY, "carrier.missing"),
        effect=Effect("share", 0.13, 0.12, 0.14),
        detail="1.00% to 14.00%",
    )
    assert firing_summary(quality, None, []) == (
        "missing values in carrier of flight-delay version 4: 1.00% to 14.00%, "
        "share changed by +13 points [+12 to +14] against the reference, "
        "since 2013-10-08 03:55 UTC (1,240 events)."
    )


RATES = {
    "error_rate": (
        "error rate of flight-delay version 4: 12.30% to 15.10%, "
        "changed by +2.8 points [+2 to +3.6] against the reference"
    ),
    "estimate_gap": (
        "errors beyond what scores let expect of flight-delay version 4: 12.30% to 15.10%, "
        "changed by +2.8 points [+2 to +3.6] against what the scores let expect"
    ),
    "calibration_high": (
        "outcomes at high scores of flight-delay version 4: 12.30% to 15.10%, "
        "share that came true changed by +2.8 points [+2 to +3.6] against the reference"
    ),
    "label_coverage": (
        "predictions without a label of flight-delay version 4: 12.30% to 15.10%, "
        "changed by +2.8 points [+2 to +3.6] against the configured coverage"
    ),
    "own_figure": (
        "own figure of flight-delay version 4: 12.30% to 15.10%, "
        "share changed by +2.8 points [+2 to +3.6] against the reference"
    ),
}


@pytest.mark.parametrize(("name", "text"), RATES.items(), ids=RATES)
def test_performance_is_held_against_what_it_is_compared_with(name: str, text: str) -> None:
    worse = finding(
        subject=Subject(SubjectKind.PERFORMANCE, name),
        effect=Effect("share", 0.028, 0.02, 0.036),
        detail="12.30% to 15.10%",
    )
    assert firing_summary(worse, None, []) == f"{text}, since 2013-10-08 03:55 UTC (1,240 events)."
    assert f"now {text.split(': ')[1]} (1,240 events);" in resolved_summary(worse, T0, T0 + HOUR)
    assert no_data_summary(worse, T0, T0 + HOUR).endswith(f"last known: {text.split(': ')[1]}.")


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (Subject(SubjectKind.PERFORMANCE, "log_loss"), "log loss"),
        (Subject(SubjectKind.PERFORMANCE, "absolute_error"), "size of errors"),
        (Subject(SubjectKind.PERFORMANCE, "prediction_error"), "prediction error"),
        (LABEL, "labels"),
    ],
)
def test_distributions_of_outcomes_are_told_by_means_and_what_moved(
    subject: Subject, text: str
) -> None:
    moved = finding(
        subject=subject,
        effect=Effect("tvd", 0.12, 0.1, 0.14),
        detail="mean 0.41 to 0.52 (+27%)",
    )
    assert firing_summary(moved, None, []) == (
        f"{text} of flight-delay version 4: mean 0.41 to 0.52 (+27%), share of events that moved "
        "12 % [10 % to 14 %] against the reference, since 2013-10-08 03:55 UTC (1,240 events)."
    )


def test_a_summary_without_detail_or_effect_still_reads() -> None:
    bare = finding(subject=SCORE, detail="", effect=Effect("ks", math.nan, math.nan, math.nan))
    assert firing_summary(bare, None, []) == (
        "score of flight-delay version 4: Kolmogorov-Smirnov distance unknown "
        "against the reference, since 2013-10-08 03:55 UTC (1,240 events)."
    )


def test_a_resolved_summary_says_since_when_it_is_over() -> None:
    over = finding(at=UA, detail="mean 1,420 to 1,425", effect=Effect("psi", 0.01, 0.0, 0.02))
    assert resolved_summary(over, T0, T0 + HOUR) == (
        "distance of flight-delay version 4, carrier=UA: back within the tolerance since "
        "2013-10-08 05:00 UTC, now mean 1,420 to 1,425, PSI 0.01 [0 to 0.02] against the "
        "reference (1,240 events); the alert stood since 2013-10-08 04:00 UTC."
    )


def test_an_alert_without_data_is_closed_with_its_last_figures() -> None:
    assert no_data_summary(finding(effect=Effect("psi", 0.5, 0.4, 0.6)), T0, T0 + HOUR) == (
        "distance of flight-delay version 4: too few events since 2013-10-08 05:00 UTC, so the "
        "alert of 2013-10-08 04:00 UTC was closed; last known: mean 1,420 to 2,285 (+61%), "
        "PSI 0.5 [0.4 to 0.6] against the reference."
    )


def test_foreign_text_cannot_break_a_summary() -> None:
    nasty = row(("carrier", "UA\nresolved\x1b[2J" + "x" * 500))
    text = firing_summary(finding(at=nasty, detail="a\nb"), None, [nasty])
    assert text.isprintable()
    assert len(text) < 700
