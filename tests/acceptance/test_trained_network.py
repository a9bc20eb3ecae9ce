"""A ResNet18 that learned something, from its trainer's checkpoint to maps that must lie where the answer is.

Everywhere else the networks of tests have random weights, or weights of a package. This one is trained here, in some
minutes, and kept in pytest's cache.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from producer.local.contact_sheet import Guess, Row, contact_sheet
from tests import shapes
from tests.acceptance.local import camq

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(2400)]

PICTURES = 200
#: The pointing game's tolerance (Zhang et al. 2016), 15 pixels of 224: the map has 3 x 3 cells of 32 pixels.
TOLERANCE = 15 * shapes.SIDE / 224
MODEL_FILE = f"""
weights = "shapes.ckpt"

[input]
size = {shapes.SIDE}
mean = [{shapes.MEAN}, {shapes.MEAN}, {shapes.MEAN}]
std = [{shapes.STD}, {shapes.STD}, {shapes.STD}]
"""


@pytest.fixture(scope="module")
def checkpoint(pytestconfig: pytest.Config) -> Path:
    """As Lightning writes it: under `state_dict`, with a prefix, hyper-parameters, and the loss's weights beside."""
    assert pytestconfig.cache is not None
    recipe = hashlib.sha256(Path(shapes.__file__).read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    path = pytestconfig.cache.mkdir("trained") / f"{recipe}.ckpt"
    if not path.exists():
        module = shapes.trained()
        state = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
        names = {name: index for index, name in enumerate(shapes.CLASSES)}
        torch.save(
            {
                "state_dict": {**state, "criterion.weight": torch.ones(len(names))},
                "hyper_parameters": {"class_to_idx": names, "lr": 2e-3},
                "epoch": 0,
            },
            path,
        )
    return path


def row(record: dict[str, Any], pixels: shapes.Pixels, looked: Path) -> Row:
    guesses = []
    for line in record["predictions"]:
        with Image.open(looked / "overlays" / Path(line["overlay"]).name) as overlay:
            guesses.append(Guess(line["label"], line["probability"], overlay.convert("RGB")))
    return Row(Path(record["source"]).name, Image.fromarray(pixels), guesses)


def test_the_map_of_a_trained_networks_answer_lies_on_what_it_learned(checkpoint: Path, tmp_path: Path) -> None:
    """Of held-out pictures at least 95 % are right, and in 95 % of those the map is highest on the shape.

    A contact sheet of the first ones lies beside the checkpoint afterwards; `docs/images/shapes.jpg` is one.
    """
    (tmp_path / "shapes.ckpt").symlink_to(checkpoint)
    (tmp_path / "shapes.toml").write_text(MODEL_FILE)
    (tmp_path / "pictures").mkdir()
    held_out = list(shapes.examples(PICTURES, seed=999))
    for number, example in enumerate(held_out):
        Image.fromarray(example.pixels).save(tmp_path / "pictures" / f"{number:03d}.png")

    done = camq(
        *("run", "pictures", "--model", "shapes.toml", "--top-k", 2, "--keep-maps", "--out", "looked", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr

    records = [json.loads(line) for line in done.stdout.splitlines()]
    rows = [
        row(record, example.pixels, tmp_path / "looked") for record, example in zip(records[:6], held_out, strict=False)
    ]
    contact_sheet(rows, "A trained ResNet18", "shapes on textures").save(checkpoint.with_suffix(".jpg"), quality=90)

    right = on_shape = boxed = 0
    for example, record in zip(held_out, records, strict=True):
        best = record["predictions"][0]
        if best["label"] != shapes.CLASSES[example.label]:
            continue
        right += 1
        with np.load(tmp_path / "looked" / "maps" / f"{record['index']}.npz") as kept:
            heat = Image.fromarray(kept["maps"][0]).resize((shapes.SIDE, shapes.SIDE), Image.Resampling.BILINEAR)
        y, x = divmod(int(np.asarray(heat).argmax()), shapes.SIDE)
        left, top, beyond, below = example.place
        on_shape += left - TOLERANCE <= x < beyond + TOLERANCE and top - TOLERANCE <= y < below + TOLERANCE
        box = best["box"]
        boxed += box[0] < beyond and box[2] > left and box[1] < below and box[3] > top

    print(f"{right} of {PICTURES} right; of those {on_shape} maps highest on the shape, {boxed} boxes meet it")  # noqa: T201
    assert right >= 0.95 * PICTURES
    assert on_shape >= 0.95 * right
    assert boxed >= 0.95 * right
