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
    cuts: int
    cut_s: float


SHORT: Final = Form("short", 70_000, 1_000.0, 10, 3, 12.0, 1, 1, 8.0)
LONG: Final = Form("long", 600_000, 700.0, 200, 50, 600.0, 20, 3, 60.0)
