"""The child's half of a process that reads strangers' bytes: what it may still do, and how it is spoken to.

Frames go both ways: a header of fixed size (two lengths), a head (JSON of a known type) and a body (raw bytes).
"""

import ctypes
import errno
import logging
import os
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

#: What is sent.
Data: TypeAlias = bytes | bytearray | memoryview
#: The lengths of the head and of the body.
HEADER = struct.Struct("!IQ")
#: What such a process inherits of its parent's environment: where Python and its libraries are, and the locale.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
_KEPT_PREFIX = "PYTHON"
#: Address space beside what the process has once it is loaded: its own tables, and the allocator's losses.
_SPARE_BYTES = 128 << 20
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_MASKED_EQUAL, _CLONE_THREAD = 7, 0x10000
#: All that decoding and encoding in memory need of the kernel: the two pipes, memory, locks, clocks, signals, the end.
_CALLS = """
read readv write writev lseek close fstat newfstatat poll ppoll select pselect6
mmap munmap mremap mprotect madvise brk futex sched_yield sched_getaffinity set_robust_list rseq membarrier
clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time setitimer getrusage times
rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall getpid gettid getppid tgkill
getrandom uname exit exit_group
"""


def environment(source: Mapping[str, str]) -> dict[str, str]:
    """Of `source` what such a process needs, and so none of its secrets; numeric libraries start no threads."""
    kept = {name: value for name, value in source.items() if name in _KEPT or name.startswith(_KEPT_PREFIX)}
    return {**kept, "OPENBLAS_NUM_THREADS": "1"}


class Channel:
    """The pipes to the parent. What is printed while the process loads goes to the log; later, nowhere."""

    def __init__(self) -> None:
        self._requests, self._answers = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    def receive(self) -> tuple[bytearray, bytearray] | None:
        """The next request's head and body; None when the parent has closed its end."""
        header = self._read(HEADER.size)
        if header is None:
            return None
        head, body = HEADER.unpack(header)
        return self._read(head) or bytearray(), self._read(body) or bytearray()

    def send(self, head: bytes, *bodies: Data) -> None:
        """One answer."""
        views = [memoryview(body).cast("B") for body in bodies]
        self._write(memoryview(HEADER.pack(len(head), sum(map(len, views))) + head))
        for view in views:
            self._write(view)

    def serve(self, answer: Callable[[bytearray, bytearray], tuple[bytes, list[Data]]]) -> None:
        """Says that it is ready, then answers until the parent closes its end."""
        self.send(b"")
        while request := self.receive():
            head, bodies = answer(*request)
            del request
            self.send(head, *bodies)

    def _read(self, size: int) -> bytearray | None:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = os.readv(self._requests, [view])
            if count == 0:
                return None
            view = view[count:]
        return data

    def _write(self, view: memoryview) -> None:
        while view:
            view = view[os.write(self._answers, view) :]


def confine(memory_bytes: int, *, threads: bool = False) -> None:
    """From here on this process computes with what it has loaded, and can do nothing else.

    It may take `memory_bytes` more, opens no files and sockets, and starts nothing but, with `threads`, threads. On
    Linux it is the first to end where memory runs out, and nobody but root can read its memory. Where the machine has
    libseccomp (Debian, Ubuntu and Fedora do), the kernel refuses every call but those of `_CALLS`; without it, and on
    other systems, the limits stand alone.
    """
    with suppress(OSError):  # where memory runs out, the system ends such a process, and not the one that needs it
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    warnings.simplefilter("ignore")  # one for each broken tag of a picture would fill the log
    logging.disable(logging.CRITICAL)
    with suppress(FileNotFoundError):  # only Linux says how much it has
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes + _SPARE_BYTES)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    close_behind = _seccomp(threads=threads)
    for output in (1, 2):  # a decoder may have a word for each of a million broken strips
        os.dup2(0, output)
    _limit(resource.RLIMIT_NOFILE, 1 + max(_descriptors()))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    close_behind()


def allow_seconds(seconds: float) -> None:
    """Processor seconds from now on, after which the system ends this process by SIGPROF."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(what: int, value: int) -> None:
    with suppress(ValueError, OSError):  # macOS knows some of them and enforces few
        resource.setrlimit(what, (value, value))


def _descriptors() -> list[int]:
    """Those that are open."""
    return [number for number in range(256) if _is_open(number)]


def _is_open(descriptor: int) -> bool:
    with suppress(OSError):
        os.fstat(descriptor)
        return True
    return False


class _Comparison(ctypes.Structure):
    """libseccomp's scmp_arg_cmp: an argument of a call, how it is compared, and with what."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def _seccomp(*, threads: bool) -> Callable[[], object]:
    """What puts the filter into force; without libseccomp, or on a kernel without it, it does nothing."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return lambda: None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_rule_add_array.argtypes = [
        *library.seccomp_rule_add.argtypes,
        ctypes.POINTER(_Comparison),
    ]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    rules = library.seccomp_init(_REFUSE)
    for name in _CALLS.split():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # some exist on one architecture only
            library.seccomp_rule_add(rules, _ALLOW, number, 0)
    if threads:
        # The flags of clone3 lie in memory, where no filter looks; told that it does not exist, libc takes clone.
        number = library.seccomp_syscall_resolve_name(b"clone3")
        if number >= 0:
            library.seccomp_rule_add(rules, _UNKNOWN, number, 0)
        thread = _Comparison(0, _MASKED_EQUAL, _CLONE_THREAD, _CLONE_THREAD)
        number = library.seccomp_syscall_resolve_name(b"clone")
        library.seccomp_rule_add_array(rules, _ALLOW, number, 1, ctypes.byref(thread))
    return lambda: library.seccomp_load(rules)
