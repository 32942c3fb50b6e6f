"""Performance: how good the model was in a window, by its labels and without them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from streamgauge.demo.alerts import milliseconds
from streamgauge.demo.story import date_text

METRICS: Final = {"accuracy": "accuracy", "auc": "AUC"}
"""The metrics that are shown, and how they are written."""
WORST_WEEKS: Final = 5
FEWEST_LABELS: Final = 500
"""Weeks with fewer labels say little; they are not ranked."""
WEEK_MS: Final = 7 * 86_400_000

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric's value with the limits of its 95 % confidence interval, None where unknown."""

    value: float
    lower: float | None
    upper: float | None

    @classmethod
    def read(cls, figure: Json | None) -> Self | None:
        """Return a figure of the JSON."""
        return None if figure is None else cls(figure["value"], figure["lower"], figure["upper"])

    def __str__(self) -> str:
        if self.lower is None or self.upper is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.lower:.3f} to {self.upper:.3f}]"


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric: of the labels that came, as estimated without labels, and in the reference."""

    realised: Figure | None
    estimated: Figure | None
    reference: Figure | None

    @classmethod
    def read(cls, line: Json) -> Self:
        """Return a metric's line of the JSON, what it lacks as None."""
        kinds = ("realised", "estimated", "reference")
        return cls(*(Figure.read(line.get(kind)) for kind in kinds))

    @property
    def shortfall(self) -> float:
        """How far the whole interval of a share lies below the reference; 0 where it does not."""
        if self.realised is None or self.realised.upper is None or self.reference is None:
            return 0.0
        return max(0.0, self.reference.value - self.realised.upper)


@dataclass(frozen=True, slots=True)
class Performance:
    """How good a version was in a window, event times `[start, end)` in ms.

    `samples` labels came in it. `coverage` is the labelled share of the predictions whose labels
    should have come, None before there are any; `pending` is how many predictions wait for theirs.
    """

    version: str
    start: int
    end: int
    samples: int
    coverage: float | None
    pending: int
    metrics: Mapping[str, Measured]

    @classmethod
    def read(cls, view: Json) -> Self | None:
        """Return what `/api/v1/models/<model>` says of its window; None before the first labels."""
        found = view["performance"]
        realised = found and found["realised"]
        if not realised or not realised["samples"]:
            return None
        lines = {line["metric"]: line for line in found["metrics"]}
        cohort = found["cohort"]
        return cls(
            version=view["window"]["version"],
            start=milliseconds(realised["start"]),
            end=milliseconds(realised["end"]),
            samples=realised["samples"],
            coverage=cohort and cohort["coverage"],
            pending=found["join"]["pending"],
            metrics={metric: Measured.read(lines.get(metric, {})) for metric in METRICS},
        )

    @property
    def accuracy(self) -> float:
        """The share of the labels that the model was right about, NaN where unknown."""
        realised = self.metrics["accuracy"].realised
        return float("nan") if realised is None else realised.value

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; times are event time in ms since the epoch."""
        return {
            "model_version": self.version,
            "start_ms": self.start,
            "end_ms": self.end,
            "samples": self.samples,
            "coverage": self.coverage,
            "pending": self.pending,
            "metrics": {
                name: {
                    "realised": _plain(found.realised),
                    "estimated": _plain(found.estimated),
                    "reference": _plain(found.reference),
                }
                for name, found in self.metrics.items()
            },
        }


def worst_weeks(seen: Sequence[Performance], count: int = WORST_WEEKS) -> list[Performance]:
    """Return the windows with the lowest accuracy, the lowest first, none of which overlap."""
    known = [p for p in seen if p.samples >= FEWEST_LABELS and p.accuracy >= 0.0]
    chosen: list[Performance] = []
    for candidate in sorted(known, key=lambda p: (p.accuracy, p.end)):
        if all(abs(candidate.end - other.end) >= WEEK_MS for other in chosen):
            chosen.append(candidate)
    return chosen[:count]


def week_line(week: Performance) -> str:
    """Write a week in one line: when, how good, and what was to be expected."""
    accuracy = week.metrics["accuracy"]
    parts = [f"7 days to {date_text(week.end)}, version {week.version}: accuracy"]
    parts.append(str(accuracy.realised))
    if accuracy.estimated is not None:
        parts.append(f"(without labels: {accuracy.estimated.value:.3f})")
    if accuracy.reference is not None:
        parts.append(f"against {accuracy.reference.value:.3f} in the reference,")
    parts.append(f"{week.samples:,} labels")
    return " ".join(parts)


def _plain(figure: Figure | None) -> dict[str, float | None] | None:
    if figure is None:
        return None
    return {"value": figure.value, "lower": figure.lower, "upper": figure.upper}
