"""Write the tables of docs/models.md from a run over their networks: random weights, one picture of noise each.

    .venv/bin/python -m bench.models_table [elsewhere | NAME…]

`elsewhere` writes the table of timm's and Hugging Face's networks alone. With names of torchvision's it prints their
rows only. All of torchvision's take about six minutes on two cores and 12 GB of memory.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
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
- **gradcam**, **hirescam**, **layercam** and **finercam** only, by autograd from the target layer on, where something
  else stands at the end. The last column says what.
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
  `transform_input=True`. A checkpoint that was trained with `transform_input=False` cannot be distinguished, and
  would see other colours.

The weights are random: the table says that the mathematics holds, not that a network is good.

"""


ELSEWHERE = "## Networks of timm and of Hugging Face"
ELSEWHERE_TEXT = """## Networks of timm and of Hugging Face

Ten widely used ones of each. `bench/models_table.py elsewhere` wrote this part from a real run (torch {torch}, timm
{timm}, transformers {transformers}, {day}). The weights are random, since no model hub was within reach: the table says
that the mathematics holds for these architectures, not that a network is good. timm's go by the name for `--model`;
Hugging Face's by their class, in its default size and with its own image processor.

- A vision transformer is mapped by the grid of its patches; tokens of the class, of distillation and registers are left
  out. Where its head takes the class token, only `gradcam`, `hirescam`, `layercam` and `finercam` are possible, from
  the last layer at which every patch still matters. Where the head takes the mean over patches, all methods are.
- Inputs are as the library's own configuration says.

"""
#: timm's names, as people ask for them most.
TIMM = (
    "resnet18",
    "resnet50",
    "efficientnet_b0",
    "mobilenetv3_large_100",
    "convnext_tiny",
    "densenet121",
    "regnety_016",
    "vit_base_patch16_224",
    "deit_small_patch16_224",
    "swin_tiny_patch4_window7_224",
)
#: transformers' classes, and the image processors that their folders have.
HUGGING_FACE = {
    "ResNet": "ConvNext",
    "ConvNext": "ConvNext",
    "ViT": "ViT",
    "DeiT": "DeiT",
    "Beit": "Beit",
    "Dinov2": "Bit",
    "Swin": "ViT",
    "MobileNetV2": "MobileNetV2",
    "EfficientNet": "EfficientNet",
    "Segformer": "Segformer",
}


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Its batch normalisation not the identity that it starts as."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return module


def elsewhere(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """What each row is called, the architecture, its weights."""
    import timm
    import transformers

    torch.manual_seed(0)
    for name in TIMM:
        torch.save(randomised(timm.create_model(name)).state_dict(), folder / "w.pth")
        yield f"timm:{name}", f"timm:{name}", folder / "w.pth"
    for name, processor in HUGGING_FACE.items():
        config = getattr(transformers, f"{name}Config")(num_labels=1000)
        module = randomised(getattr(transformers, f"{name}ForImageClassification")(config))
        module.save_pretrained(folder / name)
        size = getattr(config, "image_size", 224)
        sized = {"size": {"height": size, "width": size}} if processor in ("ViT", "EfficientNet") else {}
        getattr(transformers, f"{processor}ImageProcessorPil")(**sized).save_pretrained(folder / name)
        yield f"{name}ForImageClassification", f"transformers:{name}ForImageClassification", folder / name


def random_weights(name: str, folder: Path) -> Path:
    """A state dict of `name`, its batch normalisation not the identity that it starts as."""
    torch.manual_seed(0)
    with torch.random.fork_rng():
        module = architectures.construct(name)
    randomised(module)
    path = folder / f"{name}.pth"
    torch.save(module.state_dict(), path)
    return path


def row(network: Network, called: str = "") -> str:
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
    return f"| {called or network.name} | {size} | `{network.target_layer}` | {height}x{width} | {methods} | {proof} |"


def main(names: list[str]) -> None:
    """Rows of `names` to stdout, or of all architectures to the page."""
    rows = [HEADER]
    day = time.strftime("%Y-%m-%d")
    if names == ["elsewhere"]:
        import timm
        import transformers

        with tempfile.TemporaryDirectory() as folder:
            for called, name, weights in elsewhere(Path(folder)):
                rows.append(row(load_network(name, weights=weights, device=torch.device("cpu")), called))
                print(rows[-1], file=sys.stderr, flush=True)
        versions = {"timm": timm.__version__, "transformers": transformers.__version__}
        text = ELSEWHERE_TEXT.format(torch=torch.__version__, day=day, **versions)
        write(ELSEWHERE, text + "\n".join(rows) + "\n")
        return
    for name in names or sorted(architectures.NAMES):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            weights = random_weights(name, Path(folder))
            rows.append(row(load_network(name, weights=weights, device=torch.device("cpu"))))
        print(rows[-1], f"{time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    if names:
        print("\n".join(rows))
    else:
        text = TEXT.format(torch=torch.__version__, torchvision=torchvision.__version__, day=day)
        write(HEADING, text + "\n".join(rows) + "\n")


def write(heading: str, text: str) -> None:
    """Put a section of this heading into the page, in place of the old one; the other parts stay."""
    before, _, old = PAGE.read_text("utf-8").partition(heading)
    _, heading_after, after = old.partition("\n## ")
    PAGE.write_text(before + text + (heading_after + after if after else ""), "utf-8")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(sys.argv[1:])
