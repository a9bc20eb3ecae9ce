"""Every form in which people bring a network, through the whole product: answers are those of the module by hand."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shared.ledger import RedisLedger
from tests.acceptance.by_hand import Form
from tests.acceptance.command import CAMQ, Command, run_here
from tests.acceptance.forms import FORMS
from tests.acceptance.local import camq
from tests.numeric.pictures import turned
from tests.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(1200)]

#: Models of one worker: each has a process of its own.
AT_ONCE = 5
START_S = 240


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


def check(form: Form, record: dict, kept: Path, folder: Path) -> None:
    """Logits, probabilities, labels and maps of all classes."""
    assert record["error"] is None, record
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
    with np.load(kept) as arrays:
        order = np.argsort(arrays["class_index"])
        assert difference(arrays["maps"][order], maps) < form.within


@pytest.mark.parametrize(
    "makers",
    [FORMS[first : first + AT_ONCE] for first in range(0, len(FORMS), AT_ONCE)],
    ids=lambda makers: " ".join(m.__name__ for m in makers),
)
def test_each_form_is_answered_as_by_hand(
    makers: tuple[Callable[[Path], Form], ...], environment: dict[str, str], ledger: RedisLedger, folder: Path
) -> None:
    """Served side by side from their model files, asked by the same files."""
    forms = {maker.__name__: maker(folder) for maker in makers}
    own = {"CAMQ_TORCH_THREADS": "1", "CAMQ_HTTP_PORT": "0"}
    for name, form in forms.items():
        (folder / f"{name}.toml").write_text(form.text)
        own |= form.env
    named = [argument for name in forms for argument in ("--model", f"{name}.toml")]
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [CAMQ, "worker", "--device", "cpu", *named], env=environment | own, cwd=folder, stdout=log, stderr=log
        )
    wrong = []
    try:

        def served() -> bool:
            if worker.poll() is not None:
                pytest.fail((folder / "worker.log").read_text()[-2000:])
            ready = [model for one in ledger.workers() if one.state == "ready" for model in one.models]
            return len(ready) == len(forms)

        wait_until(served, "all of them are served", START_S)
        for name, form in forms.items():
            try:
                done = _asked(name, form, folder, environment)
                [record] = [json.loads(line) for line in done.stdout.splitlines()]
                check(form, record, folder / f"out-{name}" / "maps" / "0.npz", folder)
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
    finally:
        worker.terminate()
        worker.wait(60)
    assert wrong == []


def _asked(name: str, form: Form, folder: Path, environment: dict[str, str]) -> Command:
    """`submit`, then `results` with the maps."""
    options = ("--method", form.method, "--top-k", len(form.labels), "--keep-maps", "--model", f"{name}.toml")
    sent = run_here("submit", form.picture, *options, "--wait", cwd=folder, env=environment)
    assert sent.returncode == 0, sent.stderr
    job = sent.stdout.split()[0]
    done = run_here("results", job, "--out", f"out-{name}", "--json", cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def test_run_answers_the_same(folder: Path) -> None:
    """`camq run` with a model file, from its trainer's checkpoint to the maps."""
    form = FORMS[0](folder)
    (folder / "pets.toml").write_text(form.text)
    options = ("--keep-maps", "--out", "out", "--top-k", 5, "--json")
    done = camq("run", form.picture, "--model", "pets.toml", *options, cwd=folder, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    check(form, json.loads(done.stdout), folder / "out" / "maps" / "0.npz", folder)
