"""A TCP proxy on loopback that can refuse, reset, stay silent, slow down, or answer as an S3 server that is unwell."""

import asyncio
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

#: Seconds that `slow` waits before it passes on a piece.
SLOW_S = 0.2


class Mode(StrEnum):
    """How the proxy treats its connections from now on."""

    PASS = "pass"
    REFUSE = "refuse"
    RESET = "reset"
    SILENT = "silent"
    SLOW = "slow"
    BUSY = "busy"
    FULL = "full"
    DENIED = "denied"
    WRONG_REGION = "wrong region"


#: Modes that answer by themselves: status and S3 error code.
_ANSWERS = {
    Mode.BUSY: (503, "SlowDown"),
    Mode.FULL: (507, "XMinioStorageFull"),
    Mode.DENIED: (403, "AccessDenied"),
    Mode.WRONG_REGION: (400, "AuthorizationHeaderMalformed"),
}


class Proxy:
    """`with Proxy(port) as proxy:` listens on `proxy.port` and passes to the local `port`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._mode = Mode.PASS
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        #: Connections that met each mode.
        self.met: Counter[Mode] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, mode: Mode) -> None:
        """From now on. Refusing and resetting also end the connections there are."""
        self._run(self._set(mode))

    def cut(self) -> None:
        """Resets every connection once; new ones pass."""
        self._run(self._cut())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._passing.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, mode: Mode) -> None:
        if self._server is None and mode is not Mode.REFUSE:
            await self._listen()
        self._mode = mode
        if mode is Mode.REFUSE and self._server is not None:
            self._server.close()
            self._server = None
        if mode in (Mode.REFUSE, Mode.RESET, *_ANSWERS):
            await self._cut()
        if mode is Mode.SILENT:
            self._passing.clear()
        else:
            self._passing.set()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.met[self._mode] += 1
        try:
            if self._mode is Mode.RESET:
                _reset(writer)
            elif self._mode in _ANSWERS:
                await _answer(*_ANSWERS[self._mode], reader, writer)
            else:
                await self._join(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the proxy is closing, or one of the two sides was
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(back)
        try:
            ways = [asyncio.ensure_future(self._pump(reader, back)), asyncio.ensure_future(self._pump(there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._writers.discard(back)
            back.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._passing.wait()
            if self._mode is Mode.SLOW:
                await asyncio.sleep(SLOW_S)
            writer.write(data)
            await writer.drain()


async def _answer(status: int, code: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads one request to its end, so that the client is not cut off while it writes, and refuses it."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    body = b"" if head.startswith(b"HEAD") else f"<Error><Code>{code}</Code></Error>".encode()
    writer.write(
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
