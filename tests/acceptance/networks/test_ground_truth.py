"""Was it right? A folder of pictures and its names, through `camq run` with a network of the user's own."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from tests.acceptance.local import camq, serving

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

NAMES = ("cat", "dog", "rabbit")


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    torch.manual_seed(0)
    module = torchvision.models.resnet18(weights=None)
    module.fc = nn.Linear(512, len(NAMES))
    return module.eval()


@pytest.fixture
def folder(trained: nn.Module, tmp_path: Path) -> Path:
    """A model, and pictures in folders that are named after its classes, in another order and another case."""
    torch.save(trained.state_dict(), tmp_path / "pets.pth")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    for number, name in enumerate(("Rabbit", "cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        noise = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(noise).resize((300, 240)).save(tmp_path / "photos" / name / "1.png")
    return tmp_path


MODEL = ("--model", "resnet18", "--weights", "pets.pth", "--labels", "names.txt")


def by_hand(trained: nn.Module, path: Path) -> torch.Tensor:
    """The network's probabilities."""
    pixels = np.asarray(Image.open(path).resize((224, 224), Image.Resampling.BILINEAR)).copy()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        return trained(((torch.from_numpy(pixels).permute(2, 0, 1).float() / 255 - mean) / std)[None])[0].softmax(0)


@pytest.mark.slow
def test_results_say_whether_the_answer_is_right(trained: nn.Module, folder: Path) -> None:
    """The true class's rank and probability are among all classes, though one alone was asked for; its map stands
    beside the best. The summary has the same answers, and has looked at the maps."""
    with serving(*MODEL, folder=folder) as up:
        arguments = ("--top-k", 1, "--truth", "folders", "--explain", "truth", "--job-id", "right", "--wait")
        done = up.camq("submit", "photos", *arguments)
        assert done.returncode == 0, done.stderr
        records = [json.loads(line) for line in up.camq("results", "right", "--json").stdout.splitlines()]
        summary = json.loads(up.camq("summary", "right", "--json").stdout)
        only = up.camq("submit", "photos", "--truth", "folders", "--only", "wrong", "--job-id", "wrong", "--wait")
        assert only.returncode == 0, only.stderr
        assert up.camq("results", "wrong", "--out", "looked").returncode == 0
        table = list(csv.DictReader(up.camq("results", "right", "--format", "csv").stdout.splitlines()))

    assert [record["truth"]["label"] for record in records] == ["rabbit", "cat", "dog"]
    for record in records:
        shares = by_hand(trained, folder / record["source"])
        order = shares.argsort(descending=True).tolist()
        truth = record["truth"]
        assert truth["class_index"] == NAMES.index(truth["label"])
        assert truth["rank"] == order.index(truth["class_index"]) + 1
        assert truth["probability"] == pytest.approx(float(shares[truth["class_index"]]), abs=1e-5)
        assert truth["correct"] == (truth["rank"] == 1)
        assert [each["class_index"] for each in truth["predicted"]] == order[:1]
        assert [each["rank"] for each in record["predictions"]] == ([1] if truth["correct"] else [1, truth["rank"]])
    assert {(row["truth"], row["truth_rank"], row["correct"]) for row in table} == {
        (r["truth"]["label"], str(r["truth"]["rank"]), str(r["truth"]["correct"])) for r in records
    }
    wrong = [json.loads(line) for line in (folder / "looked" / "results.jsonl").read_text().splitlines()]
    assert [record["truth"]["correct"] for record in wrong] == [record["truth"]["correct"] for record in records]
    for record in wrong:
        drawn = [each["overlay"] and (folder / "looked" / each["overlay"]).is_file() for each in record["predictions"]]
        assert drawn == [None if record["truth"]["correct"] else True] * 3
    assert (summary["images"], summary["with_truth"], summary["maps"]) == (3, 3, 3)
    assert summary["top1"] == pytest.approx(sum(record["truth"]["correct"] for record in records) / 3)
    for known in summary["classes"]:
        mean = np.array(known["heat"]["mean_map"])
        assert (mean.shape, known["heat"]["images"]) == ((7, 7), 1)
        assert mean.sum() == pytest.approx(1, abs=0.01)


@pytest.mark.slow
def test_a_folder_that_is_no_class_is_refused(folder: Path) -> None:
    """With the picture and what was meant; nothing was uploaded, so nothing has results."""
    (folder / "photos" / "dog").rename(folder / "photos" / "doog")

    done = camq("run", "photos", *MODEL, "--truth", "folders", cwd=folder)

    assert done.returncode == 2
    assert "photos/doog/1.png: " in done.stderr
    assert "has no class 'doog' (did you mean dog?)" in done.stderr.replace("\n", " ")
    assert not (folder / "camq-output" / "results.jsonl").exists()


@pytest.mark.slow
def test_a_table_says_what_is_right_and_what_to_explain(folder: Path) -> None:
    """A label that is no class is kept among the fields, with a notice; `classes` are each picture's own."""
    table = (
        'path,label,classes,box,site\nphotos/cat/1.png,cat,"dog,2",10 20 110.4 220,north\nphotos/dog/1.png,hound,,,\n'
    )
    (folder / "table.csv").write_text(table)

    done = camq("run", "--manifest", "table.csv", *MODEL, "--json", cwd=folder)

    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["truth"]["label"], first["truth"]["boxes"]) == ("cat", [[10, 20, 110, 220]])
    assert [each["class_index"] for each in first["predictions"]] == [1, 2]
    assert first["fields"] == {"label": "cat", "classes": "dog,2", "box": "10 20 110.4 220", "site": "north"}
    assert ("truth" in second, second["fields"]) == (False, {"label": "hound"})
    said = " ".join(done.stderr.split())
    assert "labels or boxes that do not fit resnet18@" in said
    share = f"{first['truth']['correct']:.1%}"
    assert f"1 image with ground truth; accuracy: {share}, among the best 3: " in said
    assert "`camq summary` says more of jobs that stay" in said
