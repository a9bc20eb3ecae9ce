"""The formats that Pillow may open, for every place that opens a picture. Without Pillow until bytes are looked at."""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from shared.unsupported import RAW, Library, unsupported

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = [
    "COMMON_FORMATS",
    "OVERLAY_FORMATS",
    "PICTURE_FORMATS",
    "RAW",
    "SIGNATURE",
    "UNSIGNED_FORMATS",
    "Library",
    "looks_like_a_picture",
    "readable_formats",
    "refusal",
    "small_webp",
    "unsupported",
]

#: What comes from cameras, browsers and data sets: the formats that have a preview.
COMMON_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
#: Formats without a signature: almost any bytes can look like one, so that a failure says little of them.
UNSIGNED_FORMATS = ("IM", "PCD", "SPIDER", "TGA")
#: Everything that Pillow decodes by itself. Left out, and so never opened: EPS and WMF (run another program),
#: IPTC (opens the picture inside it in any format, EPS too), IMT (takes texts for pictures), and BUFR, GRIB,
#: HDF5, MPEG (recognised, but never decoded).
PICTURE_FORMATS = (
    *COMMON_FORMATS,
    *("AVIF", "JPEG2000", "ICO", "PPM", "PSD", "QOI", "ICNS", "CUR", "DIB", "DDS", "PCX", "DCX", "SGI", "SUN"),
    *("BLP", "FITS", "FLI", "FTEX", "GBR", "MCIDAS", "MSP", "PIXAR", "XBM", "XPM", "XVTHUMB"),
    *UNSIGNED_FORMATS,
)
#: Bytes that begin so are a picture, whole or damaged, whatever the file is called. Formats without a signature are
#: known by their name alone.
SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]"
    rb"|....ftypavi[fs]|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|8BPS\0\x01|qoif|DDS |\0\0[\x01\x02]\0[^\0]\0"
    rb"|P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+\d|icns",
    re.DOTALL,
)
#: What workers draw overlays as.
OVERLAY_FORMATS = ("JPEG", "PNG", "WEBP")
#: What a failed image of the code `not_an_image` says.
NOT_AN_IMAGE = (
    "the bytes are not a picture in a format that camq reads: send JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, "
    "DICOM or another pixel format; texts, archives and drawings such as PDF, SVG and EPS are not opened"
)
_PREVIEW_QUALITY = 80
#: Bytes that Pillow shows a format's own check.
_PREFIX = 16


@cache
def readable_formats() -> tuple[str, ...]:
    """Those of PICTURE_FORMATS that this release of Pillow has; it would fail on another one.

    Loads every plug-in: Pillow would load them at the first rare picture, in whichever thread that falls.
    """
    from PIL import Image

    Image.init()
    return tuple(name for name in PICTURE_FORMATS if name in Image.OPEN)


def looks_like_a_picture(data: bytes) -> bool:
    """Whether the first bytes are those of a picture, whole or damaged: in one of PICTURE_FORMATS, or in a format that
    another library reads, where a worker has it.
    """
    if (kind := unsupported(data)) is not None and kind.library:
        return True
    from PIL import Image

    # Some checks read numbers at fixed places, and raise where a file of three bytes has none.
    start = data[:_PREFIX].ljust(_PREFIX, b"\0")
    checks = [(name, Image.OPEN[name][1]) for name in readable_formats()]
    if any(check is not None and check(start) for name, check in checks if name not in UNSIGNED_FORMATS):
        return True
    try:
        with Image.open(BytesIO(data), formats=UNSIGNED_FORMATS):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # noqa: BLE001 - parsers of hostile bytes raise whatever they trip over
        return False


def refusal(data: bytes | bytearray | memoryview) -> tuple[str, str]:
    """Code and sentence for bytes that are no picture in one of PICTURE_FORMATS."""
    kind = unsupported(data)
    if kind is None:
        return "not_an_image", NOT_AN_IMAGE
    return "unsupported", f"this is {kind.name}, which camq does not read: {kind.way}"


def small_webp(picture: Picture, side: int) -> bytes:
    """A picture, its longest side at most `side` pixels, as WebP without anything of where it came from."""
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    small.info.clear()
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=_PREVIEW_QUALITY)
    return buffer.getvalue()
