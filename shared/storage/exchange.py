"""One request and its answer on one connection, of HTTP/1.1 as much as S3 servers use.

The standard library reads an answer's headers with its parser for e-mail, and makes objects of each request: together
that would cost more than signing, sending and receiving.
"""

import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPSConnection
from typing import BinaryIO, NamedTuple

from shared.storage.pool import CONNECT_S, PatientSend

#: Longest line, and most of them, that a server may send before the body; the standard library allows the same.
_LONGEST_LINE = 65536
_MOST_LINES = 100
#: A body up to here leaves together with its headers.
_SMALL = 1 << 18


class Answer(NamedTuple):
    """What a server says; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unusual(Exception):  # noqa: N818 - nothing need be wrong
    """An answer that is not understood here."""


class Connection:
    """A connection, made when it is first used. After an exception there is no use but to close it."""

    def __init__(self, host: str, tls: ssl.SSLContext | None) -> None:
        self._line = _Plain(host, timeout=CONNECT_S) if tls is None else _Secure(host, timeout=CONNECT_S, context=tls)
        self._file: BinaryIO | None = None
        #: Whether the server takes another request.
        self.open = True

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", most: int | None = None
    ) -> Answer:
        """The answer, with a body to a GET.

        Unusual: no 200 (404 to a HEAD is usual), or a body that is not said to be of at most `most` bytes. OSError:
        the connection broke; TimeoutError: nothing was heard.
        """
        if self._file is None:
            self._line.connect()
            self._file = self._line.sock.makefile("rb")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = f"content-length: {len(body)}\r\n" if method == "PUT" else ""
        head = f"{method} {path} HTTP/1.1\r\n{lines}{length}\r\n".encode("latin-1")
        for part in (head + body,) if len(body) <= _SMALL else (head, body):
            self._line.send(part)
        status, told = _status(self._file), _headers(self._file)
        if status != 200 and (status, method) != (404, "HEAD"):
            raise Unusual
        self.open = told.get("connection", "").lower() != "close"
        if method == "HEAD":
            return Answer(status, told, b"")
        said = told.get("content-length", "")
        if said.isdigit() and "transfer-encoding" not in told and (most is None or int(said) <= most):
            return Answer(status, told, _body(self._file, int(said)))
        if method == "GET":
            raise Unusual
        self.open = False  # it is stored, whatever else is said about it
        return Answer(status, told, b"")

    def close(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
        self._line.close()


def _status(file: BinaryIO) -> int:
    line = file.readline(_LONGEST_LINE)
    if not line:
        raise ConnectionResetError("closed by the server")
    if not line.startswith(b"HTTP/1.1 ") or not line[9:12].isdigit():
        raise Unusual
    return int(line[9:12])


def _headers(file: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_LINES):
        line = file.readline(_LONGEST_LINE)
        if line == b"\r\n":
            return headers
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    raise Unusual


def _body(file: BinaryIO, length: int) -> bytes:
    body = file.read(length)
    if len(body) < length:
        raise ConnectionResetError("closed by the server amid its answer")
    return body


class _Plain(PatientSend, HTTPConnection):
    pass


class _Secure(PatientSend, HTTPSConnection):
    pass
