"""What Pillow reads, with all the bits of pictures that have more than 8."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from shared.errors import ImageError
from worker.core.picture.by_tifffile import Look, absent_page, further_bands, raw_file
from worker.core.picture.levels import Numbers, integer_range, levels, number_in, stated_range
from worker.core.types import Data, Reading

#: Pillow keeps 8 bits of each channel, the upper ones of these raw modes. Read as if in the other order of bytes, they
#: give the lower ones. Grey with opacity has four bytes a pixel, which read as RGBA are the two of grey and of opacity.
_UPPER = re.compile(r"(RGB|RGBX|RGBA);16([LBN])|LA;16B")
_GREY_AND_OPACITY = "LA;16B"
_NATIVE = "L" if sys.byteorder == "little" else "B"
_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
#: Tags of a TIFF, and values of theirs.
_SUBFILE, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _PLANAR, _SUB_IFDS = 254, 258, 262, 274, 277, 284, 330
_EXTRA, _SAMPLE_FORMAT, _EXTREMES, _NO_DATA, _DNG = 338, 339, ((280, 340), (281, 341)), 42113, 50706
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_SEPARATE, _OPACITIES = 2, (1, 2, 999)
#: A progressive JPEG is in memory whole before its first row is known.
_BYTES_PER_COEFFICIENT = 2
#: The significant bits of a PNG, and the bits of the first channel of a JPEG 2000.
_SBIT = re.compile(rb"\0\0\0[\x01-\x04]sBIT(.)", re.DOTALL)
_SIZ = re.compile(rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL)


class ForTifffileError(Exception):
    """A TIFF that Pillow does not read, or misreads."""


def read_by_pillow(data: Data, formats: tuple[str, ...], look: Look, reading: Reading) -> Image.Image:
    """The page that `reading` asks for, in 8 bits. ForTifffileError for a TIFF that tifffile reads better."""

    def opened() -> ImageFile.ImageFile:
        image = Image.open(BytesIO(data), formats=formats)
        if reading.page not in (None, 1):
            try:
                image.seek(reading.page - 1)
            except EOFError:
                pages = getattr(Image.open(BytesIO(data), formats=formats), "n_frames", 1)
                raise absent_page(reading.page, pages) from None
        return image

    try:
        image = opened()
    except (ImageError, MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:
        if _TIFF.match(data):
            raise ForTifffileError from error
        raise
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image, data)
    look(*image.size, 0)
    size = image.size
    halved = upper_half(image)
    image = _loaded(image, opened, data, reading)
    if image.size != size:  # the directory of an icon file may lie about the picture behind it
        look(*image.size, 0)
    if is_deep(image):
        found = levels(numbers_of(image, data), reading)
    elif halved:
        found = with_all_bits(image, opened, data, reading)
    else:
        found = _without_further_bands(image, reading)
    if found is not image:
        found.info = {name: image.info[name] for name in ("icc_profile", "exif") if name in image.info}
        found.getexif()[_ORIENTATION] = orientation_of(image)
    return found


def _loaded(
    image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile], data: Data, reading: Reading
) -> ImageFile.ImageFile:
    """The picture with its pixels: what is there of them where it ends early and `reading` keeps that."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_whole(image, data):
            raise ForTifffileError from error
        if image.info.get("progressive"):  # libjpeg calls its data broken where it has no memory for it
            bytearray(_BYTES_PER_COEFFICIENT * image.width * image.height * len(image.getbands()))
        if not reading.keep_truncated:
            raise
        with _tolerance():
            image = again()
            image.load()
        if image.getbbox() is None:  # nothing was there
            raise
        reading.warn("truncated", f"the picture ends early or is damaged ({short(error)}): what is there was used")
    return image


@contextmanager
def _tolerance() -> Iterator[None]:
    """Pillow loads what is there. One switch for all threads: a picture process has one."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _check_tiff(image: TiffImagePlugin.TiffImageFile, data: Data) -> None:
    """ImageError for a camera's raw file, whose first page is a preview; ForTifffileError for what Pillow misreads."""
    tags = image.tag_v2
    preview = _SUB_IFDS in tags and tags.get(_SUBFILE, 0) == 1
    if preview or _DNG in tags or bytes(data[8:10]) == b"CR":
        raise raw_file()
    bits = tags.get(_BITS, (8,))
    if tags.get(_PLANAR) == _SEPARATE and (max(bits) > 8 or tags.get(_SAMPLES, 1) > len(image.getbands())):
        raise ForTifffileError


def _is_whole(image: TiffImagePlugin.TiffImageFile, data: Data) -> bool:
    """Whether all strips or tiles that a TIFF names lie within the file."""
    tags = image.tag_v2
    for starts, counts in ((273, 279), (324, 325)):
        if starts in tags and counts in tags:
            pairs = zip(tags[starts], tags[counts], strict=False)
            return all(start + count <= len(data) for start, count in pairs)
    return False


def _without_further_bands(image: ImageFile.ImageFile, reading: Reading) -> Image.Image:
    """A TIFF of 8 bits without the bands that are neither colour nor opacity."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return image
    count, extra = image.tag_v2.get(_SAMPLES, 1), image.tag_v2.get(_EXTRA, ())
    colours = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}.get(image.mode)
    opacity = any(kind in _OPACITIES for kind in extra)
    if colours is None or count <= colours + opacity:
        return image
    reading.warn("bands", further_bands(count, colours))
    return image if opacity else image.convert("RGB" if colours == 3 else "L")


def short(error: Exception) -> str:
    """A library's sentence, which may quote the picture's bytes at any length."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where there is none or its block is broken: nobody looks at EXIF."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 — the block is parsed as freely as pictures are, see above
        return 1
    return orientation if isinstance(orientation, int) else 1


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow keeps numbers in place of levels."""
    return image.mode.startswith("I") or image.mode == "F"


def upper_half(image: ImageFile.ImageFile) -> str | None:
    """The raw mode of a picture whose lower bits Pillow leaves out. Ask before it is loaded."""
    raw = {_raw_mode(tile.args) for tile in image.tile}
    return raw.pop() if len(raw) == 1 and _UPPER.fullmatch(next(iter(raw))) else None


def numbers_of(image: ImageFile.ImageFile, data: Data) -> Numbers:
    """The numbers of a loaded picture of one channel."""
    said = _declared(image, data)

    def rows(top: int, end: int) -> NDArray[Any]:
        found = np.asarray(image.crop((0, top, image.width, end)))
        return found.view(said.kind) if said.kind else found

    return Numbers(image.width, image.height, rows, 1, said.full, said.stated, said.inverted, said.nothing)


def with_all_bits(
    upper: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile], data: Data, reading: Reading
) -> Image.Image:
    """A loaded picture of channels of 16 bits, of which it has the upper eight. `again` opens it once more.

    A picture that uses the whole range is left as it is.
    """
    stated = _declared(upper, data).stated
    extrema = np.array(upper.getextrema())[:3]
    uses_all = not stated and (extrema.min(), extrema.max()) == (0, 255)
    if reading.range == "full" or (reading.range in (None, "data") and uses_all):
        return upper
    lower = again()
    grey = _raw_mode(lower.tile[0].args) == _GREY_AND_OPACITY
    lower.tile = [tile._replace(args=_swapped(tile.args)) for tile in lower.tile]
    with _tolerance():  # it is as whole as the upper half
        lower.load()

    def rows(top: int, end: int) -> NDArray[Any]:
        high, low = (np.asarray(half.crop((0, top, upper.width, end))) for half in (upper, lower))
        high, low = (high[..., 0], low[..., 1]) if grey else (high[..., :3], low[..., :3])
        found: NDArray[Any] = (high.astype(np.uint16) << 8) | low
        return found

    numbers = Numbers(upper.width, upper.height, rows, 1 if grey else 3, (0.0, 65535.0), stated)
    picture = levels(numbers, reading)
    if upper.mode == "RGBA":
        picture.putalpha(upper.getchannel("A"))
    picture.info = dict(upper.info)
    return picture


def _raw_mode(args: object) -> str:
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _swapped(args: Any) -> Any:
    raw = _raw_mode(args)
    if raw == _GREY_AND_OPACITY:
        return ("RGBA", *args[1:]) if isinstance(args, tuple) else "RGBA"
    order = _NATIVE if raw.endswith("N") else raw[-1]
    other = raw[:-1] + ("B" if order == "L" else "L")
    return (other, *args[1:]) if isinstance(args, tuple) else other


class _Declared(NamedTuple):
    """What a file says of its numbers: their whole range, and black and white where it states them."""

    full: tuple[float, float]
    stated: tuple[float, float] | None = None
    #: Their type, where it is not that of Pillow's array.
    kind: str = ""
    inverted: bool = False
    nothing: float | None = None


def _declared(image: ImageFile.ImageFile, data: Data) -> _Declared:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _of_tiff(image)
    if image.mode == "F":
        return _Declared((0.0, 1.0))
    full = (0.0, 65535.0)
    start = bytes(data[:4096])
    match image.format:
        case "PPM":  # Pillow has scaled it by the greatest number that the file names
            return _Declared(full, full)
        case "PNG":
            found = _SBIT.search(start)
            bits = found[1][0] if found else 16
            return _Declared(full, integer_range(bits, signed=False) if 0 < bits < 16 else None)
        case "JPEG2000":  # Pillow has scaled it by the bits that the file names
            found = _SIZ.search(start)
            return _Declared(full, full if found and found[1][0] & 0x7F < 15 else None)
    return _Declared(integer_range(32, signed=True) if image.mode == "I" else full)


def _of_tiff(image: TiffImagePlugin.TiffImageFile) -> _Declared:
    tags = image.tag_v2
    bits, form = _first(tags.get(_BITS), 16), _first(tags.get(_SAMPLE_FORMAT), 1)
    whole = integer_range(int(bits), signed=form == _SIGNED) if form != _FLOAT else (0.0, 1.0)
    least, greatest = (next((_first(tags[tag], 0) for tag in either if tag in tags), None) for either in _EXTREMES)
    stated = stated_range(int(bits), least, greatest, whole) if form != _FLOAT else None
    kind = "u4" if bits == 32 and form == _UNSIGNED else ""
    return _Declared(whole, stated, kind, tags.get(_PHOTOMETRIC) == 0, number_in(tags.get(_NO_DATA)))


def _first(value: object, default: float) -> float:
    found = value[0] if isinstance(value, tuple) and value else value
    return found if isinstance(found, int | float) else default
