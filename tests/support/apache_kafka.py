"""Apache Kafka, one node in KRaft mode on loopback, for tests that need the real thing.

Maven resolves the broker and its run-time dependencies once into a cache folder (43 MB); each
instance has its data in a temporary folder and dies with the test process. Java 17 is needed to run
it, Maven only to fill the cache.
"""

import base64
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka.admin import AdminClient

from streamgauge.errors import StreamgaugeError
from streamgauge.io.child import ChildProcess
from streamgauge.io.loopback import HOST, accepts, free_port
from tests.support.outside import find_program, missing

KAFKA_VERSION = "4.1.1"
EXTERNAL_BOOTSTRAP = "STREAMGAUGE_TEST_BOOTSTRAP"

_OLDEST_JAVA = 17
PORTS = range(30_000, 32_000)
"""The broker's own: nothing else may take its port while it is down to be started again."""
_MAVEN_TIMEOUT = 240.0
_START_TIMEOUT = 60.0
# One garbage collector thread and the quick compiler alone: a test's broker starts often and works
# little, and shares its cores with the test.
_JVM_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>io.streamgauge</groupId>
  <artifactId>test-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"""

_LOGGING = """rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c: %m%n
"""


class ApacheKafkaError(StreamgaugeError):
    """The broker could not be fetched, formatted or started."""


class ApacheKafka:
    """One Apache Kafka broker, with the means to break it.

    `config` adds to or replaces the broker's properties.
    """

    def __init__(self, config: Mapping[str, str] | None = None) -> None:
        self._overrides = dict(config or {})
        self._port = free_port(PORTS)
        self._cleanup = contextlib.ExitStack()
        self._child: ChildProcess | None = None
        self._command: list[str] = []
        self._log_path = Path()
        self._cluster_id = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address, `host:port`, the same before and after a restart."""
        return f"{HOST}:{self._port}"

    def start(self) -> None:
        """Format the storage, start the broker and wait until it serves metadata.

        Raises ApacheKafkaError with the broker's last words when it does not come up.
        """
        java, jars = _java(), resolve_jars()
        home = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="kafka-")))
        self._log_path = home / "broker.log"
        self._cluster_id = _new_cluster_id()
        properties = home / "server.properties"
        properties.write_text(_as_properties(self._properties(home / "data") | self._overrides))
        logging = home / "log4j2.properties"
        logging.write_text(_LOGGING)
        launch = [str(java), *_JVM_OPTIONS, f"-Dlog4j2.configurationFile={logging}"]
        launch += ["-cp", f"{jars}/*"]
        _format_storage(launch, self._cluster_id, properties)
        self._command = [*launch, "kafka.Kafka", str(properties)]
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """End the broker as `kill -9` does; its data and its port stay."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Start the broker again on the same port and data, killing it first if it still runs."""
        self.kill()
        self._launch()

    def stop(self) -> None:
        """Kill the broker and delete its data."""
        self.kill()
        self._cleanup.close()

    def _launch(self) -> None:
        with self._log_path.open("ab+") as log:
            self._child = ChildProcess(self._command, log=log)
        deadline = time.monotonic() + _START_TIMEOUT
        # librdkafka prints each refused connection to standard error: knock by hand first.
        while not accepts(self._port):
            self._check(deadline)
            time.sleep(0.05)
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        # A broker that is up but not yet admitted by its controller is not in its own metadata.
        while not admin.list_topics(timeout=_START_TIMEOUT).brokers:
            self._check(deadline)
            time.sleep(0.05)

    def _check(self, deadline: float) -> None:
        status = None if self._child is None else self._child.poll()
        if status is None and time.monotonic() < deadline:
            return
        what = "was not ready in time" if status is None else f"ended with status {status}"
        tail = "\n".join(self._log_path.read_text(errors="replace").splitlines()[-10:])
        raise ApacheKafkaError(f"Apache Kafka {what}; its last lines:\n{tail}")

    def _properties(self, data: Path) -> dict[str, str]:
        controller = f"{HOST}:{free_port(PORTS)}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "log.dirs": str(data),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": "16777216",
            # A killed broker is let back in once its old session has run out: 9 s by default.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
        }


@cache
def why_unavailable() -> str | None:
    """Return why no broker can be started on this machine, or None when one can."""
    java = find_program("java")
    if java is None:
        return missing("java")
    version = _java_version(java)
    if version < _OLDEST_JAVA:
        return f"java is too old: {version}, {_OLDEST_JAVA} is needed"
    if not _jar_folder().is_dir() and find_program("mvn") is None:
        return missing("mvn")
    return None


def resolve_jars() -> Path:
    """Return the folder with the broker's jars, filled by Maven at the first call on a machine.

    Raises ApacheKafkaError when Maven is missing or fails.
    """
    folder = _jar_folder()
    if folder.is_dir():
        return folder
    maven = find_program("mvn")
    if maven is None:
        raise ApacheKafkaError(missing("mvn"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kafka-fetch-", dir=folder.parent) as scratch:
        pom = Path(scratch, "pom.xml")
        pom.write_text(_POM)
        jars = Path(scratch, "jars")
        command = [str(maven), "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        _run(command, _MAVEN_TIMEOUT, "Maven could not fetch Apache Kafka")
        # The rename makes it whole at once: an interrupted download leaves nothing behind that
        # looks finished. Another run may have been quicker; its folder is as good.
        try:
            jars.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _jar_folder() -> Path:
    cache_home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache_home, "streamgauge", f"kafka-{KAFKA_VERSION}")


def _java() -> Path:
    reason = why_unavailable()
    if reason is not None:
        raise ApacheKafkaError(reason)
    found = shutil.which("java")
    assert found is not None, "why_unavailable() has looked"
    return Path(found)


def _java_version(java: Path) -> int:
    """Return the major version of a Java runtime, 0 when it tells none."""
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    number = re.search(r'version "(\d+)', told.stderr)
    return int(number.group(1)) if number else 0


def _format_storage(launch: list[str], cluster_id: str, properties: Path) -> None:
    tool = [*launch, "kafka.tools.StorageTool", "format"]
    _run([*tool, "-t", cluster_id, "-c", str(properties)], 60.0, "cannot format Kafka's storage")


def _run(command: list[str], timeout: float, failure: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise ApacheKafkaError(f"{failure}: no end within {timeout:.0f} s") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise ApacheKafkaError(f"{failure} (status {done.returncode}):\n{tail}")


def _new_cluster_id() -> str:
    # Kafka's form of a UUID; a leading dash would be taken for an option.
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)


def _as_properties(values: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())
