"""Chaos tests: short by themselves, long with `--chaos=long` (`make chaos`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.io.loopback import HOST, free_port
from tests.support.apache_kafka import KAFKA_VERSION, ApacheKafka, why_unavailable
from tests.support.chaos_forms import LONG, SHORT, Form
from tests.support.chaos_proxy import Proxy
from tests.support.chaos_stage import Stage
from tests.support.outside import USED

_HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of the form."""
    parser.addoption("--chaos", choices=("short", "long"), default="short", help="form of chaos")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and let those of the long form take their time."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.integration)
            if config.getoption("--chaos", "short") == "long":
                item.add_marker(pytest.mark.timeout(3_600))


@pytest.fixture(scope="session")
def form(request: pytest.FixtureRequest) -> Form:
    """How much is done."""
    return LONG if request.config.getoption("--chaos", "short") == "long" else SHORT


@pytest.fixture(scope="session")
def ports() -> tuple[int, int]:
    """The port of the broker behind the proxy, and that of the proxy."""
    return free_port(), free_port()


@pytest.fixture(scope="session")
def chaos_kafka(ports: tuple[int, int]) -> Iterator[ApacheKafka]:
    """A broker for all chaos tests, with a second listener that is reached through a proxy."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    own, controller = free_port(), free_port()
    behind, proxy = ports
    listeners = {
        "listeners": f"PLAINTEXT://{HOST}:{own},WIRE://{HOST}:{behind},"
        f"CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{own},WIRE://{HOST}:{proxy}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,WIRE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
    }
    kafka = ApacheKafka(listeners)
    kafka._port = own
    with kafka:
        USED.brokers["chaos"] = f"Apache Kafka {KAFKA_VERSION} (Maven, for chaos)"
        yield kafka


@pytest.fixture
def proxy(ports: tuple[int, int]) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the broker's second listener, and its address."""
    behind, port = ports
    with Proxy(port, behind) as found:
        yield found, f"{HOST}:{port}"


@pytest.fixture(scope="session")
def stage(chaos_kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The zygote and the reference, for all chaos tests."""
    folder = tmp_path_factory.mktemp("chaos")
    with Stage(chaos_kafka.bootstrap_servers, folder) as found:
        found.profile()
        yield found
