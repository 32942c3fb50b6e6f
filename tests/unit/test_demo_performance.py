"""What the demo reads of performance on the metrics page, and the weeks that it picks."""

from dataclasses import replace
from typing import Any

from streamgauge.demo.performance import (
    FEWEST_LABELS,
    WEEK_MS,
    Figure,
    Measured,
    Performance,
    week_line,
    worst_weeks,
)
from streamgauge.demo.scrape import Scrape

START = 1_381_204_800_000


def view(samples: int = 1_234) -> dict[str, Any]:
    accuracy = {
        "metric": "accuracy",
        "realised": {"value": 0.91, "lower": 0.9, "upper": 0.92},
        "estimated": {"value": 0.93, "lower": None, "upper": None},
        "reference": {"value": 0.95, "lower": 0.94, "upper": 0.96},
        "matured": None,
    }
    return {
        "window": {"name": "1w", "version": "4", "slice": ""},
        "performance": {
            "join": {"pending": 7, "joined": 30},
            "realised": {
                "start": "2013-10-08T04:00:00.000Z",
                "end": "2013-10-15T04:00:00.000Z",
                "samples": samples,
            },
            "cohort": {"coverage": 0.98},
            "metrics": [{"metric": "brier"}, accuracy],
        },
    }


WEEK = Performance(
    version="4",
    start=START,
    end=START + WEEK_MS,
    samples=1_234,
    coverage=0.98,
    pending=7,
    metrics={
        "accuracy": Measured(
            Figure(0.91, 0.9, 0.92), Figure(0.93, None, None), Figure(0.95, 0.94, 0.96)
        ),
        "auc": Measured(None, None, None),
    },
)


def week(end: int, accuracy: float, samples: int = FEWEST_LABELS) -> Performance:
    figure = Figure(accuracy, accuracy - 0.01, accuracy + 0.01)
    return replace(
        WEEK, end=end, samples=samples, metrics={"accuracy": Measured(figure, None, None)}
    )


def test_a_total_is_over_all_series_of_a_metric() -> None:
    scrape = Scrape.parse('# TYPE a counter\na{x="} 7",y="1"} 10\na{x="2"} 2e+01\na_b 5\n')
    assert scrape.total("a") == 30.0
    assert scrape.total("a_b") == 5.0
    assert scrape.total("b") == 0.0


def test_performance_is_what_the_status_page_says() -> None:
    assert Performance.read(view()) == WEEK


def test_before_the_first_labels_there_is_none() -> None:
    assert Performance.read(view(samples=0)) is None
    assert Performance.read({"window": None, "performance": None}) is None
    nothing = view() | {"performance": {"realised": None}}
    assert Performance.read(nothing) is None


def test_only_a_whole_interval_below_the_reference_falls_short() -> None:
    assert WEEK.metrics["accuracy"].shortfall == 0.95 - 0.92
    assert WEEK.metrics["auc"].shortfall == 0.0
    assert Measured(Figure(0.91, 0.9, 0.92), None, Figure(0.915, 0.91, 0.92)).shortfall == 0.0
    assert Measured(Figure(0.91, None, None), None, Figure(0.95, 0.9, 1.0)).shortfall == 0.0


def test_the_worst_weeks_do_not_overlap() -> None:
    day = WEEK_MS // 7
    seen = [week(day * i, 0.9 - (0.1 if i == 10 else 0.0) + i / 1_000) for i in range(30)]
    assert [found.end // day for found in worst_weeks(seen, 3)] == [10, 0, 17]


def test_weeks_of_few_labels_or_unknown_accuracy_are_not_ranked() -> None:
    unknown = replace(WEEK, metrics={"accuracy": Measured(None, None, None)})
    assert worst_weeks([week(0, 0.1, FEWEST_LABELS - 1), unknown]) == []


def test_a_week_in_one_line_has_all_that_it_is_held_against() -> None:
    assert week_line(WEEK) == (
        "7 days to Tue 15 Oct 2013 04:00 UTC, version 4: accuracy 0.910 [0.900 to 0.920]"
        " (without labels: 0.930) against 0.950 in the reference, 1,234 labels"
    )


def test_the_json_names_the_window_and_all_figures() -> None:
    data = WEEK.to_json()
    assert (data["start_ms"], data["end_ms"]) == (START, START + WEEK_MS)
    assert data["metrics"]["accuracy"] == {
        "realised": {"value": 0.91, "lower": 0.9, "upper": 0.92},
        "estimated": {"value": 0.93, "lower": None, "upper": None},
        "reference": {"value": 0.95, "lower": 0.94, "upper": 0.96},
    }
    assert data["metrics"]["auc"] == {"realised": None, "estimated": None, "reference": None}
