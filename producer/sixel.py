"""Pictures as sixels, which xterm, foot, mlterm, Konsole, Windows Terminal and others draw pixel by pixel.

A character is a column of six pixels, the lowest bit at the top; `!n` repeats the next character n times, `#c` chooses
a colour, `$` goes back to the left edge and `-` to the next six rows (DEC STD 070, chapter 9). Pillow writes no
sixels, and the encoders on PyPI are either old, or inside a library that asks the terminal when it is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

#: As many as most terminals have registers for.
COLOURS = 256
_ROWS = 6
#: Six bits as a character.
_CHARACTERS = bytes(range(63, 127)).ljust(256, b"?")
_RUN = re.compile(rb"(.)\1{3,}")


def sixels(picture: Image) -> str:
    """An RGB picture as one escape sequence, in at most 256 colours."""
    from PIL.Image import Dither

    flat = picture.quantize(COLOURS, dither=Dither.NONE)
    palette = flat.getpalette() or []
    colours = zip(palette[::3], palette[1::3], palette[2::3], strict=True)
    registers = "".join(
        f"#{number};2;{';'.join(str(round(part * 100 / 255)) for part in colour)}"
        for number, colour in enumerate(colours)
    )
    size = f'"1;1;{flat.width};{flat.height}'
    return f"\x1bP0;1q{size}{registers}{''.join(_bands(flat.tobytes(), flat.width))}\x1b\\"


def _bands(pixels: bytes, width: int) -> Iterator[str]:
    """Six rows at a time: one layer for each of their colours."""
    rows = [pixels[start : start + width] for start in range(0, len(pixels), width)]
    for top in range(0, len(rows), _ROWS):
        band = rows[top : top + _ROWS]
        layers = (f"#{colour}{_layer(band, colour)}" for colour in sorted(set(b"".join(band))))
        yield "$".join(layers) + "-"


def _layer(band: list[bytes], colour: int) -> str:
    """Where the band has this colour. Whole rows at once, as large numbers: pixel by pixel it would take seconds."""
    only = bytes(colour) + b"\x01" + bytes(255 - colour)
    columns = 0
    for bit, row in enumerate(band):
        columns |= int.from_bytes(row.translate(only), "big") << bit
    drawn = columns.to_bytes(len(band[0]), "big").translate(_CHARACTERS).rstrip(b"?")
    return _RUN.sub(lambda run: b"!%d%s" % (len(run[0]), run[1]), drawn).decode("ascii")
