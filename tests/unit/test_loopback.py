import itertools
import os
import socket

import pytest

from streamgauge.io.loopback import HOST, free_port


def test_ports_asked_for_one_after_another_differ_though_none_is_in_use_yet() -> None:
    few = range(30_000, 30_000 + 16 * 8)

    assert len({free_port(few) for _ in range(6)}) == 6


def test_processes_that_were_started_together_choose_from_different_ports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = range(30_200, 30_200 + 16 * 4)
    chosen = []
    for pid in (4_000, 4_001, 4_007):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        chosen.append({free_port(few) for _ in range(2)})

    assert all(not one & other for one, other in itertools.combinations(chosen, 2))


def test_a_port_on_which_something_listens_is_not_free() -> None:
    with socket.create_server((HOST, 0)) as server:
        # One of the system's choice: a port that was given is not given again in any case.
        port = server.getsockname()[1]
        with pytest.raises(OSError, match="no free port"):
            free_port(range(port, port + 1))
