"""What a worker and its picture processes say to each other: heads of frames, whose bodies are raw bytes."""

from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contract import MOST_PAGES, Box, Options, PictureWarning
from shared.pictures import Library
from worker.core.types import BYTES_PER_PIXEL, Caption, Geometry, InputSpec, Limits

Size = Annotated[int, Meta(ge=0)]
#: Of one picture.
MOST_WARNINGS = 8
#: The same of what is drawn on: the canvas, its half of the blend, the stretched map, the blend and its picture.
BYTES_PER_CANVAS_PIXEL = 30
#: The same of what is made at the picture's own size: a mask, its runs, and a picture of it.
BYTES_PER_FULL_PIXEL = 6
#: Pixels of the network's input: two pictures and an array.
BYTES_PER_INPUT_PIXEL = 11
#: What a picture may take without asking: a photograph of 1.3 million pixels.
UNASKED_BYTES = 16_000_000


class Setup(msgspec.Struct, frozen=True):
    """What a picture process knows from its start on."""

    spec: InputSpec
    limits: Limits
    decode_s: float
    #: Bytes that pictures may take where the machine has less than the largest one needs.
    memory_bytes: int | None = None

    @property
    def memory(self) -> int:
        """Bytes that the largest picture may take, and all of them at once."""
        wanted = BYTES_PER_PIXEL * self.limits.max_pixels + self.limits.max_bytes
        return wanted if self.memory_bytes is None else min(wanted, self.memory_bytes)


class Decode(msgspec.Struct, frozen=True, tag=True):
    """The body is a picture's bytes. The process keeps its canvas under `key`."""

    key: int
    options: Options
    #: Whether it may take more than UNASKED_BYTES.
    granted: bool
    #: Page or frame of the file, counted from 1.
    page: Annotated[int, Meta(ge=1, le=MOST_PAGES)] | None = None


class Draw(msgspec.Struct, frozen=True, tag=True):
    """The body is the colormap's 256 colours and then the maps, float32. The canvas is let go."""

    key: int
    options: Options
    #: Number, height and width of the maps.
    shape: tuple[int, int, int]
    #: What is written onto each overlay; none where nobody asked for it.
    captions: tuple[Caption, ...] = ()


class Release(msgspec.Struct, frozen=True, tag=True):
    """Nobody will ask for this canvas."""

    key: int


class Decoded(msgspec.Struct, frozen=True, tag=True):
    """The body is the network's input, uint8 RGB. `bytes` is what the canvas and its drawing take from now on."""

    geometry: Geometry
    bytes: Size
    seconds: float
    warnings: Annotated[tuple[PictureWarning, ...], Meta(max_length=MOST_WARNINGS)] = ()


class Needed(msgspec.Struct, frozen=True, tag=True):
    """Not decoded: a process that has loaded this library can."""

    library: Library


class Large(msgspec.Struct, frozen=True, tag=True):
    """Not decoded: it would take so many bytes."""

    bytes: Size


class Drawn(msgspec.Struct, frozen=True):
    """One map drawn: the lengths of its files in the body, in this order (0 where there is none), and what was found.

    `runs` is the mask's RLE.
    """

    overlay: Size
    heatmap: Size
    mask: Size
    runs: Size
    box: Box | None
    boxes: tuple[Box, ...]
    map_min: float
    map_max: float
    flat: bool


class Drawings(msgspec.Struct, frozen=True, tag=True):
    """All maps of a picture, in the order of the request."""

    drawn: list[Drawn]
    render_s: float
    encode_s: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The picture's own failure, as an ImageError has it."""

    code: str
    message: str
    #: Of an error that nobody foresaw, for the log.
    trace: str = ""


class Released(msgspec.Struct, frozen=True, tag=True):
    """The canvas is gone."""


def is_full_size(options: Options) -> bool:
    """Whether something is made as large as the picture."""
    return options.heatmaps == "full" or bool(options.masks)


Request = Decode | Draw | Release
Reply = Decoded | Large | Needed | Drawings | Failed | Released
