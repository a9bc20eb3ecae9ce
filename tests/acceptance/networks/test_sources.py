"""Networks from elsewhere through the whole product: timm, a folder of Hugging Face's, the user's own code."""

import json
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest
import timm
import timm.data
import torch
import transformers
from PIL import Image
from torch import nn

from producer import Client
from shared.config import Settings
from shared.ledger import RedisLedger
from shared.storage import S3Store
from tests.acceptance.command import CAMQ
from tests.acceptance.local import camq
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(400)]

START_S = 150


@pytest.fixture
def picture(tmp_path: Path) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    made = Image.fromarray(noise).resize((480, 360))
    made.save(tmp_path / "photo.png")
    return made


def record_of(*arguments: object, cwd: Path, env: dict[str, str] | None = None) -> dict[str, object]:
    done = camq("run", "photo.png", "--json", *arguments, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    [record] = [json.loads(line) for line in done.stdout.splitlines()]
    assert record["error"] is None
    return record


def check(record: dict[str, object], logits: torch.Tensor) -> None:
    """Every logit and probability is the network's."""
    predictions = record["predictions"]
    assert isinstance(predictions, list)
    found = {each["class_index"]: each for each in predictions}
    assert len(found) == len(logits)
    for index, (logit, probability) in enumerate(zip(logits, logits.softmax(0), strict=True)):
        assert found[index]["logit"] == pytest.approx(float(logit), abs=1e-4)
        assert found[index]["probability"] == pytest.approx(float(probability), abs=1e-5)


def network(name: str, classes: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module = timm.create_model(name, num_classes=classes).eval()
    nn.init.normal_(module.get_classifier().weight, std=0.5)
    return module


def test_timms_network_with_timms_own_preprocessing(picture: Image.Image, tmp_path: Path) -> None:
    """Checkpoint in, answers out: as timm's own transform and network give them."""
    module = network("test_resnet", 4)
    torch.save({"state_dict": module.state_dict(), "arch": "test_resnet"}, tmp_path / "last.pth.tar")
    (tmp_path / "birds.toml").write_text(
        'architecture = "timm:test_resnet"\nweights = "last.pth.tar"\nlabels = ["a", "b", "c", "d"]\n'
    )
    plain = record_of("--model", "timm:test_resnet", "--weights", "last.pth.tar", "--top-k", 4, cwd=tmp_path)
    assert str(plain["model"]).startswith("timm:test_resnet@")
    record = record_of("--model", "birds.toml", "--top-k", 4, "--keep-maps", "--out", "out", cwd=tmp_path)
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=module))
    x = transform(picture)[None]
    with torch.no_grad():
        features, logits = module.forward_features(x)[0], module(x)[0]
    check(record, logits)
    check(plain, logits)
    assert str(record["model"]).startswith("birds@")
    with np.load(tmp_path / "out" / "maps" / "0.npz") as kept:
        order = [each["class_index"] for each in record["predictions"]]  # type: ignore[index, union-attr]
        weight = module.get_classifier().weight.detach()[order]
        expected = torch.einsum("ck,khw->chw", weight, features).numpy()
        np.testing.assert_allclose(kept["maps"], expected, atol=1e-4 * np.abs(expected).max())


def test_a_folder_of_hugging_faces(picture: Image.Image, tmp_path: Path) -> None:
    """`--model FOLDER/`: architecture, names and preprocessing are in it; inspected, written as a file, and run."""
    names = {0: "cat", 1: "dog", 2: "rabbit"}
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    module = transformers.ViTForImageClassification(transformers.ViTConfig(id2label=names, **sizes)).eval()
    nn.init.normal_(module.classifier.weight, std=0.5)
    processor = transformers.ViTImageProcessorPil()
    module.save_pretrained(tmp_path / "pets-vit")
    processor.save_pretrained(tmp_path / "pets-vit")

    done = camq("inspect", "pets-vit", "--json", "--write", "pets.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["architecture"], report["classes"]) == ("transformers:ViTForImageClassification", [*names.values()])
    assert (report["input"]["mean"], report["input"]["exif"], report["input"]["antialias"]) == ([0.5] * 3, True, True)
    assert (report["target_layer"], report["methods"]) == (
        "vit.layers.1.layernorm_before",
        ["gradcam", "hirescam", "layercam", "finercam"],
    )
    assert "its head looks at tokens that stand for no position" in report["reason"]

    with torch.no_grad():
        logits = module(**processor(picture, return_tensors="pt")).logits[0]
    for model, name in (("./pets-vit", "pets-vit"), ("pets.toml", "pets")):
        record = record_of("--model", model, "--method", "gradcam", cwd=tmp_path)
        check(record, logits)
        assert str(record["model"]).startswith(f"{name}@")


def test_a_network_in_ones_own_code(picture: Image.Image, tmp_path: Path) -> None:
    """`python:`: imported by workers, by no command that only talks to them."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mine.py").write_text(
        textwrap.dedent("""
        import sys
        from pathlib import Path
        import torch
        from torch import nn

        with (Path(__file__).parent / "imported").open("a") as file:
            print(sys.orig_argv, file=file)

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.act = nn.Conv2d(3, 6, 7, 16), nn.ReLU()
                self.head = nn.Linear(6, 3)

            def forward(self, x):
                return {"logits": self.head(self.act(self.body(x)).mean((2, 3)))}

        def build():
            torch.manual_seed(1)
            return Net()
        """)
    )
    (tmp_path / "mine.toml").write_text(
        'architecture = "python:mine:build"\n[input]\nsize = [256, 128]\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n'
    )
    env = {"PYTHONPATH": str(tmp_path / "lib")}
    record = record_of("--model", "mine.toml", "--method", "cam", "--out", "out", cwd=tmp_path, env=env)
    torch.manual_seed(1)
    body, head = nn.Conv2d(3, 6, 7, 16), nn.Linear(6, 3)
    pixels = torch.from_numpy(np.asarray(picture.resize((128, 256), Image.Resampling.BILINEAR)).copy())
    with torch.no_grad():
        check(record, head(body(pixels.permute(2, 0, 1)[None] / 255).relu().mean((2, 3)))[0])
    importers = (tmp_path / "lib" / "imported").read_text().splitlines()
    assert importers
    assert all("'-m', 'worker'" in line for line in importers)

    (tmp_path / "bad.toml").write_text('architecture = "python:mine.nets:build"\n')
    done = camq("run", "photo.png", "--model", "bad.toml", cwd=tmp_path, env=env)
    assert done.returncode == 5
    assert "python:mine.nets:build cannot be imported: ModuleNotFoundError: No module named 'mine.nets'" in done.stderr


def test_two_fine_tunes_are_served_side_by_side(
    environment: dict[str, str],
    ledger: RedisLedger,
    settings: Settings,
    s3_store: S3Store,
    picture: Image.Image,
    tmp_path: Path,
) -> None:
    """Two model files of one architecture, one command: each answers under its own name, with its own weights.

    One of them lies in the object store, and what it names lies beside it.
    """
    modules = {"cats": network("test_resnet", 3, seed=1), "birds": network("test_resnet", 5, seed=2)}
    for name, module in modules.items():
        torch.save(module.state_dict(), tmp_path / f"{name}.pth")
        (tmp_path / f"{name}.toml").write_text(f'architecture = "timm:test_resnet"\nweights = "{name}.pth"\n')
    birds = (tmp_path / "birds.toml").read_text() + 'labels = "names/birds.txt"\n'
    s3_store.put("mine/birds.toml", birds.encode())
    s3_store.put("mine/birds.pth", (tmp_path / "birds.pth").read_bytes())
    s3_store.put("mine/names/birds.txt", b"wren\nswift\nrook\nheron\ncrane\n")
    asked = ("--model", "cats.toml", "--model", f"s3://{settings.bucket}/mine/birds.toml")
    command = [CAMQ, "worker", "--device", "cpu", *asked]
    own = {"CAMQ_TORCH_THREADS": "1", "CAMQ_HTTP_PORT": "0", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment | own, cwd=tmp_path, stdout=log, stderr=log)
    try:

        def served() -> list[str]:
            found = [model for worker in ledger.workers() if worker.state == "ready" for model in worker.models]
            return sorted(found) if len(found) == len(modules) else []

        models = wait_until(served, "both models are served", START_S)
        assert [model.partition("@")[0] for model in models] == ["birds", "cats"]
        listed = subprocess.run([CAMQ, "workers"], env=environment, capture_output=True, text=True, check=True).stdout
        assert f"{models[1]}: softmax of 3 classes, 160 pixels, center-crop from 168, bilinear" in " ".join(
            listed.split()
        )
        with Client(settings) as client:
            jobs = {name: client.submit([picture], model=name, top_k=5) for name in modules}
            for name, job in jobs.items():
                job.wait(timeout=120)
                [image] = list(job.results())
                transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=modules[name]))
                with torch.no_grad():
                    logits = modules[name](transform(picture)[None])[0]
                assert image.model.startswith(f"{name}@")
                found = {each.class_index: each.logit for each in image.predictions}
                assert found == pytest.approx(dict(enumerate(logits.tolist())), abs=1e-4)
                labels = {each.class_index: each.label for each in image.predictions}
                assert labels[2] == ("rook" if name == "birds" else "class 2")
    finally:
        process.terminate()
        assert process.wait(60) == 0, (tmp_path / "worker.log").read_text()[-2000:]
