"""Ports for servers that must come back on the same port after they died."""

import random
import socket
from collections.abc import Iterator

#: Below the range systems hand out for outgoing connections (Linux 32768, macOS 49152 and up). A port from
#: that range could be taken while its server restarts, by a client that is just trying to reach it.
_RANGE = range(20_000, 32_000)


def free_ports(preferred: int | None = None) -> Iterator[int]:
    """Ports that nobody listens on right now, the preferred one first. Another may still be quicker."""
    if preferred is not None and _is_free(preferred):
        yield preferred
    for port in random.sample(_RANGE, k=len(_RANGE)):
        if _is_free(port):
            yield port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do, so that connections still closing do not count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
