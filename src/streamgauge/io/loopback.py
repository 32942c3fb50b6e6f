"""Ports on this machine's loopback interface."""

import random
import socket

HOST = "127.0.0.1"

# Below the range from which systems take the ports of outgoing connections. A client that tries
# again and again to reach a server that is down could otherwise be given the server's own port as
# its source, connect to itself, and keep the server from coming back.
_PORTS = range(20_000, 30_000)


def free_port(ports: range = _PORTS) -> int:
    """Return a TCP port on which nothing listens; raises OSError when a hundred tries find none."""
    choose = random.SystemRandom()
    for _ in range(100):
        port = choose.choice(ports)
        if is_free(port):
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
