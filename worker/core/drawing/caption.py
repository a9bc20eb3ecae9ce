"""What is written onto an overlay: the class, its probability, and a bar of the colours with the map's least and
greatest value."""

import unicodedata
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worker.core.map_range import MapRange
from worker.core.types import Caption, UInt8Array

#: Height of the letters as a share of the picture's shorter side, and in pixels at least: legible at 224 pixels, and
#: of the same size on a screen that shows 4000.
SHARE, SMALLEST = 0.05, 12
#: A picture whose strip would cover more of it than this stays as it is.
MOST = 0.4
#: Opacity of the strip under the letters: they are legible on white as on black.
OPACITY = 176
_INK = (255, 255, 255)
#: No font has a sign for it.
_UNKNOWN = "\U0010ffff"


def write(canvas: Image.Image, caption: Caption, span: MapRange, colours: UInt8Array) -> Image.Image:
    """The canvas, RGB or RGBA, with a strip at its lower edge; the same canvas where it has no room for one.

    A label is cut where it does not fit. One with letters that the font does not have, which knows Latin, Greek and
    Cyrillic, is written as its class's number. A flat map has no bar.
    """
    width, height = canvas.size
    size = max(SMALLEST, round(SHARE * min(width, height)))
    font = _font(size)
    pad, line = max(2, size // 3), size + size // 4
    lines = 1 if span.flat else 2
    deep = lines * line + (lines + 1) * pad
    share = "< 0.1%" if 0 < caption.probability < 0.001 else f"{100 * caption.probability:.1f}%"
    room = width - 4 * pad - font.getlength(share)
    if deep > MOST * height or room < 3 * size:
        return canvas
    strip = Image.new("RGBA", (width, deep), (0, 0, 0, OPACITY))
    draw = ImageDraw.Draw(strip)
    middle = pad + line / 2
    draw.text((pad, middle), _fitting(_name(caption, font), font, room), _INK, font, anchor="lm")
    draw.text((width - pad, middle), share, _INK, font, anchor="rm")
    if not span.flat:
        _draw_bar(strip, draw, span, colours, font, top=line + 2 * pad, pad=pad, line=line)
    drawn = canvas.copy()
    if drawn.mode == "RGBA":
        drawn.alpha_composite(strip, (0, height - deep))
    else:
        drawn.paste(strip, (0, height - deep), strip)
    return drawn


def _draw_bar(
    strip: Image.Image,
    draw: ImageDraw.ImageDraw,
    span: MapRange,
    colours: UInt8Array,
    font: ImageFont.FreeTypeFont,
    *,
    top: int,
    pad: int,
    line: int,
) -> None:
    low, high = _number(span.low), _number(span.high)
    left = pad + round(font.getlength(low)) + pad
    right = strip.width - pad - round(font.getlength(high)) - pad
    draw.text((pad, top + line / 2), low, _INK, font, anchor="lm")
    draw.text((strip.width - pad, top + line / 2), high, _INK, font, anchor="rm")
    if right > left:
        steps = np.linspace(0, 255, right - left).round().astype(np.intp)
        inner = max(2, line // 4)
        bar = np.broadcast_to(colours[steps], (line - 2 * inner + 1, right - left, 3))
        strip.paste(Image.fromarray(np.ascontiguousarray(bar)), (left, top + inner))


def _number(value: float) -> str:
    return f"{value:.3g}"


def _name(caption: Caption, font: ImageFont.FreeTypeFont) -> str:
    label = " ".join(unicodedata.normalize("NFC", caption.label).split())
    missing = _shape(font, _UNKNOWN)
    legible = label.isprintable() and all(letter == " " or _shape(font, letter) != missing for letter in set(label))
    return label if label and legible else f"class {caption.class_index}"


def _fitting(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    if font.getlength(text) <= room:
        return text
    length = next((n for n in range(len(text) - 1, 0, -1) if font.getlength(f"{text[:n].rstrip()}…") <= room), 0)
    return f"{text[:length].rstrip()}…"


def _shape(font: ImageFont.FreeTypeFont, letter: str) -> bytes:
    return bytes(font.getmask(letter))


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(BytesIO(_letters()), size)


@cache
def _letters() -> bytes:
    """The font's file. It is kept, since the process that draws can open no file later."""
    return files("font_source_sans_pro").joinpath("files", "SourceSansPro-Regular.ttf").read_bytes()
