"""Predictions and labels through both brokers: what the monitor shows is what a recount gives."""

from datetime import datetime
from pathlib import Path

from benchmarks.labels_kafka import monitored
from benchmarks.labels_recount import flights
from tests.support.brokers import Broker

UNTIL_MS = round(datetime.fromisoformat("2013-01-15T00:00:00-05:00").timestamp() * 1000)


def test_metrics_of_two_weeks_of_flights_are_those_of_a_recount(
    broker: Broker, tmp_path: Path
) -> None:
    compared = monitored(flights(end_ms=UNTIL_MS), broker.bootstrap_servers, tmp_path)
    assert compared.different == ()
    assert compared.numbers > 10
