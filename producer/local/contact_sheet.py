"""The contact sheet: each picture with its overlays, labels and probabilities side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from producer.formatting import share
from shared.text import visible

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

PAPER = "#ffffff"
FRAME = "#eef0f3"
INK = "#1b1f24"
QUIET = "#68717c"
BAR = "#c2410c"
RAIL = "#e3e6ea"

#: All in pixels; the sheet of six pictures with three labels is about 1500 x 2000. A cell is 3:2, as photographs are.
CELL = (336, 224)
GAP = 20
MARGIN = 44
HEAD = 104
CAPTION = 66
CORNER = 8
#: Size of captions, and where their line stands below a cell.
TEXT = 21
BASELINE = 29


@dataclass(frozen=True, slots=True)
class Guess:
    """One overlay and what it stands for."""

    label: str
    probability: float
    overlay: Image.Image


@dataclass(frozen=True, slots=True)
class Row:
    """One picture with its overlays, best first."""

    name: str
    picture: Image.Image
    guesses: Sequence[Guess]


def contact_sheet(rows: Sequence[Row], title: str, subtitle: str) -> Image.Image:
    """The sheet as an RGB picture, as wide as the row with the most guesses."""
    columns = 1 + max((len(row.guesses) for row in rows), default=0)
    pitch_x, pitch_y = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    size = (2 * MARGIN + columns * pitch_x - GAP, HEAD + len(rows) * pitch_y + MARGIN - GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 66), title, INK, _font(32), anchor="ls")
    draw.text((size[0] - MARGIN, 66), subtitle, QUIET, _font(18), anchor="rs")
    for number, row in enumerate(rows):
        x, y = MARGIN, HEAD + number * pitch_y
        _place(sheet, row.picture, x, y)
        draw.text((x, y + CELL[1] + BASELINE), _fitted(visible(row.name), CELL[0]), INK, _font(TEXT), anchor="ls")
        for guess in row.guesses:
            x += pitch_x
            _place(sheet, guess.overlay, x, y)
            _caption(draw, guess, x, y + CELL[1])
    return sheet


def _place(sheet: Image.Image, picture: Image.Image, x: int, y: int) -> None:
    """The whole picture in the middle of a cell, so that every cell has the same size."""
    cell = Image.new("RGB", CELL, FRAME)
    scale = min(CELL[0] / picture.width, CELL[1] / picture.height)
    fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.convert("RGB").resize(fitted, Image.Resampling.LANCZOS)
    cell.paste(small, ((CELL[0] - fitted[0]) // 2, (CELL[1] - fitted[1]) // 2))
    sheet.paste(cell, (x, y), _rounded(CELL))


@cache
def _rounded(size: tuple[int, int]) -> Image.Image:
    """A mask with round corners, drawn large and shrunk, for ImageDraw does not smooth its edges."""
    large = Image.new("L", (size[0] * 4, size[1] * 4))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, size[0] * 4 - 1, size[1] * 4 - 1), CORNER * 4, 255)
    return large.resize(size, Image.Resampling.LANCZOS)


def _caption(draw: ImageDraw.ImageDraw, guess: Guess, x: int, y: int) -> None:
    """Label and probability on one line, the probability as a bar below."""
    percent = share(guess.probability)
    room = CELL[0] - int(_font(TEXT).getlength(percent)) - 14
    draw.text((x, y + BASELINE), _fitted(visible(guess.label), room), INK, _font(TEXT), anchor="ls")
    draw.text((x + CELL[0], y + BASELINE), percent, QUIET, _font(TEXT), anchor="rs")
    top, bottom = y + BASELINE + 14, y + BASELINE + 20
    draw.rounded_rectangle((x, top, x + CELL[0] - 1, bottom), 3, RAIL)
    length = round((CELL[0] - 1) * guess.probability)
    if length >= 1:
        draw.rounded_rectangle((x, top, x + length, bottom), min(3, length // 2), BAR)


def _fitted(text: str, width: int) -> str:
    """The text, shortened until it fits."""
    if _font(TEXT).getlength(text) <= width:
        return text
    while text and _font(TEXT).getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


@cache
def _font(size: int) -> "FreeTypeFont":
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - what Pillow gives when a size is asked for
    return font
