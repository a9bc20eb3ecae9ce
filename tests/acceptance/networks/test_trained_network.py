"""A ResNet18 that learned something, from its trainer's checkpoint to maps that must lie where the answer is.

Everywhere else the networks of tests have random weights, or weights of a package. This one is trained here, in some
minutes, and kept in pytest's cache.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from producer.local.contact_sheet import Guess, Row, contact_sheet
from tests.acceptance.local import camq
from tests.support.pictures import shapes

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(2400)]

PICTURES = 200
HELD_OUT = list(shapes.examples(PICTURES, seed=999))
#: The pointing game's tolerance (Zhang et al. 2016), 15 pixels of 224: the map has 3 x 3 cells of 32 pixels.
TOLERANCE = 15 * shapes.SIDE / 224


@pytest.fixture(scope="module")
def checkpoint(pytestconfig: pytest.Config) -> Path:
    """As Lightning writes it: under `state_dict`, with a prefix, hyper-parameters, and the loss's weights beside."""
    assert pytestconfig.cache is not None
    return shapes.checkpoint(pytestconfig.cache.mkdir("trained"))


def row(record: dict[str, Any], pixels: shapes.Pixels, looked: Path) -> Row:
    guesses = []
    for line in record["predictions"]:
        with Image.open(looked / "overlays" / Path(line["overlay"]).name) as overlay:
            guesses.append(Guess(line["label"], line["probability"], overlay.convert("RGB")))
    return Row(Path(record["source"]).name, Image.fromarray(pixels), guesses)


@pytest.fixture(scope="module")
def held_out(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model file `shapes.toml` and pictures that the network was not trained on."""
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "shapes.ckpt").symlink_to(checkpoint)
    (folder / "shapes.toml").write_text(shapes.MODEL_FILE)
    saved(HELD_OUT, folder / "pictures")
    return folder


def saved(examples: list[shapes.Example], folder: Path) -> None:
    folder.mkdir()
    for number, example in enumerate(examples):
        Image.fromarray(example.pixels).save(folder / f"{number:03d}.png")


def explained(folder: Path, out: str, **environment: str) -> list[dict[str, Any]]:
    """The records of the pictures in the folder, their maps kept."""
    done = camq(
        *("run", "pictures", "--model", "shapes.toml", "--top-k", 2, "--keep-maps", "--out", out, "--json"),
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_map_of_a_trained_networks_answer_lies_on_what_it_learned(checkpoint: Path, held_out: Path) -> None:
    """Of held-out pictures at least 95% are right, and in 95% of those the map is highest on the shape.

    A contact sheet of the first ones lies beside the checkpoint afterwards; `docs/images/shapes.jpg` is one.
    """
    records = explained(held_out, "looked")
    rows = [
        row(record, example.pixels, held_out / "looked") for record, example in zip(records[:6], HELD_OUT, strict=False)
    ]
    contact_sheet(rows, "A trained ResNet18", "shapes on textures").save(checkpoint.with_suffix(".jpg"), quality=90)

    right = on_shape = boxed = 0
    for example, record in zip(HELD_OUT, records, strict=True):
        best = record["predictions"][0]
        if best["label"] != shapes.CLASSES[example.label]:
            continue
        right += 1
        with np.load(held_out / "looked" / "maps" / f"{record['index']}.npz") as kept:
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


def test_in_eight_bits_the_answers_are_nearly_the_same(held_out: Path) -> None:
    """Calibrated on other pictures of the kind: the same class for 99% of them, maps ranked alike (Spearman 0.98)."""
    saved(list(shapes.examples(64, seed=5)), held_out / "calibration")
    exact = explained(held_out, "exact")
    rounded = explained(held_out, "rounded", CAMQ_PRECISION="int8", CAMQ_CALIBRATION=str(held_out / "calibration"))
    assert {record["engine"].endswith("int8") for record in rounded} == {True}

    same, correlations = 0, []
    for left, right in zip(exact, rounded, strict=True):
        same += left["predictions"][0]["class_index"] == right["predictions"][0]["class_index"]
        maps = [_map(held_out / out / "maps" / f"{left['index']}.npz", left) for out in ("exact", "rounded")]
        correlations.append(spearmanr(*maps).statistic)
    print(f"{same} of {PICTURES} have the same class; maps correlate by {np.mean(correlations):.4f}")  # noqa: T201
    assert same >= 0.99 * PICTURES
    assert np.mean(correlations) >= 0.98


def _map(file: Path, record: dict[str, Any]) -> NDArray[np.float32]:
    """The flattened map of the class that `record` puts first."""
    with np.load(file) as kept:
        (place,) = np.flatnonzero(kept["class_index"] == record["predictions"][0]["class_index"])[:1]
        found: NDArray[np.float32] = kept["maps"][place].ravel()
        return found
