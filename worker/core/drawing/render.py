"""Activation maps → coloured heat over the picture, as encoded bytes.

The order keeps colours comparable: a map is normalised and resized in floating point, its heat is linear in
it, and only then is it quantised to the 256 colours of the colormap. Nothing is rescaled per picture
afterwards, so that one normalised value has one colour in every overlay.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.contract import Options
from worker.core.drawing.boxes import box, boxes
from worker.core.drawing.caption import write
from worker.core.drawing.full_size import heat_picture, mask, runs
from worker.core.drawing.stretch import stretch
from worker.core.map_range import MapRange, map_range
from worker.core.types import Caption, Drawing, FloatArray, Geometry, Painting, Prepared, UInt8Array

#: JPEG with Pillow's 4:2:0: bilinear heat is smooth, so that halving the chroma is not seen, and it saves a
#: third of the encoder's time (0.34 against 0.54 ms at 500 x 375) and a sixth of the bytes. WebP and PNG at
#: their fastest: at their defaults encoding would take as long as the network.
ENCODERS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "quality": 90},
    "webp": {"format": "WEBP", "quality": 90, "method": 0},
    "png": {"format": "PNG", "compress_level": 1},
}
#: Opacity in the blend is counted in 1/256, so that it runs in 16-bit integers: a result is that of exact
#: arithmetic, rounded half up, save where that lies within 1/256 of a half (an alpha of n/256 is always exact).
ONE = 256
#: Pixels that are blended at once: their numbers then stay in a core's cache from one step to the next.
BAND = 32768


def paint(
    prepared: Prepared,
    maps: Sequence[FloatArray],
    colours: UInt8Array,
    options: Options,
    captions: Sequence[Caption] = (),
) -> Iterator[Painting]:
    """Paints each map over the picture, in the order given, as it is asked for; maps are (h, w), raw and signed.

    A map that is flat or not finite gets the picture without heat, no box, no mask, and `flat`. `map_min` and `map_max`
    are of the raw map; of its finite values where some are not, since JSON has no word for the others. `captions`, one
    for each map or none, are written onto the overlays.
    """
    painter = (_Sheet if options.overlay == "transparent" else _Painter)(prepared, colours, options.alpha)
    geometry, threshold = prepared.geometry, options.box_threshold
    ranges = [map_range(values) for values in maps]
    shared = _union(own for own, values in zip(ranges, maps, strict=True) if np.isfinite(values).all())
    for place, (values, own) in enumerate(zip(maps, ranges, strict=True)):
        span = shared if options.scale == "shared" and not own.flat else own
        overlay = painter.paint(heat := None if own.flat else _heat(values, span))
        shown = not own.flat
        yield Painting(
            overlay=write(overlay, captions[place], span, colours) if captions else overlay,
            heatmap=_heatmap(heat, values.shape, geometry, colours, options),
            mask=mask(values, geometry, options.mask_threshold or threshold) if options.masks and shown else None,
            box=box(values, geometry, threshold) if shown else None,
            boxes=boxes(values, geometry, threshold, options.boxes) if options.boxes and shown else (),
            map_min=own.low,
            map_max=own.high,
            flat=own.flat,
        )


def encode(painting: Painting, options: Options) -> Drawing:
    """The painting's pictures as files: the overlay in the format asked for, heatmap and mask as PNG."""
    found = painting.mask
    return Drawing(
        overlay=_encode(painting.overlay, options.format),
        heatmap=None if painting.heatmap is None else _encode(painting.heatmap, "png"),
        mask=None if found is None else _encode(Image.fromarray(found), "png"),
        runs=None if found is None else runs(found),
        box=painting.box,
        boxes=painting.boxes,
        map_min=painting.map_min,
        map_max=painting.map_max,
        flat=painting.flat,
    )


def _union(ranges: Iterable[MapRange]) -> MapRange:
    low, high = math.inf, -math.inf
    for one in ranges:
        low, high = min(low, one.low), max(high, one.high)
    return MapRange(low, high, flat=False)


def _heat(values: FloatArray, scale: MapRange) -> FloatArray:
    """The map min-max normalised to `scale`, in steps of the colormap: 0 at its low end, 255 at its high end."""
    # In double precision, where not even the range of all float32 numbers overflows.
    share = (values.astype(np.float64) - scale.low) / (scale.high - scale.low)
    return (share * 255).astype(np.float32)


def _quantised(heat: FloatArray) -> UInt8Array:
    return (heat + np.float32(0.5)).astype(np.uint8)


def _heatmap(
    heat: FloatArray | None, shape: tuple[int, ...], geometry: Geometry, colours: UInt8Array, options: Options
) -> Image.Image | None:
    """The coloured map, in its own size or in the picture's; of a flat map, all in the colour of no heat."""
    if not options.heatmaps:
        return None
    if options.heatmaps == "full":
        return heat_picture(heat, geometry, colours)
    index = np.zeros(shape, np.uint8) if heat is None else _quantised(heat)
    return Image.fromarray(colours[index])


def _seen(prepared: Prepared) -> tuple[int, int, int, int]:
    """The part of the canvas that the network saw, in whole pixels, at least one each way."""
    x0, y0, x1, y1 = (round(edge) for edge in prepared.canvas_seen)
    x0, y0 = min(x0, prepared.canvas.width - 1), min(y0, prepared.canvas.height - 1)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


class _Sheet:
    """The heat alone, as large as the canvas: laid over it, it is the other overlay, but for rounding."""

    def __init__(self, prepared: Prepared, colours: UInt8Array, alpha: float) -> None:
        self._size, self._part = prepared.canvas.size, _seen(prepared)
        self._colours = np.pad(colours, ((0, 0), (0, 1)), constant_values=round(alpha * 255))

    def paint(self, heat: FloatArray | None) -> Image.Image:
        """Nothing at all without heat, and where the network did not look."""
        sheet = Image.new("RGBA", self._size)
        if heat is not None:
            x0, y0, x1, y1 = self._part
            steps = stretch(heat + np.float32(0.5), x1 - x0, y1 - y0).astype(np.uint8)
            sheet.paste(Image.fromarray(self._colours[steps]), (x0, y0))
        return sheet


class _Painter:
    """Blends heat over one canvas; what all classes share is computed once.

    A pixel is one 64-bit number of four 16-bit lanes, R, G, B and nothing: looking up and adding whole pixels takes
    two thirds of the time that three colours each take.
    """

    def __init__(self, prepared: Prepared, colours: UInt8Array, alpha: float) -> None:
        self._canvas, self._part = prepared.canvas, _seen(prepared)
        self._whole = self._part == (0, 0, *self._canvas.size)
        seen = self._canvas if self._whole else self._canvas.crop(self._part)
        lanes = np.frombuffer(seen.tobytes("raw", "RGBX"), np.uint8).reshape(seen.height, seen.width, 4)
        self._under = _packed(_shares(lanes, (1.0 - alpha) * ONE))
        self._colours = _packed(np.rint(np.pad(colours, ((0, 0), (0, 1))) * (alpha * ONE)).astype(np.uint16))

    def paint(self, heat: FloatArray | None) -> Image.Image:
        """The canvas under `heat` (h, w), which is stretched over the part that the network saw."""
        if heat is None:
            return self._canvas
        x0, y0, x1, y1 = self._part
        # The half makes the cast to whole steps of the colormap round; a mean of cells, it keeps through the stretch.
        steps = stretch(heat + np.float32(0.5), x1 - x0, y1 - y0)
        blend = np.empty((*steps.shape, 4), np.uint8)
        rows = max(1, BAND // steps.shape[1])
        for top in range(0, steps.shape[0], rows):
            band = slice(top, top + rows)
            pixels = np.take(self._colours, steps[band].astype(np.intp))
            pixels += self._under[band]  # no lane overflows into the next: at most 255 * ONE, and half a ONE to round
            np.right_shift(pixels.view(np.uint16).reshape(blend[band].shape), 8, out=blend[band])
        painted = Image.frombytes("RGB", (x1 - x0, y1 - y0), blend, "raw", "RGBX")
        if self._whole:
            return painted
        picture = self._canvas.copy()
        picture.paste(painted, (x0, y0))
        return picture


def _shares(lanes: UInt8Array, share: float) -> NDArray[np.uint16]:
    """`lanes` times `share`, rounded, and half of ONE, which makes the shift by ONE round instead of truncate."""
    if share.is_integer():  # an alpha of n/256, as 0.5 is: exact, and in a third of the time
        shares: NDArray[np.uint16] = np.multiply(lanes, int(share), dtype=np.uint16)
        shares += ONE // 2
        return shares
    exact = np.multiply(lanes, share, dtype=np.float32)
    exact += 0.5 + ONE / 2
    return exact.astype(np.uint16)


def _packed(lanes: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """Pixels (…, 4) of 16 bits a lane → one 64-bit number (…) each."""
    packed: NDArray[np.uint64] = lanes.view(np.uint64)[..., 0]
    return packed


def _encode(picture: Image.Image, kind: str) -> bytes:
    file = BytesIO()
    picture.save(file, **ENCODERS[kind])
    return file.getvalue()
