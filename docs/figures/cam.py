"""Draw the figures of docs/how-cam-works.md: `.venv/bin/python -m docs.figures.cam`.

scikit-image's photographs through efficientnet_lite0; every number and every cell is what the network computed.
"""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from skimage import data

from docs.figures.methods import side_by_side
from docs.figures.svg import Figure
from shared.contract import Options
from worker.core.engine.engine import Engine, to_input
from worker.core.model.network import Network, load_network
from worker.core.picture.colormaps import palette
from worker.core.picture.preprocess import prepare
from worker.core.picture.render import paint
from worker.core.types import ClassMap, FloatArray, Limits, Painting, Prepared

CLASSES = ("espresso", "cup", "lynx")
TINT = "rgb(226,98,38)"


@dataclass(frozen=True)
class Look:
    """What one forward pass of a picture gave: the picture, its activations (K, h, w) and maps."""

    picture: Image.Image
    prepared: Prepared
    network: Network
    activations: FloatArray
    maps: tuple[ClassMap, ...]

    def painted(self, **options: object) -> list[Painting]:
        """The maps drawn under these options."""
        return paint(self.prepared, self.maps, Options(**options))  # type: ignore[arg-type]


def look(network: Network, picture: Image.Image, labels: tuple[str, ...]) -> Look:
    """One picture under the network, as a worker would do it."""
    stored = BytesIO()
    picture.save(stored, "png")
    options = Options(classes=tuple(network.labels.index(label) for label in labels))
    prepared = prepare(stored.getvalue(), options, network.spec, Limits())
    [outcome] = Engine(network, 1).run([prepared.pixels], [options])
    if not hasattr(outcome, "classes"):
        raise SystemExit(f"no map: {outcome}")
    activations = network.forward(to_input([prepared.pixels], network))[1][0].numpy()
    return Look(picture, prepared, network, activations, outcome.classes)


def main() -> None:
    """All five."""
    network = load_network("efficientnet_lite0", device=torch.device("cpu"))
    coffee = look(network, Image.fromarray(data.coffee()), CLASSES)
    steps(coffee)
    halving(coffee)
    identity(coffee)
    scales(coffee)
    boxes(look(network, side_by_side(Image.fromarray(data.coffee()), Image.fromarray(data.chelsea())), CLASSES))


def steps(seen: Look) -> None:
    """From the picture to the overlay."""
    figure = Figure(600, 520, "Picture, activations times weights, map, overlay with box")
    espresso = seen.maps[0]
    weights = seen.network.head.weight[espresso.class_index].numpy()  # type: ignore[union-attr]
    given = weights * seen.activations.mean(axis=(1, 2))
    # The three that speak most for the class, and the one that speaks most against it.
    chosen = [*np.argsort(given)[::-1][:3], int(np.argmin(given))]
    figure.text(20, 36, "the input", "bold")
    figure.picture(20, 50, 150, 150, Image.fromarray(seen.prepared.pixels))
    figure.text(20, 222, "224x224 pixels", "quiet small")
    figure.way("M178 125H212")
    figure.text(220, 36, f"4 of {len(weights):,} activations", "bold")
    for place, channel in enumerate(chosen):
        left = 220 + 92 * place
        values = seen.activations[channel]
        figure.cells(left, 50, 82, coloured(values, "gray"))
        figure.text(left + 41, 154, f"A[{channel}]", "quiet small mono", anchor="middle")
        figure.text(left + 41, 180, f"x {signed(weights[channel])}", "mono accent", anchor="middle")
    figure.text(220, 222, "each times its weight for espresso, and so", "quiet small")
    figure.text(220, 242, f"on for the other {len(weights) - len(chosen):,}: the sum is the map", "quiet small")
    figure.way("M205 237H95V268")
    figure.text(20, 300, "the activation map", "bold")
    figure.cells(20, 314, 160, coloured(espresso.values, "jet"))
    figure.text(20, 496, f"{espresso.values.min():.1f} (blue) to {espresso.values.max():.1f} (red)", "quiet small")
    figure.way("M188 394H222")
    figure.text(230, 300, "the overlay", "bold")
    [painting, *_] = seen.painted()
    figure.picture(230, 314, 240, 160, painting.overlay)
    boxed(figure, (230, 314, 240), seen, painting)
    figure.text(230, 496, f"espresso, {espresso.probability:.0%}, and its box", "quiet small")
    figure.save("cam-steps")


def halving(seen: Look) -> None:
    """Why a map has seven cells a side."""
    figure = Figure(600, 240, "Five halvings from 224 pixels to 7 cells; the picture under the grid of its map")
    figure.text(20, 36, "five times halved", "bold")
    left = 20.0
    for side in (224, 112, 56, 28, 14, 7):
        width = side * 0.45
        figure.rect(left, 152 - width, width, width, "node")
        figure.text(left + width / 2, 180, str(side), "small", anchor="middle")
        left += width + 21
    figure.text(350, 36, "a map's 7x7 cells", "bold")
    figure.picture(350, 50, 230, 230 * 2 / 3, seen.picture)
    figure.lines(350, 50, 230, 230 * 2 / 3, 7)
    figure.text(350, 226, "on a picture of 600x400", "quiet small")
    figure.save("cam-grid")


def identity(seen: Look) -> None:
    """The mean of the map and the bias are the logit."""
    figure = Figure(600, 330, "The 49 numbers of a map, their mean, the bias and the logit")
    espresso = seen.maps[0]
    values, side = espresso.values, 280 / 7
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            left, top = 20 + column * side, 30 + row * side
            figure.shade(left, top, side, TINT, 0.62 * max(0.0, float(value)) / float(values.max()))
            figure.text(left + side / 2, top + 25, f"{value:.1f}", "small", anchor="middle")
    figure.rect(20, 30, 280, 280, "edge")
    bias = float(seen.network.head.bias[espresso.class_index])  # type: ignore[union-attr]
    rows = [
        ("mean of the 49 cells", f"{values.mean():.4f}"),
        ("+ bias of espresso", signed(bias, 4)),
        ("= its logit", f"{espresso.logit:.4f}"),
    ]
    for place, (words, number) in enumerate(rows):
        kind = "bold" if place == 2 else ""
        figure.text(330, 80 + 36 * place, words, kind)
        figure.text(580, 80 + 36 * place, number, f"mono {kind}", anchor="end")
    figure.rect(330, 126, 250, 0.8, "edge")
    figure.text(330, 204, f"softmax: {espresso.probability:.1%}", "quiet small")
    figure.save("cam-identity")


def scales(seen: Look) -> None:
    """Each map stretched by itself, and all on one scale."""
    figure = Figure(600, 392, "Three classes, each on its own scale and all on one")
    for row, (scale, words) in enumerate(
        (("each", "each from its own least to its own most"), ("shared", "one scale for all three"))
    ):
        top = 30 + 172 * row
        figure.text(20, top + 2, f"--scale {scale}", "mono bold")
        figure.text(190, top + 2, words, "quiet small")
        for place, painting in enumerate(seen.painted(scale=scale)):
            figure.picture(20 + 190 * place, top + 14, 180, 120, painting.overlay)
    for place, one in enumerate(seen.maps):
        label = seen.network.labels[one.class_index]
        figure.text(20 + 190 * place, 358, f"{label}, {percent(one.probability)}", "bold small")
        span = f"map from {signed(one.values.min(), 1)} to {signed(one.values.max(), 1)}"
        figure.text(20 + 190 * place, 376, span, "quiet small")
    figure.save("cam-scale")


def boxes(seen: Look) -> None:
    """The same map under three thresholds."""
    figure = Figure(600, 190, "Boxes at three thresholds, what lies above each shown bright")
    values = seen.maps[0].values
    for place, threshold in enumerate((0.2, 0.5, 0.8)):
        left = 20 + 190 * place
        painting = seen.painted(box_threshold=threshold)[0]
        width, height = seen.picture.size
        grid = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))
        bright = np.where(grid > threshold * values.max(), 1.0, 0.32)[..., None]
        figure.picture(left, 20, 180, 120, Image.fromarray((np.asarray(seen.picture) * bright).astype(np.uint8)))
        boxed(figure, (left, 20, 180), seen, painting)
        figure.text(left, 164, f"{threshold:.0%} of the maximum", "bold small")
    figure.save("cam-box")


def boxed(figure: Figure, at: tuple[float, float, float], seen: Look, painting: Painting) -> None:
    """The painting's box on a picture at x, y, of this width."""
    x, y, width = at
    scale = width / seen.picture.width
    if painting.box:
        x0, y0, x1, y1 = (edge * scale for edge in painting.box)
        figure.box(x + x0 + 1, y + y0 + 1, x1 - x0 - 2, y1 - y0 - 2)


def coloured(values: FloatArray, name: str) -> list[list[str]]:
    """Each cell's colour, from the least value to the greatest."""
    low, high = float(values.min()), float(values.max())
    index = ((values - low) / (high - low) * 255 + 0.5).astype(np.uint8)
    return [["rgb({},{},{})".format(*colour) for colour in line] for line in palette(name)[index]]


def signed(value: float, digits: int = 2) -> str:
    """With a true minus."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """As the gallery says it."""
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"


if __name__ == "__main__":
    main()
