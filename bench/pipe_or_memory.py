"""How bytes travel between a worker and a picture process: by pipes, as they do, or by memory that both have mapped.

.venv/bin/python -m bench.pipe_or_memory

One exchange is a file there and an array back, whatever is done with them aside. The worker ends up with a copy of its
own either way: what another process may still write to is not what was checked.
"""

import fcntl
import mmap
import os
import resource
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

#: Bytes of a file, and of an array at 224, 448 and 1024 pixels.
FILE, ARRAYS = 40_000, (150_528, 602_112, 3_145_728)
ROUNDS, EXCHANGES = 7, 200
HEAD = struct.Struct("<II")
_PIPE_BYTES, _F_SETPIPE_SZ = 1 << 20, 1031
_ROOM = max(ARRAYS)


def _read(descriptor: int, count: int) -> bytearray:
    found = bytearray(count)
    view, at = memoryview(found), 0
    while at < count:
        got = os.readv(descriptor, [view[at:]])
        if not got:
            raise EOFError
        at += got
    return found


def _write(descriptor: int, *parts: bytes | bytearray | memoryview) -> None:
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]


def child(memory: int | None) -> None:
    """Answers until the parent closes its end."""
    shared = mmap.mmap(memory, _ROOM) if memory is not None else None
    arrays = {size: os.urandom(size) for size in ARRAYS}
    while True:
        try:
            given, wanted = HEAD.unpack(_read(0, HEAD.size))
        except EOFError:
            return
        if shared is None:
            _read(0, given)
            _write(1, HEAD.pack(wanted, 0), arrays[wanted])
        else:
            bytes(shared[:given])
            shared[:wanted] = arrays[wanted]
            _write(1, HEAD.pack(wanted, 0))


class Side:
    """A child and how to exchange with it."""

    def __init__(self, *, mapped: bool) -> None:
        self._memory = os.memfd_create("pictures") if mapped else None
        if self._memory is not None:
            os.ftruncate(self._memory, _ROOM)
        self._shared = mmap.mmap(self._memory, _ROOM) if self._memory is not None else None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.pipe_or_memory", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[] if self._memory is None else [self._memory],
            bufsize=0,
        )
        assert self.process.stdin
        assert self.process.stdout
        self._to, self._from = self.process.stdin.fileno(), self.process.stdout.fileno()
        for each in (self._to, self._from):
            fcntl.fcntl(each, _F_SETPIPE_SZ, _PIPE_BYTES)

    def exchange(self, file: bytes, size: int) -> bytearray:
        """The array, our own copy."""
        if self._shared is None:
            _write(self._to, HEAD.pack(len(file), size), file)
            found, _ = HEAD.unpack(_read(self._from, HEAD.size))
            return _read(self._from, min(found, _ROOM))
        self._shared[: len(file)] = file
        _write(self._to, HEAD.pack(len(file), size))
        found, _ = HEAD.unpack(_read(self._from, HEAD.size))
        return bytearray(memoryview(self._shared)[: min(found, _ROOM)])

    def end(self) -> None:
        """The child ends by itself."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def _cpu(pid: int) -> float:
    """Seconds of processor time of a child that runs, and of us."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:  # noqa: PTH123 -- read often
        theirs = int(file.read().split()[0]) / 1e9
    used = resource.getrusage(resource.RUSAGE_SELF)
    return theirs + used.ru_utime + used.ru_stime


def main() -> None:
    file = os.urandom(FILE)
    sides = {"pipe": Side(mapped=False), "memfd": Side(mapped=True)}
    for size in ARRAYS:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for round_ in range(ROUNDS):
            for name in sorted(sides, reverse=bool(round_ % 2)):
                found[name].append(_timed(sides[name], partial(Side.exchange, sides[name], file, size)))
        for name, samples in found.items():
            wall, cpu = (statistics.median(each) * 1e6 for each in zip(*samples, strict=True))
            print(f"{size:>9,} bytes by {name:<5}  {wall:7.0f} us, {cpu:7.0f} us of processor time")
    for side in sides.values():
        side.end()


def _timed(side: Side, work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and processor seconds of one exchange."""
    work()
    cpu, began = _cpu(side.process.pid), time.perf_counter()
    for _ in range(EXCHANGES):
        work()
    return (time.perf_counter() - began) / EXCHANGES, (_cpu(side.process.pid) - cpu) / EXCHANGES


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(None if sys.argv[1] == "None" else int(sys.argv[1]))
    else:
        main()
