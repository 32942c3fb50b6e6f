"""The alert budget: how many false alarms are tolerated in how long."""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from streamgauge.config.schema import FROM_ENVIRONMENT
from streamgauge.config.section import refusal, shown

_HOUR: Final = 3_600_000
_PERIODS: Final = {
    "hour": _HOUR,
    "day": 24 * _HOUR,
    "week": 7 * 24 * _HOUR,
    "month": 30 * 24 * _HOUR,
    "year": 365 * 24 * _HOUR,
}
_BUDGET = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) +per +([a-z]+)")


@dataclass(frozen=True, slots=True)
class Budget:
    """`count` expected false alarms in one `period` (hour, day, week, month, year)."""

    count: float
    period: str

    @property
    def period_ms(self) -> int:
        """Return the period in milliseconds; a month has 30 days, a year 365."""
        return _PERIODS[self.period]

    @property
    def per_ms(self) -> float:
        """Return the expected false alarms in a millisecond."""
        return self.count / self.period_ms

    def exceeds(self, other: "Budget") -> bool:
        """Say whether this budget is the larger one, beyond rounding: 7 per week is 1 per day."""
        return self.per_ms > other.per_ms * (1.0 + 1e-9)

    def __str__(self) -> str:
        count = f"{self.count:.6f}".rstrip("0").rstrip(".")
        return f"{count} per {self.period}"


def parse_budget(text: str) -> Budget:
    """Return the budget that a text such as `1 per week` or `0.5 per day` names.

    Raises ValueError for any other text and for a count of zero.
    """
    match = _BUDGET.fullmatch(text.strip())
    if match is None or match[2] not in _PERIODS:
        raise ValueError(
            f"{shown(text)} is not a budget; write a number and a period out of"
            f" {', '.join(_PERIODS)}, such as 1 per week"
        )
    if float(match[1]) == 0.0:
        raise ValueError("a budget of zero would silence every alert; write 1 per year instead")
    return Budget(float(match[1]), match[2])


def _budget(value: object) -> Budget:
    if isinstance(value, Budget):
        return value
    if not isinstance(value, str):
        raise refusal("must be a number of false alarms in a period; write for example 1 per week")
    try:
        return parse_budget(value)
    except ValueError as error:
        raise refusal(str(error)) from None


BudgetText = Annotated[
    Budget,
    PlainValidator(_budget),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^([0-9.]+ +per +({'|'.join(_PERIODS)})|{FROM_ENVIRONMENT})$",
            "examples": ["1 per week", "3 per day"],
        }
    ),
]
"""A `Budget`, written as text."""
