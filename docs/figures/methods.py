"""Draw docs/images/methods.jpg: one photograph under every method.

    .venv/bin/python -m docs.figures.methods

scikit-image's `chelsea` through efficientnet_lite0, the map of its first class. Score-CAM takes 1280 forwards, about
half a minute on two cores.
"""

from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from shared.contract import METHODS, Options
from worker.core.engine import Engine
from worker.core.network import load_network
from worker.core.preprocess import prepare
from worker.core.render import render
from worker.core.types import Explanation, Limits

PAGE = Path(__file__).parent.parent / "images" / "methods.jpg"
TILE, CAPTION, COLUMNS = (300, 200), 24, 5


def main() -> None:
    """Ten tiles: the picture, then its overlay under each method."""
    network = load_network("efficientnet_lite0", device=torch.device("cpu"))
    photograph = Image.fromarray(data.chelsea())
    stored = BytesIO()
    photograph.save(stored, "png")
    engine = Engine(network, 32)
    tiles = []
    for method in METHODS:
        options = Options(method=method, top_k=1, overlay_size=TILE[0])  # type: ignore[arg-type]
        prepared = prepare(stored.getvalue(), options, network.spec, Limits())
        [outcome] = engine.run([prepared.pixels], [options])
        if not isinstance(outcome, Explanation):
            raise SystemExit(f"{method}: {outcome}")
        [drawing] = render(prepared, outcome.classes, options)
        tiles.append((method, Image.open(BytesIO(drawing.overlay))))
    best = outcome.classes[0]
    first = f"{network.labels[best.class_index]}, {best.probability:.2f}"
    compose([(first, photograph), *tiles]).save(PAGE, quality=88)


def compose(tiles: list[tuple[str, Image.Image]]) -> Image.Image:
    """A contact sheet with a caption under each tile."""
    width, height = TILE[0], TILE[1] + CAPTION
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (caption, picture) in enumerate(tiles):
        left, top = place % COLUMNS * width, place // COLUMNS * height
        sheet.paste(picture.convert("RGB").resize(TILE), (left, top))
        draw.text((left + 6, top + TILE[1] + 3), caption, "black", ImageFont.load_default(15))
    return sheet


if __name__ == "__main__":
    main()
