"""Predictions and labels through both brokers: what the monitor shows is what a recount gives."""

from datetime import datetime
from pathlib import Path

import pytest

from benchmarks.labels_kafka import monitored
from benchmarks.labels_recount import flights
from tests.support.brokers import Broker

UNTIL_MS = round(datetime.fromisoformat("2013-01-05T00:00:00-05:00").timestamp() * 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the reference is made once."""
    return tmp_path_factory.mktemp("flights")


def test_metrics_of_four_days_of_flights_are_those_of_a_recount(
    broker: Broker, folder: Path
) -> None:
    compared = monitored(flights(end_ms=UNTIL_MS), broker.bootstrap_servers, folder)
    assert compared.different == (), compared.told
    assert compared.numbers > 10
