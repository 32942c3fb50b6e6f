import pytest

from streamgauge.config import format_duration, parse_duration, window_step
from streamgauge.config.budget import Budget, parse_budget

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("500ms", 500),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", HOUR),
        ("1d", 24 * HOUR),
        ("1w", 168 * HOUR),
        ("0s", 0),
        ("090m", 90 * 60_000),
        ("3650d", 3650 * 24 * HOUR),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "text",
    ["", "10", "s", "1.5h", "-5m", "+5m", "5 m", "5M", "5min", "1h30m", "٣s", "5m\n", "3651d",
     "999999999999999w", "9" * 5000 + "s"],
)  # fmt: skip
def test_no_other_text_is_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0s"), (1, "1ms"), (1_500, "1500ms"), (90_000, "90s"), (48 * HOUR, "2d"), (HOUR, "1h")],
)
def test_a_duration_is_written_in_the_largest_unit_that_fits(milliseconds: int, text: str) -> None:
    assert format_duration(milliseconds) == text


@pytest.mark.parametrize(
    ("window", "pane", "step"),
    [
        ("10s", "10s", "10s"),  # one pane
        ("5m", "10s", "10s"),  # 30 panes: no coarser ones needed
        ("640s", "10s", "10s"),  # exactly 64
        ("650s", "10s", "50s"),  # 65 = 5·13
        ("1h", "10s", "1m"),  # 360: 60 steps of 6
        ("1d", "10s", "1350s"),  # 8640: 64 steps of 135
        ("670s", "10s", "670s"),  # 67 is prime
        ("4w", "1m", "630m"),  # 40320: 64 steps of 630
    ],
)
def test_a_long_window_moves_by_a_coarser_pane(window: str, pane: str, step: str) -> None:
    assert window_step(parse_duration(window), parse_duration(pane)) == parse_duration(step)


def test_the_step_is_the_smallest_multiple_of_the_pane_in_at_most_64_steps() -> None:
    pane = 10_000
    for panes in range(1, 2_000):
        multiples = (k for k in range(1, panes + 1) if panes % k == 0 and panes // k <= 64)
        assert window_step(panes * pane, pane) == next(multiples) * pane


@pytest.mark.parametrize(("window", "pane"), [(0, 10), (-10, 10), (15, 10), (10, 0), (5, 10)])
def test_a_window_that_is_not_made_of_panes_has_no_step(window: int, pane: int) -> None:
    with pytest.raises(ValueError, match="not made of panes"):
        window_step(window, pane)


@pytest.mark.parametrize(
    ("text", "count", "hours"),
    [
        ("1 per week", 1.0, 168),
        ("0.5 per day", 0.5, 24),
        ("12 per hour", 12.0, 1),
        ("3 per month", 3.0, 720),
        ("1  per  year", 1.0, 8760),
    ],
)
def test_a_budget_is_a_number_of_alarms_in_a_period(text: str, count: float, hours: int) -> None:
    budget = parse_budget(text)
    assert (budget.count, budget.period_ms) == (count, hours * HOUR)
    assert parse_budget(str(budget)) == budget


def test_a_budget_is_written_without_idle_digits() -> None:
    assert str(Budget(1.0, "week")) == "1 per week"
    assert str(Budget(100.25, "day")) == "100.25 per day"


@pytest.mark.parametrize(
    "text", ["", "1", "per week", "-1 per week", "1 per fortnight", "one per week", "1e9 per week",
             "1/week", "0 per week", "0.0 per day", "nan per day"],
)  # fmt: skip
def test_no_other_text_is_a_budget(text: str) -> None:
    with pytest.raises(ValueError, match="budget"):
        parse_budget(text)
