"""What a model's detectors are asked to do."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from streamgauge.core.batch import BoolArray, IntArray
from streamgauge.core.layout import SubjectKind

TRAFFIC_PART: Final = 0.05
"""Part of a model's spending that goes to its traffic, where that is watched."""


class Feed(StrEnum):
    """What one update of an attached detector is: one event, or one closed pane."""

    EVENT = "event"
    PANE = "pane"


@dataclass(frozen=True, slots=True)
class AttachedSpec:
    """A detector of the River library on a named series of every version, outside the budget.

    `detector` is its name in lower case (`adwin`), `series` a feature's name, `score`, `status`,
    `latency` or a rate of bad values such as `distance.missing`; `parameters` are passed on.
    """

    detector: str
    series: str
    feed: Feed = Feed.EVENT
    parameters: tuple[tuple[str, float | int | str], ...] = ()


@dataclass(frozen=True, slots=True)
class LatencyLimit:
    """A share of requests that may take longer than `limit` seconds."""

    limit: float
    share: float


@dataclass(frozen=True, slots=True)
class TrafficLimit:
    """How far events in an hour may leave those of the reference's hour of the week, as a share."""

    tolerance: float


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A stretch of event time `[start, end)` in milliseconds that detectors are to know nothing of.

    Panes are what detectors see, so a pane is excluded when it shares any time with it.
    """

    start: int
    end: int


def excluded(exclusions: Iterable[Exclusion], times: IntArray, pane_ms: int) -> BoolArray:
    """Say of event times `(n,)` in milliseconds which of them lie in excluded panes."""
    found = np.zeros(len(times), bool)
    exclusions = tuple(exclusions)
    if not exclusions:
        return found
    starts = times // pane_ms * pane_ms
    for exclusion in exclusions:
        found |= (starts < exclusion.end) & (exclusion.start - pane_ms < starts)
    return found


@dataclass(frozen=True, slots=True)
class Spending:
    """The share of the alert budget that one model spends.

    `alarms` expected false alarms are allowed in `period_ms`; each series' part of that is
    proportional to the weight of its kind, 1 where `weights` names none.
    """

    alarms: float
    period_ms: int
    weights: tuple[tuple[SubjectKind, float], ...] = ()

    def per_pane(self, pane_ms: int) -> float:
        """Return how many false alarms a pane may cost."""
        return self.alarms * pane_ms / self.period_ms

    def divided(self, traffic: TrafficLimit | None) -> tuple["Spending", "Spending"]:
        """Return what shares may spend, and what traffic may."""
        part = 0.0 if traffic is None else TRAFFIC_PART
        shares = replace(self, alarms=self.alarms * (1.0 - part))
        return shares, replace(self, alarms=self.alarms * part)
