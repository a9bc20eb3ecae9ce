"""The values that pass between the stages of the core."""

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from shared.contract import Method, Options, PictureWarning, Preprocessing

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
#: Bytes that somebody else made.
Data: TypeAlias = bytes | bytearray | memoryview
#: Pixels of a decoded picture at the worst, in bytes: its frame, its RGB copy, one that stands upright, and what a
#: decoder holds besides.
BYTES_PER_PIXEL = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may cost before it is refused: bytes of the file, pixels of the picture."""

    max_bytes: int = 100_000_000
    max_pixels: int = 178_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """How one picture is read, and what was found worth knowing meanwhile."""

    #: As the job's option; None for what the file states, else the range of its data.
    range: str | None = None
    #: Whether a picture that ends early is taken as far as it goes.
    keep_truncated: bool = False
    #: Page or frame, counted from 1; None for the first, whatever the file calls it.
    page: int | None = None
    #: Whether it is turned upright, as its EXIF orientation says.
    exif: bool = True
    warnings: list[PictureWarning] = field(default_factory=list)

    def warn(self, code: str, message: str) -> None:
        """Notes a warning, one of `shared.errors.WARNINGS`."""
        self.warnings.append(PictureWarning(code, message))


#: What a network was trained to see, as its card says it.
InputSpec = Preprocessing


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the network looked: `seen` is the part (x0, y0, x1, y1) of the upright original, of `width` x
    `height` pixels, that its input covered; a map stretched over `seen` lies on the right pixels. A letterbox covers
    more than the picture."""

    width: int
    height: int
    seen: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decoded picture, ready for the network and for drawing.

    `pixels` is the network's input before normalisation: uint8 (size, size, channels), C-contiguous, so that
    a stacked batch permuted to NCHW is channels_last without a copy. `canvas` is the RGB picture under the
    overlay, already at the overlay's size.
    """

    pixels: UInt8Array
    canvas: Image
    geometry: Geometry
    #: The part of `canvas` that the network saw, in canvas pixels (x0, y0, x1, y1).
    canvas_seen: tuple[float, float, float, float]
    warnings: tuple[PictureWarning, ...] = ()


class ImageOptions(Options, frozen=True, kw_only=True):
    """The options of one image: those of its job, with the `truth` that is known of the image alone.

    `truth` has the indices of its true classes; None where nobody said what is right. `randomised` has methods whose
    maps of the one class asked for are wanted while the network's layers become random.
    """

    truth: tuple[int, ...] | None = None
    randomised: tuple[Method, ...] = ()


def truth_in(options: Options) -> tuple[int, ...] | None:
    """The true classes of an image with these options; None where they are not known."""
    return options.truth if isinstance(options, ImageOptions) else None


def randomised_in(options: Options) -> tuple[Method, ...]:
    """The methods of a randomisation test; none where none is asked for."""
    return options.randomised if isinstance(options, ImageOptions) else ()


@dataclass(frozen=True, slots=True)
class ClassMap:
    """One class of one image: its true rank from 1, and its raw, signed map (h, w) in float32."""

    rank: int
    class_index: int
    logit: float
    probability: float
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a class stands among all classes of an image: its rank from 1, and its probability."""

    class_index: int
    rank: int
    probability: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """The true classes of an image, in the order given, and those that the network says are there."""

    true: tuple[Standing, ...]
    predicted: tuple[Standing, ...]

    @property
    def correct(self) -> bool:
        """Whether both are the same classes."""
        return {each.class_index for each in self.predicted} == {each.class_index for each in self.true}


@dataclass(frozen=True, slots=True)
class RandomStage:
    """Maps of one class, one for each method, where the layers from the top down to `layer` are random; an empty
    `layer` where none is. None for a map that is not finite."""

    layer: str
    maps: tuple[FloatArray | None, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the network says of one image: the asked-for classes in the order asked for (or by rank)."""

    classes: tuple[ClassMap, ...]
    method: str
    #: Of an image whose true classes are known.
    judgement: Judgement | None = None
    #: What made it, such as `onnxruntime 1.32.0`.
    engine: str | None = None
    #: Of a randomisation test: as the network is, and after every stage.
    randomised: tuple[RandomStage, ...] = ()


class Caption(NamedTuple):
    """What is written onto the overlay of one class."""

    label: str
    class_index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Painting:
    """One class painted: overlay, heatmap and mask (when asked for), box and boxes in original pixels.

    The mask is (height, width) of the original.
    """

    overlay: Image
    heatmap: Image | None
    mask: NDArray[np.bool_] | None
    box: tuple[int, int, int, int] | None
    boxes: tuple[tuple[int, int, int, int], ...]
    map_min: float
    map_max: float
    flat: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """A painting whose pictures are encoded; `runs` is the mask once more, as the counts of COCO's compressed RLE."""

    overlay: bytes
    heatmap: bytes | None
    mask: bytes | None
    runs: bytes | None
    box: tuple[int, int, int, int] | None
    boxes: tuple[tuple[int, int, int, int], ...]
    map_min: float
    map_max: float
    flat: bool
