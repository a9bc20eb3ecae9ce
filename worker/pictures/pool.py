"""Pictures in a worker: their bytes go to a process of their own kind, and what the network needs comes back."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count

import msgspec
import numpy as np
import structlog

from shared.contract import Options, PictureWarning
from shared.errors import CODES, ImageError, UsageError
from shared.outage import LOOK_S
from shared.processes.confined import Data, environment
from shared.processes.deadline import ended
from worker.core.drawing.colormaps import palette
from worker.core.types import Caption, ClassMap, Drawing, Geometry, UInt8Array
from worker.errors import DEATHS_TO_POISON
from worker.pictures import wire
from worker.pictures.budget import Budget
from worker.pictures.lanes import Asked, DiedError, Lanes, LostError, OverdueError, Place
from worker.timing.measurements import StageName

log = structlog.get_logger()

#: Drawing that waits longer than this behind a decode in its process is done in another one, from the start.
DRAW_WAIT_S = 2.0
#: Beyond its own limit, in which the process says so itself.
_GRACE_S = 1.0
#: Bytes of one encoded overlay per pixel of its canvas, at most, and of anything small.
_FILE_BYTES_PER_PIXEL, _FILE_BYTES = 4, 1 << 20
#: The same of heatmap, mask and runs at the picture's own size.
_FULL_BYTES_PER_PIXEL = 4


#: Takes note of seconds that an image spent in a stage.
Spent = Callable[[StageName, float], None]


class Picture:
    """One decoded picture, whose canvas lies in a picture process."""

    pixels: UInt8Array
    geometry: Geometry
    warnings: tuple[PictureWarning, ...]

    def __init__(
        self,
        pool: "Pictures",
        data: Data,
        options: Options,
        check: Callable[[], None],
        *,
        urgent: bool,
        page: int | None = None,
    ) -> None:
        self._pool = pool
        self._key = next(pool.keys)
        self._data = data
        self._options = options
        self._page = page
        self._check = check
        self._urgent = urgent
        self._deaths = 0
        #: Where its canvas is.
        self.place: Place | None = None
        self._grant = ExitStack()

    def decode(self) -> None:
        """Uncharged also when it happens again, because its process died of another picture."""
        self._grant.close()  # else pictures could wait for each other's share
        reply, pixels = self._decoded(granted=False)
        keep: Callable[[int], None] | None = None
        if isinstance(reply, wire.Large):
            keep = self._grant.enter_context(self._pool.budget.take(reply.bytes, self._check))
            reply, pixels = self._decoded(granted=True)
        shape = (*self._size, self._pool.setup.spec.channels)
        if not isinstance(reply, wire.Decoded) or len(pixels) != math.prod(shape):
            raise _failure(reply)
        if keep:
            keep(reply.bytes)
        self.geometry, self.warnings = reply.geometry, reply.warnings
        self.pixels = np.frombuffer(pixels, np.uint8).reshape(shape)
        self._urgent = True  # from now on it has waited long enough
        self._pool.spent("decode", reply.seconds)

    def draw(self, maps: Sequence[ClassMap], captions: Sequence[Caption] = ()) -> list[Drawing]:
        """Each map over the picture, in this order, with its caption if there are any. Raises ImageError."""
        try:
            if not maps:  # no class is as probable as the job asks for
                return []
            colours = palette(self._options.colormap)
        except UsageError as error:
            raise ImageError("inference", str(error)) from error
        values = np.stack([found.values for found in maps]).astype(np.float32, copy=False)
        request = wire.Draw(self._key, self._options, values.shape, tuple(captions))
        body = colours.tobytes() + values.tobytes()
        while True:
            try:
                reply, files = self._ask(request, body, len(maps) * self._most_bytes, self.place)
            except LostError:
                self.decode()
                continue
            found = _drawings(reply, files) if isinstance(reply, wire.Drawings) else []
            if not isinstance(reply, wire.Drawings) or len(found) != len(maps):
                raise _failure(reply)
            self._pool.spent("render", reply.render_s)
            self._pool.spent("encode", reply.encode_s)
            return found

    def close(self) -> None:
        """Gives back its memory, here and there."""
        if self.place:
            self._pool.lanes.release(self._key, self.place)
        self._grant.close()

    @property
    def _size(self) -> tuple[int, int]:
        return self._pool.setup.spec.sides(self._options.input_size)

    @property
    def _most_bytes(self) -> int:
        """That the files of one map may have."""
        side, most = max(self._options.overlay_size, *self._size), self._pool.setup.limits.max_pixels
        file = _FILE_BYTES + _FILE_BYTES_PER_PIXEL * min(side * side, most)
        if not wire.is_full_size(self._options):
            return 2 * file
        full = _FILE_BYTES + _FULL_BYTES_PER_PIXEL * min(self.geometry.width * self.geometry.height, most)
        return 2 * file + full

    def _decoded(self, *, granted: bool) -> tuple[wire.Reply, bytearray]:
        request = wire.Decode(self._key, self._options, granted, self._page)
        most = math.prod(self._size) * self._pool.setup.spec.channels
        while True:
            try:
                return self._ask(request, self._data, most, None)
            except LostError:  # it died of this picture; once may be chance
                continue

    def _ask(self, request: wire.Request, body: Data, most: int, place: Place | None) -> tuple[wire.Reply, bytearray]:
        """One answer. LostError when it is to be decoded again."""
        pool, work = self._pool, type(request).__name__.lower()
        limit_s = pool.setup.decode_s * (request.shape[0] if isinstance(request, wire.Draw) else 1)
        asked = Asked(request, body, limit_s + _GRACE_S, most, self._urgent, place)
        self.place = None
        pool.lanes.put(asked)
        try:
            while not ended(asked.answer, LOOK_S):
                self._check()
                if pool.processes > 1 and place and pool.lanes.overtaken(asked, DRAW_WAIT_S):
                    pool.lanes.release(self._key, place)
                    raise LostError
        except BaseException:
            pool.lanes.take_back(asked)
            raise
        try:
            reply, answer, where = asked.answer.result()
        except OverdueError:
            raise ImageError("timeout", f"{work} took longer than {limit_s:g} s (CAMQ_DECODE_S)") from None
        except DiedError as death:
            self._deaths += 1
            if self._deaths >= DEATHS_TO_POISON:
                what = f"it ended its picture process {self._deaths} times, at last in {work} ({death})"
                raise ImageError("poison", what) from None
            raise LostError from None
        self.place = where if isinstance(reply, wire.Decoded) else None
        return reply, answer


class Pictures:
    """`processes` of them, alike; see `worker.pictures.process` for what they may do.

    A picture that takes too long, or too much memory, costs its process and fails (`timeout`, `too_large`); one whose
    process died twice of it is `poison`. Other pictures whose canvases were there are decoded again.
    """

    def __init__(
        self,
        setup: wire.Setup,
        processes: int,
        spent: Spent = lambda *_: None,
        command: Callable[[], list[str]] = lambda: [sys.executable, "-P", "-m", "worker.pictures.process"],
    ) -> None:
        self.setup = setup
        self.processes = processes
        self.spent = spent
        self.keys = count(1)
        self.budget = Budget(setup.memory)
        argv = [*command(), msgspec.json.encode(setup).decode()]
        self.lanes = Lanes(argv, environment(os.environ), processes)

    @contextmanager
    def open(
        self,
        data: Data,
        options: Options,
        check: Callable[[], None],
        *,
        page: int | None = None,
        urgent: bool = False,
    ) -> Iterator[Picture]:
        """The picture, decoded, until the block ends. Raises ImageError, and what `check` raises while it waits.

        `page` counts the pages or frames of the file from 1.
        """
        picture = Picture(self, data, options, check, page=page, urgent=urgent)
        try:
            picture.decode()
            yield picture
        finally:
            picture.close()

    def close(self) -> None:
        """Ends the processes."""
        self.lanes.close()


def _failure(reply: wire.Reply) -> ImageError:
    if isinstance(reply, wire.Failed) and reply.code in CODES:
        if reply.trace:
            log.error("a picture's work failed in an unknown way", reason=reply.message, trace=reply.trace)
        return ImageError(reply.code, reply.message)
    return ImageError("inference", "its picture process gave an answer to another question")


def _drawings(reply: wire.Drawings, files: bytearray) -> list[Drawing]:
    """Copies; fewer than there should be when they are not as long as they say."""
    found, at = [], 0
    for one in reply.drawn:
        parts = []
        for size in (one.overlay, one.heatmap, one.mask, one.runs):
            parts.append(bytes(files[at : at + size]))
            at += size
        overlay, *others = parts
        heatmap, mask, runs = (part or None for part in others)
        if runs is not None and not runs.isascii():
            return []
        known = one.box, one.boxes, one.map_min, one.map_max, one.flat
        found.append(Drawing(overlay, heatmap, mask, runs, *known))
    return found if at == len(files) else []
