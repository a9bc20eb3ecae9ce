"""A figure as SVG: sharp at every size, light or dark as the page around it, with photographs inside."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).parent.parent / "images"

STYLE = """
svg { --paper: #fff; --ink: #1b1c1e; --quiet: #5b5e65; --line: #c9c9c5; --accent: #b23809; --wash: #fbeee8;
  --bad: #b4232a; font: 16px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #1a1c1f; --ink: #ececea; --quiet: #a5a9b0; --line: #4a4e55; --accent: #ff9663; --wash: #33231b;
    --bad: #ff8d8a; }
}
text { fill: var(--ink); }
.quiet { fill: var(--quiet); }
.accent { fill: var(--accent); }
.bad { fill: var(--bad); }
.bold { font-weight: 650; }
.small { font-size: 14px; }
.mono { font-family: ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", monospace; }
.paper { fill: var(--paper); }
.edge { fill: none; stroke: var(--line); }
.node { fill: var(--paper); stroke: var(--quiet); stroke-width: 1.5; }
.final { fill: var(--wash); stroke: var(--accent); stroke-width: 2; }
.way { fill: none; stroke: var(--quiet); stroke-width: 1.6; }
.back { stroke: var(--bad); stroke-dasharray: 5 4; }
.head { fill: var(--quiet); }
.back-head { fill: var(--bad); }
.seen { fill: none; stroke: #fff; stroke-width: 2; }
.under { fill: none; stroke: #000; stroke-opacity: 0.55; stroke-width: 4; }
.grid { fill: none; stroke: #fff; stroke-opacity: 0.75; }
"""

MARKERS = "".join(
    f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8"'
    f' markerUnits="userSpaceOnUse" orient="auto"><path class="{name}" d="M0 1 9 5 0 9z"/></marker>'
    for name in ("head", "back-head")
)


class Figure:
    """A drawing of so many pixels; everything is placed by its left upper corner unless said otherwise."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = (width, height)
        self._parts = [f"<title>{escape(title)}</title>", f"<defs>{MARKERS}</defs>"]
        self.rect(0, 0, width, height, "paper", radius=10)

    def text(self, x: float, y: float, words: str, kind: str = "", *, anchor: str = "start") -> None:
        """One line whose baseline is `y`."""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>')

    def rect(self, x: float, y: float, width: float, height: float, kind: str, *, radius: float = 0) -> None:
        """A rectangle."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" class="{kind}"/>'
        )

    def way(self, path: str, *, back: bool = False) -> None:
        """An arrow along an SVG path; `back` is the way of what went wrong."""
        kind, head = ("way back", "back-head") if back else ("way", "head")
        self._parts.append(f'<path class="{kind}" d="{path}" marker-end="url(#{head})"/>')

    def picture(self, x: float, y: float, width: float, height: float, picture: Image.Image) -> None:
        """A photograph, stored with twice the pixels that it takes."""
        buffer = BytesIO()
        picture.convert("RGB").resize((round(2 * width), round(2 * height))).save(buffer, "JPEG", quality=82)
        data = base64.b64encode(buffer.getvalue()).decode()
        self._parts.append(
            f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" preserveAspectRatio="none"'
            f' href="data:image/jpeg;base64,{data}"/>'
        )

    def cells(self, x: float, y: float, side: float, colours: Sequence[Sequence[str]]) -> None:
        """A grid of coloured squares, `side` pixels in all."""
        step = side / len(colours)
        for row, line in enumerate(colours):
            for column, colour in enumerate(line):
                self._parts.append(
                    f'<rect x="{x + column * step:g}" y="{y + row * step:g}" width="{step:g}" height="{step:g}"'
                    f' fill="{colour}" stroke="{colour}" stroke-width="0.5"/>'
                )
        self.rect(x, y, side, side, "edge")

    def shade(self, x: float, y: float, side: float, colour: str, opacity: float) -> None:
        """One square, so faint that words over it are read."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" fill="{colour}"'
            f' fill-opacity="{opacity:.3f}"/>'
        )

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """A frame that is seen on every photograph."""
        for kind in ("under", "seen"):
            self.rect(x, y, width, height, kind)

    def lines(self, x: float, y: float, width: float, height: float, number: int) -> None:
        """A photograph's grid of `number` by `number` cells."""
        for place in range(number + 1):
            across, down = x + width * place / number, y + height * place / number
            path = f"M{across:g} {y:g}v{height:g}M{x:g} {down:g}h{width:g}"
            self._parts.append(f'<path class="grid" d="{path}"/>')

    def save(self, name: str) -> None:
        """To `docs/images/NAME.svg`."""
        width, height = self._size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        )
        (IMAGES / f"{name}.svg").write_text(f"{head}<style>{STYLE}</style>{''.join(self._parts)}</svg>\n")
