"""Attempts whose time is over end the connections that they have, and no others."""

import socket

import pytest
from urllib3.connection import HTTPConnection

from shared.storage.timed import Attempt


def test_a_kept_connection_belongs_to_the_attempt_that_took_it_last() -> None:
    """An earlier one whose time is over would cut off the answer that somebody else reads."""
    ours, theirs = socket.socketpair()
    connection = HTTPConnection("example.org")
    connection.sock = ours
    with ours, theirs:
        theirs.setblocking(False)
        with Attempt(3600) as first:
            Attempt.uses(connection)
        with Attempt(3600) as second:
            Attempt.uses(connection)

        first._end()
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        second._end()
        assert theirs.recv(1) == b""
