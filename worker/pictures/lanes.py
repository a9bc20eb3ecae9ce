"""The processes themselves: each with a thread of ours, which starts it, speaks to it and sees it die."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import msgspec
import structlog

from shared.errors import UnreachableError
from shared.processes.child import describe_exit
from shared.processes.confined import Data
from shared.processes.deadline import Deadline
from shared.processes.piped import FramedChild, LateError
from worker.pictures import wire

log = structlog.get_logger()

#: For a process to load what it needs, on a machine that is busy.
START_S = 60.0
#: Starts in a row that fail before requests do.
_STARTS = 3
_LONGEST_PAUSE_S = 5.0
#: Signals by which the system ends a process that used up its processor seconds.
_OUT_OF_TIME = "SIGPROF"


class LostError(Exception):
    """The canvas is gone together with its process, through no fault of its picture."""


class DiedError(Exception):
    """The process died while it was busy with this picture; the text says how."""


class OverdueError(Exception):
    """The picture took longer than it may."""


@dataclass(frozen=True, slots=True)
class Place:
    """One life of one process."""

    lane: int
    life: int


@dataclass(slots=True, eq=False)
class Asked:
    """One request on its way."""

    request: wire.Request
    body: Data
    limit_s: float
    #: Bytes that the answer may have.
    most: int
    urgent: bool = False
    place: Place | None = None
    answer: Future[tuple[wire.Reply, bytearray, Place]] = field(default_factory=Future)
    #: Nobody waits for the answer any more.
    abandoned: bool = False


class Lanes:
    """Decodes go to whichever process is free, everything else to the one that has the canvas, which does it first."""

    def __init__(self, argv: list[str], environment: Mapping[str, str], processes: int) -> None:
        self._argv = argv
        #: What pictures have needed so far; each process is started with them.
        self._libraries: set[str] = set()
        self._loaded: list[frozenset[str]] = [frozenset()] * processes
        self._environment = environment
        self._lock = threading.Lock()
        #: One for each lane: whoever rings wakes one thread and no other.
        self._bells = [threading.Condition(self._lock) for _ in range(processes)]
        self._idle: list[int] = []
        self._urgent: deque[Asked] = deque()
        self._bulk: deque[Asked] = deque()
        self._own: list[deque[Asked]] = [deque() for _ in range(processes)]
        self._children: list[FramedChild | None] = [None] * processes
        self._lives = [0] * processes
        #: Since when each has been decoding one picture (monotonic).
        self._decoding: list[float | None] = [None] * processes
        self._closed = False
        self._replies = msgspec.json.Decoder(wire.Reply)
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"picture-{lane}", daemon=True)
            for lane in range(processes)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, asked: Asked) -> None:
        """Its answer will be in `asked.answer`."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the picture processes are closed")
            if asked.place and asked.place.life != self._lives[asked.place.lane]:
                asked.answer.set_exception(LostError())
            elif asked.place:
                self._own[asked.place.lane].append(asked)
                self._bells[asked.place.lane].notify()
            else:
                (self._urgent if asked.urgent else self._bulk).append(asked)
                if self._idle:
                    self._bells[self._idle.pop()].notify()

    def take_back(self, asked: Asked) -> None:
        """Nobody waits for it any more; a canvas that it leaves is released."""
        with self._lock:
            if asked.answer.done():
                if asked.answer.exception() is None and isinstance(asked.answer.result()[0], wire.Decoded):
                    self._release(asked.request.key, asked.answer.result()[2])
            elif not self._removed(asked):
                asked.abandoned = True

    def overtaken(self, asked: Asked, seconds: float) -> bool:
        """Whether it waits behind a decode of more than so many seconds; if so, it is taken back."""
        with self._lock:
            since = asked.place and self._decoding[asked.place.lane]
            return bool(since and time.monotonic() - since > seconds and self._removed(asked))

    def release(self, key: int, place: Place) -> None:
        """The canvas is not needed."""
        with self._lock:
            self._release(key, place)

    @property
    def deaths(self) -> list[int]:
        """How often each process has ended."""
        return list(self._lives)

    @property
    def decoding(self) -> list[bool]:
        """Whether each process is decoding a picture now."""
        return [since is not None for since in self._decoding]

    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [child.pid for child in self._children if child]

    def close(self) -> None:
        """Ends processes and threads; what is under way fails."""
        with self._lock:
            self._closed = True
            for bell, child in zip(self._bells, self._children, strict=True):
                bell.notify()
                if child:
                    child.stop()
        for thread in self._threads:
            thread.join()
        for queue in (self._urgent, self._bulk, *self._own):
            for asked in queue:
                asked.answer.set_exception(RuntimeError("the picture processes are closed"))

    def _release(self, key: int, place: Place) -> None:
        if self._lives[place.lane] == place.life:
            self._own[place.lane].append(Asked(wire.Release(key), b"", START_S, 0, place=place))
            self._bells[place.lane].notify()

    def _removed(self, asked: Asked) -> bool:
        for queue in (self._urgent, self._bulk, *self._own):
            if asked in queue:
                queue.remove(asked)
                return True
        return False

    def _work(self, lane: int) -> None:
        failures = 0
        while not self._closed:
            child = self._children[lane] or self._start(lane)
            if child is None:
                failures += 1
                if failures >= _STARTS:
                    self._refuse(lane)
                with self._lock:
                    self._bells[lane].wait(min(_LONGEST_PAUSE_S, 0.1 * 2**failures))
                continue
            failures = 0
            if asked := self._next(lane):
                self._exchange(lane, child, asked)
        self._drop(lane)

    def _next(self, lane: int) -> Asked | None:
        """Waits for work, drawing first; None for nothing yet."""
        with self._lock:
            queue = self._own[lane] or self._urgent or self._bulk
            if not queue and not self._closed:
                self._idle.append(lane)
                self._bells[lane].wait()
                if lane in self._idle:
                    self._idle.remove(lane)
            return queue.popleft() if queue else None

    def _start(self, lane: int) -> FramedChild | None:
        libraries = frozenset(self._libraries)
        try:
            child = FramedChild([*self._argv, *sorted(libraries)], self._environment, START_S)
        except (EOFError, LateError, OSError) as error:
            log.warning("a picture process does not start", reason=str(error) or "its last words are above")
            return None
        with self._lock:
            self._children[lane], self._loaded[lane] = child, libraries
        return child

    def _refuse(self, lane: int) -> None:
        """No process starts: that is not the fault of a picture, and their chunks go back."""
        away = UnreachableError("the picture processes do not start; the worker's log has their last words")
        with self._lock:
            queues = [self._own[lane], *([] if any(self._children) else [self._urgent, self._bulk])]
            refused = [asked for queue in queues for asked in queue]
            for queue in queues:
                queue.clear()
        for asked in refused:
            asked.answer.set_exception(away)

    def _exchange(self, lane: int, child: FramedChild, asked: Asked) -> None:
        place = Place(lane, self._lives[lane])
        if child.poll() is not None:  # it died at rest: nobody's fault
            self._ended(lane, "rest")
            if asked.place:
                asked.answer.set_exception(LostError())
            else:
                with self._lock:
                    (self._urgent if asked.urgent else self._bulk).appendleft(asked)
            return
        if asked.place not in (None, place):
            asked.answer.set_exception(LostError())
            return
        work = type(asked.request).__name__.lower()
        self._decoding[lane] = time.monotonic() if work == "decode" else None
        try:
            head, body = child.ask(msgspec.json.encode(asked.request), asked.body, Deadline(asked.limit_s), asked.most)
            reply = self._replies.decode(head)
        except LateError:
            self._ended(lane, work)
            asked.answer.set_exception(OverdueError())
        except (EOFError, msgspec.MsgspecError):
            death = self._ended(lane, work)
            asked.answer.set_exception(OverdueError() if _OUT_OF_TIME in death else DiedError(death))
        else:
            if isinstance(reply, wire.Needed):
                self._restart(lane, work, asked, reply.library)
            else:
                with self._lock:
                    if asked.abandoned and isinstance(reply, wire.Decoded):
                        self._release(asked.request.key, place)
                    asked.answer.set_result((reply, body, place))
        self._decoding[lane] = None

    def _restart(self, lane: int, work: str, asked: Asked, library: str) -> None:
        """A process with the library takes the place of one without, and the request goes back to the front."""
        if work != "decode" or library in self._loaded[lane]:
            asked.answer.set_exception(DiedError(self._ended(lane, work)))
            return
        log.info("picture processes load a library from now on", library=library)
        self._drop(lane)
        with self._lock:
            self._libraries.add(library)
            if not asked.abandoned:
                (self._urgent if asked.urgent else self._bulk).appendleft(asked)

    def _ended(self, lane: int, during: str) -> str:
        """Buries the process; how it ended. Whoever has a canvas there decodes again."""
        death = self._drop(lane)
        if not self._closed:
            log.warning("a picture process ended", reason=death, during=during)
        return death

    def _drop(self, lane: int) -> str:
        with self._lock:
            child, self._children[lane] = self._children[lane], None
            self._lives[lane] += 1
            lost, self._own[lane] = self._own[lane], deque()
        for asked in lost:
            asked.answer.set_exception(LostError())
        return describe_exit(child.end()) if child else ""
