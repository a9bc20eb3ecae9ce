"""Small pictures made in the test, in every format and mode that Pillow can write."""

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from shared.contract import Options
from worker.core.drawing.colormaps import palette
from worker.core.drawing.render import encode, paint
from worker.core.types import Caption, ClassMap, Drawing, Geometry, Prepared

#: EXIF orientation → how a camera that writes it has stored the upright picture.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F")


def photo(width: int = 60, height: int = 40) -> Image.Image:
    """Something with smooth parts and edges, different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 127 + 60 * np.sin(x / 7) + 60 * np.cos(y / 5)
    ramps = 255 * x / max(1, width - 1), 255 * y / max(1, height - 1)
    return Image.fromarray(np.stack([ramps[0], waves, ramps[1]], axis=-1).astype(np.uint8))


def in_mode(picture: Image.Image, mode: str) -> Image.Image:
    """The picture in any mode, also where Pillow has no way from RGB."""
    if mode in {"I;16", "I", "F"}:
        grey = np.asarray(picture.convert("L"))
        return Image.fromarray(grey.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]) * 257)
    if mode == "LAB":
        return Image.merge("LAB", picture.split())
    if mode == "PA":
        return picture.convert("P").convert("PA")
    return picture.convert(mode)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(upright: Image.Image, orientation: int, kind: str = "PNG", **options: Any) -> bytes:
    """The file that a camera held in this orientation writes of what should be seen as `upright`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    method = STORED[orientation]
    stored = upright if method is None else upright.transpose(method)
    return encoded(stored, kind, exif=exif.tobytes() if kind != "TIFF" else exif, **options)


@lru_cache(maxsize=1)
def one_of_each() -> dict[str, bytes]:
    """`FORMAT MODE` → a valid small file, for all that Pillow can write as a picture of pixels."""
    Image.init()
    files = {}
    for kind in sorted(set(Image.SAVE) & set(Image.OPEN) - {"EPS", "WMF", "BUFR", "GRIB", "HDF5"}):
        # An Apple icon is always written in ten sizes up to 1024 pixels: one mode is enough of that.
        for mode in MODES if kind != "ICNS" else ("RGB",):
            try:
                files[f"{kind} {mode}"] = encoded(in_mode(photo(), mode), kind)
            except (OSError, ValueError, KeyError):
                continue  # this format has no such mode
    return files


def class_map(values: Any, rank: int = 1) -> ClassMap:
    return ClassMap(rank, rank, 0.0, 0.0, np.asarray(values, np.float32))


def render(
    prepared: Prepared, maps: Sequence[ClassMap], options: Options, captions: Sequence[Caption] = ()
) -> list[Drawing]:
    """Each map over the picture, painted and encoded."""
    values, colours = [found.values for found in maps], palette(options.colormap)
    return [encode(painting, options) for painting in paint(prepared, values, colours, options, captions)]


def seen(canvas: Image.Image, part: tuple[float, float, float, float] | None = None) -> Prepared:
    """A canvas that stands for itself, all of it seen unless said otherwise."""
    part = part or (0.0, 0.0, float(canvas.width), float(canvas.height))
    geometry = Geometry(canvas.width, canvas.height, part)
    return Prepared(np.zeros((8, 8, 3), np.uint8), canvas, geometry, part)


def draw(
    canvas: Image.Image, *maps: object, part: tuple[float, float, float, float] | None = None, **options: object
) -> list[Drawing]:
    chosen = Options(**{"format": "png", **options})
    return render(seen(canvas, part), [class_map(values, rank) for rank, values in enumerate(maps, 1)], chosen)
