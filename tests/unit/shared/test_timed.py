"""Attempts whose time is over end the connections that they have, and no others."""

import select
import socket
import threading

import pytest
from urllib3.connection import HTTPConnection

from shared.storage.timed import Attempt
from tests.support.waiting import wait_until


def test_a_kept_connection_belongs_to_the_attempt_that_took_it_last() -> None:
    """An earlier one whose time is over would cut off the answer that somebody else reads."""
    ours, theirs = socket.socketpair()
    connection = HTTPConnection("example.org")
    connection.sock = ours
    with ours, theirs:
        theirs.setblocking(False)
        taken = threading.Event()

        def earlier() -> None:
            with Attempt(1) as first:
                Attempt.uses(connection)
                taken.set()
                assert first.is_over.wait(30)

        thread = threading.Thread(target=earlier)
        thread.start()
        assert taken.wait(30)
        with Attempt(3600):
            Attempt.uses(connection)
            thread.join(30)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
        with Attempt(0.01) as last:
            Attempt.uses(connection)
            assert last.is_over.wait(30)
            wait_until(lambda: select.select([theirs], [], [], 0)[0] != [], "the connection is ended")
        assert theirs.recv(1) == b""
