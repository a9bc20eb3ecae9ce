"""TIFFs that Pillow does not know: many bands, three of 16 or 32 bits, floats, rare compressions. By tifffile."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from shared.errors import ImageError
from shared.pictures import RAW
from worker.core.picture.levels import integer_range, levels, number_in, of_array, stated_range
from worker.core.picture.libraries import need
from worker.core.types import Data, Reading

_CONVERT = "convert it to RGB of 8 or 16 bits: gdal_translate -b 1 -b 2 -b 3 FILE FILE.png, or save it as PNG"
_WHOLE = "send a whole copy"
#: Bytes of one value by its type's number (TIFF 6.0, section 2, and BigTIFF).
_SIZES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    3: 2,
    8: 2,
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
#: More are not looked at.
_MOST_TAGS = 1000
_COLOURS = ("MINISWHITE", "MINISBLACK", "RGB")
_ALPHA = {1, 2}
_ICC, _ORIENTATION, _NO_DATA = 34675, 0x0112, 42113
_LEAST, _GREATEST = (280, 340), (281, 341)

#: Told width, height and bytes before anything is decoded; may raise.
Look = Callable[[int, int, int], None]


def decode_tiff(data: Data, look: Look, reading: Reading) -> Image.Image:
    """Its page as L, RGB or RGBA, with its profile and orientation. Raises ImageError, and what `look` raises.

    Of more than three bands the first three are taken, of two the first; `reading` is called with that.
    """
    tifffile = need("tifffile", "a TIFF with these bands or numbers")
    _check_directory(bytes(data[:16]), data)
    with tifffile.TiffFile(BytesIO(data)) as file:
        wanted = (reading.page or 1) - 1
        try:
            page = file.pages[wanted]
        except IndexError:
            if not wanted:
                raise
            raise absent_page(wanted + 1, len(file.pages)) from None
        page = page.aspage() if hasattr(page, "aspage") else page
        count = page.samplesperpixel
        bands = 3 if count >= 3 else 1
        _refuse(page, len(data))
        width, height = page.imagewidth, page.imagelength
        look(width, height, width * height * bands * (page.dtype.itemsize + 1))
        values = _first_bands(page, bands)
        alpha = bands == 3 and count == 4 and bool(_ALPHA.intersection(page.extrasamples))
        opacity = _fourth(page) if alpha else None
        if count > bands and not alpha:
            reading.warn("bands", further_bands(count, bands))
        picture = _shaded(page, values, reading)
        if opacity is not None:
            picture.putalpha(opacity)
        if profile := page.tags.get(_ICC):
            picture.info["icc_profile"] = profile.value
        if orientation := page.tags.get(_ORIENTATION):
            picture.getexif()[_ORIENTATION] = int(orientation.value)
        return picture


def _check_directory(head: bytes, data: Data) -> None:
    """ImageError where the directory of the first page, or what it refers to, ends behind the file."""
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    at, counter, entry = (16, "Q", "HHQ8s") if big else (8, "H", "HHI4s")
    start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, at - (8 if big else 4))[0]
    try:
        (count,) = struct.unpack_from(order + counter, data, start)
        first = start + struct.calcsize(order + counter)
        size = struct.calcsize(order + entry)
        entries = struct.iter_unpack(order + entry, bytes(data[first : first + min(count, _MOST_TAGS) * size]))
        ends = [first + count * size, *(_end(order, *found) for found in entries)]
    except struct.error:
        ends = [len(data) + 1]
    if max(ends) > len(data):
        raise ImageError("truncated", f"the file ends before the directory of its first page does: {_WHOLE}")


def _end(order: str, _tag: int, kind: int, count: int, value: bytes) -> int:
    """The end of what an entry of a directory refers to; 0 where its value stands in itself."""
    size = _SIZES.get(kind, 0) * count
    return struct.unpack(order + ("Q" if len(value) == 8 else "I"), value)[0] + size if size > len(value) else 0


def raw_file() -> ImageError:
    """What a camera's raw file fails with."""
    return ImageError("unsupported", f"this is {RAW.name}, which camq does not read: {RAW.way}")


def further_bands(count: int, used: int) -> str:
    """What a picture of more bands than are used is warned of."""
    return f"the TIFF has {count} bands: the first {'three' if used == 3 else 'one'} became the picture"


def absent_page(page: int, pages: int) -> ImageError:
    """What a page beyond the last one fails with."""
    return ImageError("not_found", f"there is no page {page}: the file has {pages}, counted from 1")


def _shaded(page: Any, values: np.ndarray[Any, Any], reading: Reading) -> Image.Image:
    bits, kind = page.bitspersample, page.dtype.kind
    if kind == "u" and bits == 8:
        shown = 255 - values if page.photometric.name == "MINISWHITE" else values
        return Image.fromarray(shown)
    stated = None
    if kind in "iu":
        least, greatest = _number(page, _LEAST), _number(page, _GREATEST)
        stated = stated_range(bits, least, greatest, integer_range(bits, signed=kind == "i"))
    nothing = number_in(page.tags[_NO_DATA].value) if _NO_DATA in page.tags else None
    inverted = page.photometric.name == "MINISWHITE"
    return levels(of_array(values, stated, inverted=inverted, nothing=nothing), reading)


def _number(page: Any, either: tuple[int, int]) -> float | None:
    """The value, or the first one, of whichever tag is there."""
    value = next((page.tags[tag].value for tag in either if tag in page.tags), None)
    return None if value is None else float(value[0] if isinstance(value, tuple) else value)


def _refuse(page: Any, size: int) -> None:
    """ImageError for what ends before its data, has no first three bands that are colours, or cannot be unpacked."""
    if any(start + count > size for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)):
        raise ImageError("truncated", f"the file has {size:,} bytes and its picture ends behind them: {_WHOLE}")
    if page.dtype is None or page.dtype.kind not in "iufb":
        raise ImageError("unsupported", f"this is {_described(page)}, whose numbers camq does not read: {_CONVERT}")
    if page.photometric.name in ("CFA", "LINEAR_RAW"):
        raise raw_file()
    if page.photometric.name not in _COLOURS:
        raise ImageError("unsupported", f"this is {_described(page)}, whose colours camq does not read: {_CONVERT}")
    try:
        known = need("tifffile", "TIFF").TIFF
        _ = known.DECOMPRESSORS[page.compression], known.UNPREDICTORS[page.predictor]
    except KeyError:
        raise ImageError(
            "unsupported",
            f"this is {_described(page)}, which needs camq[tiff] where the worker runs (pip install 'camq[tiff]'), or a"
            f" conversion: {_CONVERT}",
        ) from None
    if page.imagedepth != 1:
        raise ImageError("unsupported", f"this is {_described(page)} with a depth of {page.imagedepth}: {_CONVERT}")


def _described(page: Any) -> str:
    bands = f"{page.samplesperpixel} x {page.bitspersample} bits"
    return f"a TIFF of {bands}, {page.photometric.name}, compression {page.compression.name}"


def _first_bands(page: Any, bands: int) -> np.ndarray[Any, Any]:
    """(h, w) or (h, w, 3): strip by strip, so that the other bands are never whole."""
    return _bands(page, 0, bands)


def _bands(page: Any, first: int, count: int) -> np.ndarray[Any, Any]:
    height, width = page.imagelength, page.imagewidth
    values = np.zeros((height, width, count), page.dtype)
    for segment, (plane, _, top, left, _), shape in page.segments(maxworkers=1):
        if segment is None:
            continue
        rows, columns = min(shape[1], height - top), min(shape[2], width - left)
        part = segment[0, :rows, :columns]
        box = slice(top, top + rows), slice(left, left + columns)
        if page.planarconfig == 1:
            values[box] = part[..., first : first + count]
        elif first <= plane < first + count:
            values[(*box, plane - first)] = part[..., 0]
    return values if count > 1 else values[..., 0]


def _fourth(page: Any) -> Image.Image:
    """Opacity as a picture of mode L."""
    values = _bands(page, 3, 1)
    return levels(of_array(values), Reading(range="full")) if values.dtype != np.uint8 else Image.fromarray(values)
