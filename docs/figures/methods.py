"""Draw docs/images/methods.jpg: one picture under every method.

    .venv/bin/python -m docs.figures.methods

scikit-image's `chelsea` and `coffee` side by side through efficientnet_lite0, the maps of `espresso`, which is not the
first class: where two things compete, the methods differ. Score-CAM takes 1280 forwards, half a minute on two cores.
"""

from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from skimage import data

from shared.contract import METHODS, Options
from worker.core.engine.engine import Engine
from worker.core.model.network import load_network
from worker.core.picture.preprocess import prepare
from worker.core.picture.render import render
from worker.core.types import Explanation, Limits

PAGE = Path(__file__).parent.parent / "images" / "methods.jpg"
TILE, CAPTION, COLUMNS = (300, 200), 24, 5
CLASS = "espresso"
#: Methods that are shown for the probability as well; eigencam knows no target, the others look like gradcam.
SOFTMAX = ("cam", "gradcam", "layercam", "gradcam++", "ablationcam")


def main() -> None:
    """Fifteen tiles: the picture, its overlay under each method, and under some with the other target."""
    network = load_network("efficientnet_lite0", device=torch.device("cpu"))
    picture = side_by_side(Image.fromarray(data.chelsea()).crop((90, 0, 315, 300)), Image.fromarray(data.coffee()))
    stored = BytesIO()
    picture.save(stored, "png")
    engine = Engine(network, 32)
    index = network.labels.index(CLASS)
    tiles = []
    for method, target in [*((method, "logit") for method in METHODS), *((method, "softmax") for method in SOFTMAX)]:
        options = Options(method=method, target=target, classes=(index,), overlay_size=TILE[0])  # type: ignore[arg-type]
        prepared = prepare(stored.getvalue(), options, network.spec, Limits())
        [outcome] = engine.run([prepared.pixels], [options])
        if not isinstance(outcome, Explanation):
            raise SystemExit(f"{method}: {outcome}")
        [drawing] = render(prepared, outcome.classes, options)
        caption = method if target == "logit" else f"{method}, {target}"
        tiles.append((caption, Image.open(BytesIO(drawing.overlay))))
    found = outcome.classes[0]
    first = f"{CLASS}: rank {found.rank}, {found.probability:.2f}"
    compose([(first, picture), *tiles]).save(PAGE, quality=88)


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Each fills its half of a picture of 600x400."""
    both = Image.new("RGB", (600, 400))
    for place, half in enumerate((left, right)):
        both.paste(ImageOps.fit(half, (300, 400)), (300 * place, 0))
    return both


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
