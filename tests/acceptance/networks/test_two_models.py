"""Before and after retraining: two networks served side by side, and `camq compare` of what they say."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image

from shared.ledger import RedisLedger
from tests.acceptance.command import CAMQ
from tests.acceptance.conftest import Camq
from tests.acceptance.networks.by_hand import Form, squashed
from tests.numeric.networks import random_module
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

LABELS = ("cat", "dog", "rabbit")
PICTURES = 6
START_S = 150


@pytest.fixture
def forms(tmp_path: Path) -> dict[str, Form]:
    """Two fine-tunes of one architecture, as checkpoints with model files, and pictures that are not much alike."""
    (tmp_path / "photos").mkdir()
    chance = np.random.default_rng(0)
    photos = []
    for number in range(PICTURES):
        noise = chance.integers(0, 256, (3 + number, 4, 3), np.uint8)
        photos.append(Image.fromarray(noise).resize((160, 120)))
        photos[-1].save(tmp_path / "photos" / f"{number}.png")
    found, see = {}, squashed(224)
    for seed, name in enumerate(("before", "after")):
        module = random_module("resnet18", 3, seed).eval()
        with torch.no_grad():  # no class is the best of every picture
            module.fc.bias -= torch.cat([module(see(photo)) for photo in photos]).mean(0)
        torch.save(module.state_dict(), tmp_path / f"{name}.pth")
        text = f'architecture = "resnet18"\nweights = "{name}.pth"\nlabels = {list(LABELS)}\n[input]\nsize = 224\n'
        (tmp_path / f"{name}.toml").write_text(text)
        found[name] = Form(text, module, module.layer4, see, LABELS)
    return found


def check_probable_labels(form: Form, camq: Camq, folder: Path) -> None:
    """By its model file; of each picture all labels above the probability that was asked for, and none if none is."""
    expected = {}
    for path in (folder / "photos").iterdir():
        with Image.open(path) as picture:
            expected[path.name] = torch.tensor(form.by_hand(picture)[0]).softmax(0)
    highest = torch.stack([*expected.values()]).amax(1)
    least = round(float(highest.median()), 3)  # above it, some pictures have a label, and some have none
    sent = camq(
        *("submit", "photos", "--model", "after.toml", "--job-id", "probable", "--method", "cam"),
        *("--min-probability", least, "--wait"),
    )
    assert sent.returncode == 0, sent.stderr
    answers = camq("results", "probable", "--json").stdout.splitlines()
    found = {}
    for record in map(json.loads, answers):
        found[Path(record["source"]).name] = {each["label"]: each["probability"] for each in record["predictions"]}
    assert {len(each) == 0 for each in found.values()} == {True, False}
    for name, probabilities in expected.items():
        above = {label: float(p) for label, p in zip(LABELS, probabilities, strict=True) if p >= least}
        assert found[name] == pytest.approx(above, abs=1e-5)


def check_refusals(camq: Camq, folder: Path) -> None:
    """Two ways to choose classes; a model file that no longer says what is served."""
    both = camq("submit", "photos", "--model", "after", "--min-probability", 0.1, "--classes", "cat")
    assert (both.returncode, "give one of the three" in both.stderr) == (2, True)
    (folder / "changed").mkdir()
    text = (folder / "after.toml").read_text().replace("after.pth", "../after.pth")
    (folder / "changed" / "after.toml").write_text(text.replace("cat", "lynx").replace("224", "96"))
    changed = camq("submit", "photos", "--model", "changed/after.toml")
    assert changed.returncode == 2
    assert "its labels differ; input.size is 224, not 96; restart its worker with" in changed.stderr


def test_two_models_are_compared(
    forms: dict[str, Form], camq: Camq, environment: dict[str, str], ledger: RedisLedger, tmp_path: Path
) -> None:
    """Classes and rank correlations are those of the networks by hand; without maps it compares the classes alone."""
    own = {"CAMQ_MODELS": "before.toml after.toml", "CAMQ_TORCH_THREADS": "1", "CAMQ_HTTP_PORT": "0"}
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [CAMQ, "worker", "--device", "cpu"], env=environment | own, cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        wait_until(
            lambda: sum(len(each.models) for each in ledger.workers() if each.state == "ready") == 2,
            "both models are served",
            START_S,
        )
        for name in forms:
            sent = camq(
                *("submit", "photos", "--model", name, "--job-id", name, "--top-k", 3, "--method", "cam"),
                *("--keep-maps", "--wait"),
            )
            assert sent.returncode == 0, sent.stderr
        sent = camq("submit", "photos", "--model", "after", "--job-id", "without", "--wait")
        assert sent.returncode == 0, sent.stderr
        check_probable_labels(forms["after"], camq, tmp_path)
        check_refusals(camq, tmp_path)
    finally:
        process.terminate()
        assert process.wait(60) == 0, (tmp_path / "worker.log").read_text()[-2000:]

    best, correlations = {}, {}
    for path in sorted((tmp_path / "photos").iterdir()):
        with Image.open(path) as picture:
            (left, maps), (right, others) = (form.by_hand(picture) for form in forms.values())
        best[path.name] = LABELS[left.argmax()], LABELS[right.argmax()]
        first, second = (each[left.argmax()].ravel() for each in (maps, others))
        correlations[path.name] = scipy.stats.spearmanr(first, second).statistic
    same = sum(left == right for left, right in best.values())
    assert 0 < same < PICTURES  # else the order below would show nothing

    done = camq("compare", "before", "after", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["compared"], found["same_class"], found["maps_compared"]) == (PICTURES, same, PICTURES)
    assert [found[side]["model"].partition("@")[0] for side in ("left", "right")] == ["before", "after"]
    assert found["map_correlation"] == pytest.approx(np.mean(list(correlations.values())), abs=1e-3)
    names = [Path(each["source"]).name for each in found["pictures"]]
    assert names == sorted(best, key=lambda name: (best[name][0] == best[name][1], correlations[name]))
    for name, each in zip(names, found["pictures"], strict=True):
        assert (each["left"]["label"], each["right"]["label"]) == best[name]
        assert each["map_correlation"] == pytest.approx(correlations[name], abs=1e-3)
    page = Path(tmp_path / found["page"]).read_text()
    assert all(name in page for name in names)

    done = camq("compare", "before", "without")
    assert done.returncode == 0, done.stderr
    assert "only the classes are compared: for maps, both jobs need --keep-maps" in done.stderr
    assert f"{PICTURES} pictures compared, {PICTURES - same} with another best class" in done.stdout
