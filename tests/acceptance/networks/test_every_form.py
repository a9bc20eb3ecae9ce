"""Every form in which people bring a network, by `camq run`: answers are those of the module by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.acceptance.local import camq
from tests.acceptance.networks.by_hand import Form
from tests.acceptance.networks.forms import FORMS
from tests.numeric.pictures import turned

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of them lying as a telephone stores it."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    photo = Image.fromarray(noise).resize((320, 240))
    photo.save(tmp_path / "photo.png")
    (tmp_path / "turned.jpg").write_bytes(turned(photo, 6))
    return tmp_path


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest, relative to the largest number expected."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("maker", FORMS)
def test_a_form_is_answered_as_by_hand(maker: Callable[[Path], Form], folder: Path) -> None:
    """From its trainer's checkpoint and a model file to logits, probabilities, labels and maps of all classes."""
    form = maker(folder)
    (folder / "mine.toml").write_text(form.text)
    options = ("--method", form.method, "--top-k", len(form.labels), "--keep-maps", "--out", "out", "--json")
    done = camq("run", form.picture, "--model", "mine.toml", *options, cwd=folder, env=dict(form.env))
    assert done.returncode == 0, done.stderr

    [record] = [json.loads(line) for line in done.stdout.splitlines()]
    assert record["model"].startswith("mine@")
    with Image.open(folder / form.picture) as picture:
        logits, maps = form.by_hand(picture.convert("RGB"))
    if len(logits) < len(form.labels):  # one output: the negative answer is the negative of the positive
        logits, maps = np.concatenate([-logits, logits]), np.concatenate([-maps, maps])
    scores = torch.tensor(logits)
    probabilities = (scores.softmax(0) if form.outputs == "softmax" else scores.sigmoid()).numpy()
    found = sorted(record["predictions"], key=lambda each: each["class_index"])
    assert [each["label"] for each in found] == list(form.labels)
    assert difference(np.array([each["logit"] for each in found]), logits) < form.within
    assert np.abs(np.array([each["probability"] for each in found]) - probabilities).max() < form.within
    with np.load(folder / "out" / "maps" / "0.npz") as arrays:
        order = np.argsort(arrays["class_index"])
        assert difference(arrays["maps"][order], maps) < form.within
