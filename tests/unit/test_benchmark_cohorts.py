"""Figures of the flights while labels still come in."""

from collections.abc import Mapping

import pytest

from benchmarks.cohorts import headline, rows
from benchmarks.common import Row


@pytest.fixture(scope="module")
def table() -> Mapping[tuple[str, str], Row]:
    return {(str(row["figure"]), str(row["kind"])): row for row in rows(quick=True)}


@pytest.mark.parametrize("name", ["accuracy", "recall", "f1"])
def test_weights_take_most_of_the_bias_away(
    table: Mapping[tuple[str, str], Row], name: str
) -> None:
    early, weighted = (float(table[name, kind]["bias"]) for kind in ("early", "weighted"))
    assert abs(weighted) < 0.7 * abs(early)


@pytest.mark.parametrize("name", ["accuracy", "recall", "f1", "label_share"])
def test_weighted_figures_are_closer_to_the_end(
    table: Mapping[tuple[str, str], Row], name: str
) -> None:
    early, weighted = (float(table[name, kind]["mae"]) for kind in ("early", "weighted"))
    assert weighted < early


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1", "label_share"])
def test_intervals_hold_the_end(table: Mapping[tuple[str, str], Row], name: str) -> None:
    assert float(table[name, "weighted"]["held"]) >= 0.95


def test_the_headline_is_of_the_accuracy(table: Mapping[tuple[str, str], Row]) -> None:
    found = headline(list(table.values()))
    assert found["bias_early"] == table["accuracy", "early"]["bias"]
    assert found["coverage_weighted"] == table["accuracy", "weighted"]["held"]
