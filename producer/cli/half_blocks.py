"""Pictures in a terminal: each character is two pixels, one above the other, in 24-bit colour."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_RESET = "\x1b[0m"
#: Where there are no colours, five densities, dark to bright.
_SHADES = " ░▒▓█"

Pixel = tuple[int, int, int]


def drawn(picture: Image, columns: int, lines: int, *, colours: bool = True) -> str:
    """The upright picture as lines of text, as large as `columns` and `lines` allow, never larger than it is."""
    shown = upright(picture)
    shown.thumbnail((max(columns, 1), 2 * max(lines, 1)))
    if not colours:
        return _shaded(shown)
    width, height = shown.size
    channels = iter(shown.tobytes())
    pixels = list(zip(channels, channels, channels, strict=True))
    rows = [pixels[start : start + width] for start in range(0, width * height, width)]
    if height % 2:
        rows.append(rows[-1])
    return "\n".join(_line(upper, lower) for upper, lower in zip(rows[::2], rows[1::2], strict=True))


def upright(picture: Image) -> Image:
    """A copy of the picture as a viewer shows it: turned as its camera was, in RGB."""
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(picture)
    return turned if turned.mode == "RGB" else _on_grey(turned)


def _line(upper: list[Pixel], lower: list[Pixel]) -> str:
    """Upper half blocks; equal neighbours share one colour command."""
    runs = ((pair, sum(1 for _ in run)) for pair, run in groupby(zip(upper, lower, strict=True)))
    return "".join(f"\x1b[38;2;{_code(top)};48;2;{_code(low)}m{'▀' * n}" for (top, low), n in runs) + _RESET


def _code(pixel: Pixel) -> str:
    return ";".join(map(str, pixel))


def _shaded(picture: Image) -> str:
    """One character for two pixels, by their mean brightness."""
    width, height = picture.width, max(1, picture.height // 2)
    grey = picture.convert("L").resize((width, height)).tobytes()
    text = "".join(_SHADES[value * len(_SHADES) // 256] for value in grey)
    return "\n".join(text[start : start + width].rstrip() for start in range(0, width * height, width))


def _on_grey(picture: Image) -> Image:
    """What is transparent becomes a middle grey, which no terminal's own colour can hide."""
    from PIL import Image

    layer = picture.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (128, 128, 128, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")
