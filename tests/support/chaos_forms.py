"""Forms: how much the chaos tests do, short by themselves and long in `make chaos`."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Form:
    """Numbers of faults, and how long they last (s)."""

    name: str
    predictions: int
    rate: float
    """Predictions a second; labels come on top."""
    kills: int
    freezes: int
    rebalances_s: float
    broker_kills: int
    """While all apps are at work, whose replicas share the machine with the broker."""
    broker_kills_alone: int
    """While one app with one replica is at work: these are timed."""
    cuts: int
    cut_s: float


SHORT: Final = Form("short", 70_000, 1_000.0, 10, 3, 12.0, 1, 0, 1, 8.0)
LONG: Final = Form("long", 600_000, 700.0, 200, 50, 600.0, 3, 20, 3, 60.0)
