"""Wording: what an alert says to people, in one sentence."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from streamgauge.core.findings import Effect, Finding
from streamgauge.core.layout import LATENCY, STATUS, Subject, SubjectKind
from streamgauge.core.slices import RowKey

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TEXT_LIMIT: Final = 120
"""Longest piece of foreign text (a name, a slice value) that is quoted in full."""
MOST_TIMES: Final = 1e12
"""Beyond this, how many times larger evidence is tells nobody anything."""
SCALES: Final = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
NAMED_ROWS: Final = 3
NAMED_SUBJECTS: Final = 8


def number(value: float) -> str:
    """Write a number with three significant digits: `1,420`, `0.98`, `3.2e-06`."""
    if not math.isfinite(value):
        return "unknown"
    value += 0.0  # minus zero reads badly
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        return f"{value:.2g}"
    # Rounded first, so that 999.7 becomes 1,000 and not 1e+03.
    return f"{value:,.0f}" if float(f"{size:.3g}") >= 1000 else f"{value:.3g}"


def percent(value: float) -> str:
    """Write a share as a percentage: `12.3 %`."""
    return f"{number(100 * value)} %"


def _points(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(100 * value)}"


class Wording(NamedTuple):
    """What a measure is called, how its values are written, and in what unit."""

    name: str
    write: Callable[[float], str] = number
    unit: str = ""


MEASURES: Final = {
    "psi": Wording("PSI"),
    "kl": Wording("Kullback-Leibler divergence"),
    "js": Wording("Jensen-Shannon distance"),
    "hellinger": Wording("Hellinger distance"),
    "tvd": Wording("share of events that moved", percent),
    "linf": Wording("largest share that moved", percent),
    "share": Wording("share changed by", _points, " points"),
    "chi2": Wording("chi-square divergence"),
    "ks": Wording("Kolmogorov-Smirnov distance"),
    "wasserstein": Wording("Wasserstein distance", number, " σ"),
    "mean_shift": Wording("mean moved by", number, " σ"),
}
"""Measures that have words of their own; others are called what they are called."""

FAULTS: Final = {
    "missing": "missing values",
    "wrong_type": "values of a wrong type",
    "not_finite": "values that are no finite number",
    "out_of_range": "values out of range",
    "unseen": "unseen values",
}
"""What a fault of data quality is called; its subject's name is `feature.fault`."""


class Judged(NamedTuple):
    """How a subject of performance is spoken of.

    `name` is what it is called, `share` how a change of its share is introduced, `against` what it
    is held against.
    """

    name: str
    share: str = "changed by"
    against: str = "the reference"


PERFORMANCE: Final = {
    "error_rate": Judged("error rate"),
    "log_loss": Judged("log loss"),
    "absolute_error": Judged("size of errors"),
    "prediction_error": Judged("prediction error"),
    "estimate_gap": Judged(
        "errors beyond what scores let expect", against="what the scores let expect"
    ),
    "calibration_low": Judged("outcomes at low scores", "share that came true changed by"),
    "calibration_middle": Judged("outcomes at middle scores", "share that came true changed by"),
    "calibration_high": Judged("outcomes at high scores", "share that came true changed by"),
    "label_coverage": Judged("predictions without a label", against="the configured coverage"),
}
"""Subjects of performance by name; others are called what they are called."""


def utc(ms: int) -> str:
    """Write event time for people: `2013-10-08 04:00 UTC`, with seconds where there are any.

    Raises OverflowError outside the years 1 to 9999.
    """
    moment = EPOCH + timedelta(milliseconds=ms)
    clock = f"{moment:%H:%M}" if ms % 60_000 == 0 else f"{moment:%H:%M:%S}"
    return f"{moment.date().isoformat()} {clock} UTC"


def clean(text: str) -> str:
    """Return foreign text fit for a sentence: printable, on one line, not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= TEXT_LIMIT else f"{line[: TEXT_LIMIT - 1]}…"


def topic(subject: Subject) -> str:
    """Name a subject: `distance`, `score`, `failed requests`, `missing values in distance`."""
    match subject.kind:
        case SubjectKind.SCORE:
            return "score"
        case SubjectKind.PREDICTION:
            return "predictions"
        case SubjectKind.LABEL:
            return "labels"
        case SubjectKind.DATA_QUALITY:
            feature, _, fault = subject.name.rpartition(".")
            words = FAULTS.get(fault)
            return f"{words} in {clean(feature)}" if feature and words else clean(subject.name)
        case SubjectKind.PIPELINE:
            return f"pipeline {clean(subject.name)}"
        case SubjectKind.PERFORMANCE:
            known = PERFORMANCE.get(subject.name)
            return known.name if known else clean(subject.name).replace("_", " ")
        case SubjectKind.SERVICE if subject == STATUS:
            return "failed requests"
        case SubjectKind.SERVICE if subject == LATENCY:
            return "latency"
        case _:
            return clean(subject.name)


def place(model: str, row: RowKey) -> str:
    """Name a row: `flight-delay version 4, carrier=UA`."""
    version = f" version {clean(row.version)}" if row.version else ""
    where = f", {clean(row.label())}" if row.slice else ""
    return f"{clean(model)}{version}{where}"


def effect_text(effect: Effect, subject: Subject | None = None) -> str:
    """Write an effect with its interval: `Wasserstein distance 1.02 σ [0.98 to 1.06]`.

    `subject` is what it is about, where that has words of its own.
    """
    if effect.measure == "traffic":
        return _traffic_text(effect)
    wording = MEASURES.get(effect.measure) or Wording(clean(effect.measure).replace("_", " "))
    if effect.measure == "share" and (judged := _judged(subject)):
        wording = wording._replace(name=judged.share)
    if not math.isfinite(effect.value):
        return f"{wording.name} unknown"
    text = f"{wording.name} {wording.write(effect.value)}{wording.unit}"
    if math.isfinite(effect.lower) and math.isfinite(effect.upper):
        text += f" [{wording.write(effect.lower)} to {wording.write(effect.upper)}]"
    return text


def _traffic_text(effect: Effect) -> str:
    """Write a change of traffic: `75 % fewer events [72 % to 78 %]`."""
    sign, word = (-1.0, "fewer") if effect.value < 0 else (1.0, "more")
    low, high = sorted((sign * effect.lower, sign * effect.upper))
    interval = f"[{percent(low)} to {percent(high)}]"
    return f"{percent(sign * effect.value)} {word} events {interval}"


def certainty(finding: Finding) -> str:
    """Say how sure: `1,240 events, evidence 500 times what the budget of false alarms asks for`.

    The factor is e^excess; a budget so many times smaller would still have had this alarm.
    """
    events = "1 event" if finding.samples == 1 else f"{finding.samples:,} events"
    if finding.excess is None or math.isnan(finding.excess):
        return events
    return f"{events}, evidence {_times(finding.excess)}what the budget of false alarms asks for"


def _times(nats: float) -> str:
    """Write e^nats with two significant digits: `just `, `3.4 times `, `2.5 billion times `."""
    if nats < math.log(1.05):
        return "just "
    if nats > math.log(MOST_TIMES):
        return "over a trillion times "
    factor = float(f"{math.exp(nats):.2g}")
    for unit, word in SCALES:
        if factor >= unit:
            return f"{factor / unit:.3g} {word} times "
    return f"{number(factor)} times "


def rows_text(rows: Sequence[RowKey], within: int = 0, named: int = NAMED_ROWS) -> str:
    """Name the first rows and count the rest: `origin=EWR and 3 more slices`.

    `within` more are only counted: slices of what the text is about.
    """
    if not rows:
        return f"{within:,} slice{'s' if within > 1 else ''} within it" if within else ""
    names = [clean(row.label()) or "all events" for row in rows[:named]]
    return _listed(names, len(rows) - len(names) + within, "slice")


def topics_text(subjects: Sequence[Subject], named: int = NAMED_SUBJECTS) -> str:
    """Name the first subjects and count the rest: `distance, air_time and 2 more subjects`."""
    return _listed([topic(s) for s in subjects[:named]], len(subjects[named:]), "subject")


def firing_summary(
    finding: Finding, onset: int | None, others: Sequence[RowKey], within: int = 0
) -> str:
    """Say what moved, since when, how much, against what and how sure.

    `others` are the rows to name that moved with it, the most telling first; `within` is the
    number of slices of its own that did.
    """
    since = finding.start if onset is None else onset
    also = f"; also {text}" if (text := rows_text(others, within, 1)) else ""
    return (
        f"{_what(finding)}: {_how_much(finding)}, since {utc(since)} ({certainty(finding)}){also}."
    )


def resolved_summary(finding: Finding, starts_at: int, clear_since: int) -> str:
    """Say that a change is over, with the figures of now."""
    return (
        f"{_what(finding)}: back within the tolerance since {utc(clear_since)}, "
        f"now {_how_much(finding)} ({certainty(finding)}); "
        f"the alert stood since {utc(starts_at)}."
    )


def no_data_summary(finding: Finding, starts_at: int, last_seen: int) -> str:
    """Say that an alert was closed because nothing could be judged any more."""
    return (
        f"{_what(finding)}: too few events since {utc(last_seen)}, so the alert of "
        f"{utc(starts_at)} was closed; last known: {_how_much(finding)}."
    )


def _what(finding: Finding) -> str:
    return f"{topic(finding.subject)} of {place(finding.model, finding.row)}"


def _how_much(finding: Finding) -> str:
    effect = effect_text(finding.effect, finding.subject)
    judged = _judged(finding.subject)
    against = judged.against if judged else "the reference"
    text = f"{effect} against {against}"
    return f"{clean(finding.detail)}, {text}" if finding.detail else text


def _judged(subject: Subject | None) -> Judged | None:
    if subject is None or subject.kind is not SubjectKind.PERFORMANCE:
        return None
    return PERFORMANCE.get(subject.name)


def _listed(names: list[str], rest: int, noun: str) -> str:
    if rest:
        names = [*names, f"{rest:,} more {noun}{'s' if rest > 1 else ''}"]
    return " and ".join(text for text in (", ".join(names[:-1]), "".join(names[-1:])) if text)
