"""Bytes of any picture format → an upright RGB picture, or an ImageError that names what is wrong."""

import re
import struct
from collections.abc import Callable
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from shared.errors import ImageError
from shared.pictures import UNSIGNED_FORMATS, readable_formats, refusal, unsupported
from worker.core.picture.by_pillow import ForTifffileError, orientation_of, read_by_pillow, short
from worker.core.picture.by_tifffile import Look, decode_tiff
from worker.core.picture.dicom import decode_dicom
from worker.core.picture.libraries import NeededError, need
from worker.core.picture.srgb import to_srgb
from worker.core.types import BYTES_PER_PIXEL, Data, Limits, Reading

FORMATS = readable_formats()
#: The message of a picture that meets the limit on memory.
OUT_OF_MEMORY = (
    "it needs more memory than one picture may take: make the picture smaller, or raise CAMQ_MAX_IMAGE_PIXELS, "
    "which that limit follows, and the container's limit, which it keeps to"
)
#: Bytes that begin so were meant to be a picture: what fails behind them is damage, not another kind of file.
_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]"
    rb"|....ftypavi[fs]|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|8BPS\0\x01|qoif|DDS |\0\0[\x01\x02]\0[^\0]\0",
    re.DOTALL,
)
#: What readers of pictures say when one would take too much.
_TOO_MUCH = re.compile(r"(?i)memory alloc|out of memory|security limit")
#: What they say of what they know and do not read, other than of damage.
_NOT_READ = re.compile(
    r"(?i)unsupported|not support(?:ed)?\b|unknown|unimplemented|not implemented|cannot handle|not available"
    r"|requires the"
)
#: What they say of a file that ends early, and where a header may end: other bytes may be missing behind it.
_ENDS = re.compile(
    r"(?i)truncat|\bend(?:s|ed|ing)?\b|\beof|premature|not enough|too (?:short|small|few)|incomplete|less than|no more"
    r"|requires a buffer|out of range|not large enough|insufficient"
)
_HEADER = 1024
#: Chunks of a PNG or boxes of an AVIF that are looked at.
_MOST_PIECES = 100_000
#: EXIF orientation → what sets the picture upright. Those from 5 on swap width and height.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PostponedError(Exception):
    """Whoever asked for a picture does not want it decoded now."""


def decode(
    data: Data, limits: Limits, look: Callable[[int], None] = lambda _: None, reading: Reading | None = None
) -> Image.Image:
    """The page of the picture in `data` that `reading` asks for: RGB, sRGB, upright, transparency over white.

    `look` is called with the number of its pixels before they are decoded, or more where one takes more memory than
    BYTES_PER_PIXEL, and may raise PostponedError. NeededError asks for a library. Else this raises ImageError with the
    code empty, too_large, not_an_image, unsupported, truncated, damaged or not_found, and nothing else.
    """
    if not data:
        raise ImageError("empty", "the file has no bytes: check that it was written to its end, and send it again")
    if len(data) > limits.max_bytes:
        raise ImageError(
            "too_large",
            f"the file has {len(data):,} bytes and the limit is {limits.max_bytes:,}: "
            "compress it more or make the picture smaller, or raise the limit",
        )
    _lift_pillows_ceiling(limits.max_pixels)

    def measure(width: int, height: int, taken: int) -> None:
        if not width or not height:
            raise ValueError(f"it has {width} x {height} pixels")
        _check_pixels(width, height, limits)
        look(max(width * height, -(-taken // BYTES_PER_PIXEL)))

    try:
        reading = reading or Reading()
        image = _decoded(data, measure, reading)
        picture, orientation = to_srgb(image), orientation_of(image) if reading.exif else 1
        if orientation in _UPRIGHT:
            picture = picture.transpose(_UPRIGHT[orientation])
        return picture
    except (ImageError, PostponedError, NeededError):
        raise
    # Parsers of hostile bytes raise whatever they trip over; Pillow's have raised nearly every built-in
    # exception. All of it means the same: this picture fails, its neighbours go on.
    except Exception as error:
        raise _failure(error, data, limits) from error


def _decoded(data: Data, look: Look, reading: Reading) -> Image.Image:
    """The picture as it is stored, in 8 bits, by the library that reads its format."""
    kind = unsupported(data)
    if kind is not None and kind.library == "pydicom":
        return decode_dicom(data, look, reading)
    if kind is not None and kind.library:
        need(kind.library, kind.name)
    try:
        return read_by_pillow(data, ("HEIF",) if kind is not None and kind.library else FORMATS, look, reading)
    except ForTifffileError:
        return decode_tiff(data, look, reading)


def _lift_pillows_ceiling(max_pixels: int) -> None:
    """Keeps Pillow's own pixel limit out of the way of ours.

    It is one global number: a warning above it and an error above its double. We check every header against
    our own limit; Pillow's stays as the net for pictures nested in icon files, which we cannot see before
    they are decoded. It is only ever raised, so that threads cannot get in each other's way.
    """
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise ImageError(
            "too_large",
            f"the picture has {width:,} x {height:,} pixels and the limit is {limits.max_pixels:,} "
            "pixels in all: make it smaller, or raise the limit",
        )


def _failure(error: Exception, data: Data, limits: Limits) -> ImageError:
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageError(
            "too_large",
            f"the picture is far above the limit of {limits.max_pixels:,} pixels: make it smaller, or raise the limit",
        )
    if isinstance(error, MemoryError):
        return ImageError("too_large", OUT_OF_MEMORY)
    kind, reason = _format(data), short(error)
    if _TOO_MUCH.search(reason):
        return ImageError("too_large", OUT_OF_MEMORY)
    known = unsupported(data)
    if not kind and not (known and known.library) and not _SIGNATURE.match(data):
        return ImageError(*refusal(data))
    if not kind and isinstance(error, UnidentifiedImageError):
        kind, error = _why_unopened(data) or ("", error)
        reason = short(error)
    if _NOT_READ.search(reason) or isinstance(error, NotImplementedError):
        name = kind or (known.name if known else "picture")
        extra = "; pip install 'camq[tiff]' where the worker runs adds compressions" if "imagecodecs" in reason else ""
        return ImageError(
            "unsupported",
            f"this {name} is of a kind that camq does not read ({reason}): save it as 8-bit PNG or JPEG, as with "
            f"magick FILE FILE.png{extra}",
        )
    early = _ends_early(bytes(data), reason)
    if isinstance(error, UnidentifiedImageError):
        early, reason = early or len(data) < _HEADER, "its header cannot be read"
    what = "the picture ends before its data is complete" if early else "the picture's data is damaged"
    return ImageError(
        "truncated" if early else "damaged",
        f"{what} ({reason}): open and save it in a picture editor, or send a whole copy",
    )


def _ends_early(data: bytes, reason: str) -> bool:
    """Whether a picture that cannot be read lacks its end: by its container where that tells, else by its reader's
    words."""
    if data.startswith(b"\x89PNG"):
        return _reached(data, 8, 4, b"IEND") is False
    if data.startswith(b"\xff\xd8"):
        return data.find(b"\xff\xd9", _scan_of(data)) < 0
    if data.startswith(b"\xff\x4f\xff\x51"):
        return not data.endswith(b"\xff\xd9")
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data[4:8] in (b"ftyp", b"jP  ") and (whole := _reached(data, 0, -8, b"")) is not None:
        return not whole
    return bool(_ENDS.search(reason))


def _reached(data: bytes, at: int, beside: int, last: bytes) -> bool | None:
    """Whether the pieces of a file, each behind its length and name, lie in it whole, up to the one called `last` or to
    its end; None where they do not tell. A length does not count `beside` + 8 of a piece's bytes."""
    for _ in range(_MOST_PIECES):
        if at == len(data) and not last:
            return True
        if at + 8 > len(data):
            return False
        length, name = struct.unpack_from(">I4s", data, at)
        if beside + 8 + length < 8:  # up to the end, or a length that stands elsewhere
            return None
        at += beside + 8 + length
        if name == last:
            return at <= len(data)
    return None


def _scan_of(data: bytes) -> int:
    """Where the first scan of a JPEG begins, behind which its end mark is no preview's."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if data[at + 1] != 0xFF else 1
    return at


def _format(data: Data) -> str:
    """The format as which Pillow opens it; empty for none, and for those that almost any bytes look like."""
    try:
        found = Image.open(BytesIO(data), formats=FORMATS).format or ""
    except Exception:  # noqa: BLE001 - see `decode`
        return ""
    return found if found not in UNSIGNED_FORMATS else ""


def _why_unopened(data: Data) -> tuple[str, Exception] | None:
    """The format as which the bytes begin, and what its reader says of them; Pillow keeps that to itself."""
    for name in FORMATS:
        reader, accepts = Image.OPEN[name]
        if name in UNSIGNED_FORMATS or accepts is None or accepts(bytes(data[:16]).ljust(16, b"\0")) is not True:
            continue
        try:
            reader(BytesIO(data), "")
        except Exception as error:  # noqa: BLE001 - see `decode`
            return name, error
    return None
