"""Ports on this machine's loopback interface."""

import os
import random
import socket
from collections import deque

HOST = "127.0.0.1"

# Below the range from which systems take the ports of outgoing connections. A client that tries
# again and again to reach a server that is down could otherwise be given the server's own port as
# its source, connect to itself, and keep the server from coming back.
_PORTS = range(20_000, 30_000)


# A port is free until its server listens, and whoever asks for two asks before either does: what
# was given last is not given again, and processes that were started one after another choose from
# different shares. An Apache Kafka of the tests had one port for both its listeners once.
_SHARES = 16
_given: deque[int] = deque(maxlen=64)


def free_port(ports: range = _PORTS) -> int:
    """Return a TCP port on which nothing listens; raises OSError when a hundred tries find none.

    The last 64 ports that were given to this process are not given again.
    """
    choose = random.SystemRandom()
    share = ports[os.getpid() % min(_SHARES, len(ports)) :: _SHARES]
    for _ in range(100):
        port = choose.choice(share)
        if port not in _given and is_free(port):
            _given.append(port)
            return port
    raise OSError(f"no free port found between {ports.start} and {ports.stop}")


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port."""
    try:
        with socket.create_server((HOST, port)):
            return True
    except OSError:
        return False


def accepts(port: int) -> bool:
    """Return whether something accepts connections on the port."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            return True
    except OSError:
        return False
