"""The threads that decode and draw: as many as there are cores, decoding with a limit on its seconds."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

import structlog

from shared.errors import ImageError
from worker.timing.deadline import PIECE_S, Deadline, ended
from worker.timing.measurements import StageName

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger()


class Compute:
    """Runs work that needs a core. A decode that outlives its seconds cannot be stopped, only left behind.

    Then the image fails with `timeout`, and `on_stuck` is told, so that the process can finish what it has
    in hand and be replaced: a thread that hangs in a decoder never comes back.
    """

    def __init__(self, threads: int, limit_s: float, on_stuck: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="compute")
        self._limit_s = limit_s
        self._on_stuck = on_stuck
        #: Whether a call was left behind, so that its thread will never end.
        self.stuck = False

    def __call__(self, stage: StageName, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The call's answer; its seconds count from when it got a core, not from when it was queued."""
        begun: list[Deadline] = []

        def work() -> T:
            # Not an event: that would wake the caller, who takes Python's lock away only to wait on.
            begun.append(Deadline(self._limit_s))
            return _named(stage, call, *args, **kwargs)

        future = self._pool.submit(copy_context().run, work)
        # Drawing is ours and bounded by the options; only a decoder can be made to hang by a picture.
        while stage == "decode" and not ended(future, begun[0].piece() if begun else min(PIECE_S, self._limit_s)):
            if begun and begun[0].passed() and not future.done():
                self.stuck = True
                self._on_stuck()
                raise ImageError("timeout", f"{stage} took longer than {self._limit_s:g} s (CAMQ_DECODE_S)")
        return future.result()

    def close(self) -> None:
        """Ends the threads, except those that hang."""
        self._pool.shutdown(wait=not self.stuck, cancel_futures=True)


def _named(stage: StageName, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Decoding and drawing see nothing but the picture, so whatever they raise is this picture's failure."""
    try:
        return call(*args, **kwargs)
    except ImageError:
        raise
    except Exception as error:
        log.exception("a picture's work failed in an unknown way", stage=stage)
        raise ImageError("inference", f"{stage} failed: {type(error).__name__}: {error}") from error
