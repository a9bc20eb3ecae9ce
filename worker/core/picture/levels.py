"""Numbers of more than 8 bits → levels from black to white."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.contract import number_range
from worker.core.types import Reading

#: Pixels whose numbers are scaled at once, so that a copy of a large picture is never whole.
_BAND_PIXELS = 1 << 20
#: A picture whose brightest level is below this is nearly black.
DARK = 24


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a file holds in place of levels: (height, width) or (height, width, 3), of any type."""

    width: int
    height: int
    #: The rows from the first number up to the second.
    rows: Callable[[int, int], NDArray[Any]]
    #: 1 or 3.
    bands: int
    #: The least and the greatest number of their type; 0 and 1 for floats.
    full: tuple[float, float]
    #: Black and white as the file states them.
    stated: tuple[float, float] | None = None
    #: Whether the least number is white.
    inverted: bool = False
    #: The number that stands where nothing was measured.
    nothing: float | None = None


def of_array(
    values: NDArray[Any],
    stated: tuple[float, float] | None = None,
    *,
    inverted: bool = False,
    nothing: float | None = None,
) -> Numbers:
    """The numbers of an array (h, w) or (h, w, 3)."""
    height, width = values.shape[:2]
    bands = 1 if values.ndim == 2 else 3
    full = full_range(values.dtype)
    return Numbers(width, height, lambda top, end: values[top:end], bands, full, stated, inverted, nothing)


def stated_range(
    bits: int, least: float | None, greatest: float | None, full: tuple[float, float]
) -> tuple[float, float] | None:
    """Black and white, where a file says more of its numbers than how many bytes each takes."""
    if bits % 8:
        return full
    if greatest is not None and (least or 0) < greatest < full[1]:
        return float(least or 0), float(greatest)
    return None


def integer_range(bits: int, *, signed: bool) -> tuple[float, float]:
    """The least and the greatest whole number of so many bits."""
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)


def full_range(kind: np.dtype[Any]) -> tuple[float, float]:
    """The least and the greatest number of a type; 0 and 1 for floats and truth values."""
    if kind.kind not in "iu":
        return 0.0, 1.0
    return float(np.iinfo(kind).min), float(np.iinfo(kind).max)


def number_in(text: object) -> float | None:
    """GDAL's number for what was not measured, which a TIFF has as a text."""
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def levels(numbers: Numbers, reading: Reading) -> Image.Image:
    """An L or RGB picture. All bands share one range: `reading.range`, else what the file states, else the data's.

    Numbers outside the range become black or white; what is not finite becomes the lower end. Where all numbers are the
    same, the range is that of their type.
    """
    low, high = _range(numbers, reading.range)
    width = high - low
    picture = Image.new("RGB" if numbers.bands == 3 else "L", (numbers.width, numbers.height))
    brightest = 0
    for top, there, values in _bands(numbers):
        shown = values if there is None else np.where(there, values, low)
        # In double precision, where not even the range of all float32 numbers overflows.
        scaled = np.clip((shown.astype(np.float64) - low) / width, 0, 1).astype(np.float32) * np.float32(255)
        shades = np.rint(scaled).astype(np.uint8)
        if numbers.inverted:
            shades = 255 - shades
        brightest = max(brightest, int(shades.max()))
        picture.paste(Image.fromarray(shades), (0, top))
    if brightest < DARK:
        reading.warn(
            "dark",
            f"the picture is nearly black: its brightest level is {brightest} of 255 where {low:g} is black and"
            f" {high:g} white; --range data stretches the numbers that are there",
        )
    return picture


def _range(numbers: Numbers, wish: str | None) -> tuple[float, float]:
    """Black and white. Never equal."""
    match wish:
        case None:
            return numbers.stated or _data_range(numbers)
        case "full":
            return numbers.full
        case "data":
            return _data_range(numbers)
        case _:
            return number_range(wish)


def _data_range(numbers: Numbers) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for _, there, values in _bands(numbers):
        seen = values[there] if there is not None else values
        if seen.size:
            low, high = min(low, float(seen.min())), max(high, float(seen.max()))
    return (low, high) if low < high else numbers.full


def _bands(numbers: Numbers) -> Iterator[tuple[int, NDArray[np.bool_] | None, NDArray[Any]]]:
    """Some rows at a time: the first row, which numbers there are, where some are missing, and the numbers."""
    rows = max(1, _BAND_PIXELS // numbers.width)
    for top in range(0, numbers.height, rows):
        values = numbers.rows(top, min(top + rows, numbers.height))
        there = np.isfinite(values) if values.dtype.kind == "f" else None
        if numbers.nothing is not None:
            there = (values != numbers.nothing) & (True if there is None else there)
        yield top, there, values
