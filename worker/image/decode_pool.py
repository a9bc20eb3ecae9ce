"""Decodes the rarer formats in child processes: their decoders are old, little tested, and fed by strangers."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog
from PIL import Image

from shared.config import PREFIX, Settings
from shared.errors import ImageError
from shared.processes.child import describe_exit
from shared.processes.piped import PipedChild
from worker.image.decode_child import LENGTH_BYTES, Reply
from worker.timing.deadline import Deadline

log = structlog.get_logger()

#: One death may be chance (the system ran out of memory and chose this process); the next is the picture's doing.
DEATHS_TO_POISON = 2


class Decoding:
    """At most `processes` children, started when first needed and kept; each belongs to one thread of ours,
    because Linux ends a bound child together with the thread that started it.

    A decode that takes too long costs its child and fails `timeout`; one whose child died twice fails `poison`.
    """

    def __init__(self, settings: Settings, processes: int, child: Callable[[], list[str]] | None = None) -> None:
        self._environment = _environment(settings)
        self._limit_s = settings.decode_s
        self._command = child or (lambda: [sys.executable, "-m", "worker.image.decode_child"])
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="decoding")
        self._own = threading.local()
        self._children: set[_Decoder] = set()

    def __call__(self, data: bytes) -> Image.Image:
        """The picture, upright and RGB. Raises ImageError."""
        return self._threads.submit(self._decode, data).result()

    def close(self) -> None:
        """Ends the children."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._end_children()
        self._threads.shutdown()
        self._end_children()  # those that were started for a second try meanwhile

    def _end_children(self) -> None:
        for child in list(self._children):
            child.end()

    def _decode(self, data: bytes) -> Image.Image:
        for _ in range(DEATHS_TO_POISON):
            child = self._child()
            try:
                return child.decode(data, self._limit_s)
            except EOFError:
                self._children.discard(child)
                self._own.child = None
                death = child.end()
                if child.timed_out or death == -signal.SIGXCPU:
                    raise ImageError(
                        "timeout", f"decode took longer than {self._limit_s:g} s (CAMQ_DECODE_S)"
                    ) from None
                log.warning("decoder process died", reason=describe_exit(death))
        raise ImageError("poison", f"it ended its decoder process {DEATHS_TO_POISON} times ({describe_exit(death)})")

    def _child(self) -> "_Decoder":
        child: _Decoder | None = getattr(self._own, "child", None)
        if child is None:
            child = self._own.child = _Decoder(self._command(), self._environment)
            self._children.add(child)
        return child


def _environment(settings: Settings) -> dict[str, str]:
    """Its limits, and nothing else of ours: what reads strangers' bytes holds no password."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    limits = Settings(
        max_image_bytes=settings.max_image_bytes, max_image_pixels=settings.max_image_pixels, decode_s=settings.decode_s
    )
    return {**own, **limits.environment(), "OPENBLAS_NUM_THREADS": "1"}


class _Decoder(PipedChild):
    timed_out = False

    def decode(self, data: bytes, limit_s: float) -> Image.Image:
        """Raises ImageError, and EOFError when the child is dead or was killed for taking too long."""
        done = threading.Event()
        threading.Thread(target=self._watch, args=(done, Deadline(limit_s)), daemon=True).start()
        try:
            self.send(len(data).to_bytes(LENGTH_BYTES) + data)
            line = self.answers.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            reply = msgspec.json.decode(line, type=Reply)
            if reply.error is not None:
                raise ImageError(reply.error.code, reply.error.message)
            pixels = self.answers.read(reply.width * reply.height * 3)
            if len(pixels) < reply.width * reply.height * 3:
                raise EOFError
            return Image.frombytes("RGB", (reply.width, reply.height), pixels)
        finally:
            done.set()

    def _watch(self, done: threading.Event, deadline: Deadline) -> None:
        while not done.wait(deadline.piece()):
            if deadline.passed():
                self.timed_out = True
                self.stop()
                return
