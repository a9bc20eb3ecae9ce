"""Write docs/models.md from a run over every architecture: random weights, one picture of noise each.

    .venv/bin/python -m bench.models_table [NAME…]

With names it prints their rows only. All of them take about six minutes on two cores and 12 GB of memory.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torchvision

from shared.contract import METHODS, Options
from worker.core.engine.engine import Engine
from worker.core.model import architectures
from worker.core.model.network import Network, load_network
from worker.core.types import Explanation

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
HEADER = "| network | input | target layer | map | methods | identity error |\n|---|---|---|---|---|---|"
HEADING = "## Every architecture of torchvision"
TEXT = """## Every architecture of torchvision

Every architecture that `--model` takes. `bench/models_table.py` wrote this part from a real run (torch {torch},
torchvision {torchvision}, {day}): random weights, batch normalisation with random statistics, a picture of noise each.

- **all** methods have a closed form on one forward pass where the network ends in global average pooling and one
  linear layer. camq finds the two in the traced graph and proves at load that the mean of each class's map, plus the
  bias, is the logit: the *identity error* is the largest difference, relative to the largest of the logits and of what
  they are summed from (weights by mean activations, and biases, without their signs). A network with an error above
  1e-4 is refused.
- **gradcam** and **hirescam** only, by autograd from the target layer on, where something else stands at the end. The
  last column says what.
- `pool_input` is the input of the pool where no layer of its own puts it out: DenseNet pools the output of a function,
  EfficientNet-Lite that of a layer which runs twice.
- On SqueezeNet, whose head is convolution, ReLU and pool, the map is relu(W·A + b), with the bias inside.
- Swin transformers qualify by the same structure. Their maps add up to the logit like any other, but each position has
  by then attended to its surroundings: read them with more care than a convolutional network's.
- Input and map are those of the default weights' own transforms. `--input-size` gives a finer map, except on ViT and
  MaxViT, which take their own size only. (ViT-H/14 is trained at 518 pixels; its size is read from the weights.) A
  smaller one, of at least 32 pixels, is taken as well; AlexNet needs 63 and Inception v3 75. (Shapes were computed
  at that size for each of them.)
- GoogLeNet and Inception v3 are run as torchvision runs its own weights: without auxiliary heads and with
  `transform_input=True`. A checkpoint that was trained with `transform_input=False` cannot be told apart, and would
  see other colours.

The weights are random: the table says that the mathematics holds, not that a network is good.

"""


def random_weights(name: str, folder: Path) -> Path:
    """A state dict of `name`, its batch normalisation not the identity that it starts as."""
    torch.manual_seed(0)
    with torch.random.fork_rng():
        module = architectures.construct(name)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    path = folder / f"{name}.pth"
    torch.save(module.state_dict(), path)
    return path


def row(network: Network) -> str:
    """One line of the table, from a run of one picture."""
    size = network.spec.size
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    wish = Options(top_k=1, method="cam" if network.head else "gradcam")
    outcome = Engine(network, 1).run([noise], [wish])[0]
    if not isinstance(outcome, Explanation):
        raise SystemExit(f"{network.name}: {outcome}")
    height, width = outcome.classes[0].values.shape
    methods = "all" if network.methods == METHODS else ", ".join(network.methods)
    proof = f"{network.identity_error:.1e}" if network.identity_error is not None else network.reason
    return f"| {network.name} | {size} | `{network.target_layer}` | {height}x{width} | {methods} | {proof} |"


def main(names: list[str]) -> None:
    """Rows of `names` to stdout, or of all architectures to the page."""
    rows = [HEADER]
    for name in names or sorted(architectures.NAMES):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            weights = random_weights(name, Path(folder))
            rows.append(row(load_network(name, weights=weights, device=torch.device("cpu"))))
        print(rows[-1], f"{time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    if names:
        print("\n".join(rows))
    else:
        text = TEXT.format(torch=torch.__version__, torchvision=torchvision.__version__, day=time.strftime("%Y-%m-%d"))
        own = PAGE.read_text("utf-8").partition(HEADING)[0]  # what people wrote, above the table
        PAGE.write_text(own + text + "\n".join(rows) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(sys.argv[1:])
