"""`camq evaluate` as its user types it, on a real worker with a small network of the user's own."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from tests.acceptance.local import Up, serving

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(300)]

NAMES = ("cat", "dog", "rabbit")
METRICS = (
    *("average_drop", "average_increase", "deletion", "insertion", "road", "pointing", "max_box_acc"),
    "seconds_per_image",
)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A worker, and four pictures beside it."""
    folder = tmp_path_factory.mktemp("evaluate")
    torch.manual_seed(0)
    module = torchvision.models.resnet18(weights=None)
    module.fc = nn.Linear(512, len(NAMES))
    torch.save(module.state_dict(), folder / "pets.pth")
    (folder / "names.txt").write_text("\n".join(NAMES))
    (folder / "photos").mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(noise).resize((300, 240)).save(folder / "photos" / f"{number}.png")
    with serving(
        *("--model", "resnet18", "--weights", "pets.pth", "--labels", "names.txt", "--workers", 1), folder=folder
    ) as running:
        yield running


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_pictures_are_evaluated_and_the_numbers_can_be_had_again(up: Up) -> None:
    """One object for each method, each metric with its interval; then a table and a sentence."""
    asked = ("--methods", "layercam,cam", "--sample", 2, "--name", "faithful", "--randomise")
    done = up.camq("evaluate", "photos", *asked, "--json")

    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    assert [(each["method"], each["images"]) for each in found] == [("layercam", 2), ("cam", 2)]
    for each in found:
        assert set(METRICS) < set(each)
        assert (each["pointing"], each["max_box_acc"]) == (None, None)
        for name in METRICS[:5]:
            interval = each[name]
            assert isinstance(interval, dict)
            assert list(interval) == ["mean", "low", "high"]
            assert interval["low"] <= interval["mean"] <= interval["high"]
        for name in ("deletion_curve", "insertion_curve"):
            curve = each[name]
            assert isinstance(curve, dict)
            assert [len(curve[side]) for side in ("mean", "low", "high")] == [21] * 3
        stages = each["randomisation"]
        assert isinstance(stages, list)
        assert (stages[0]["layer"], stages[-1]["layer"], len(stages)) == ("fc", "conv1", 10)
        assert all(-1 <= stage["correlation"]["mean"] <= 1 for stage in stages)
    assert "camq evaluate 2" in done.stderr
    assert "for each picture: 50 forwards for each of 2 methods and 11 with random layers" in done.stderr

    again = up.camq("evaluate", "faithful", "--report", "pages/trust.html")
    assert again.returncode == 0, again.stderr
    table = again.stdout.splitlines()
    heads = "average drop ↓  average increase ↑  deletion AUC ↓  insertion AUC ↑  ROAD ↑  sparsity  complexity"
    assert " ".join(table[0].split()) == " ".join(f"method images {heads} ms/image".split())  # there are no boxes
    assert [line.split()[0] for line in table[1:5:2]] == ["layercam", "cam"]
    layercam = found[0]["average_drop"]
    assert isinstance(layercam, dict)
    assert table[1].split()[2] == f"{layercam['mean']:.3f}"
    assert " ".join(table[2].split()).startswith(f"{layercam['low']:.3f} to {layercam['high']:.3f}")
    assert [line for line in table if line.startswith("on these 2 pictures ")]
    assert [line.split()[0] for line in table if line.startswith(("fc ", "conv1 "))] == ["fc", "conv1"]
    assert table[-1] == "pages/trust.html"
    page = (up.folder / "pages" / "trust.html").read_text("utf-8")
    assert "<h3>layercam</h3>" in page
    assert "n these 2 pictures" in page
    assert [each["total"] for each in json.loads(up.camq("jobs", "--json").stdout)] == [2]


def test_a_jobs_pictures_are_evaluated_with_their_boxes(up: Up) -> None:
    """What the table said of them is known again, and nothing is uploaded twice."""
    (up.folder / "boxes.csv").write_text(
        "source,label,box\nphotos/0.png,dog,0 0 300 240\nphotos/1.png,cat,0 0 300 240\n"
    )
    done = up.camq("submit", "--manifest", "boxes.csv", "--truth", "labels", "--name", "boxed", "--wait")
    assert done.returncode == 0, done.stderr

    evaluated = up.camq("evaluate", "boxed", "--methods", "cam", "--sample", 1, "--json")

    assert evaluated.returncode == 0, evaluated.stderr
    (found,) = lines(evaluated.stdout)
    assert found["images"] == 1
    assert found["pointing"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert isinstance(found["max_box_acc"], dict)
    (job,) = json.loads(up.camq("jobs", "--tag", "evaluation", "--limit", 1, "--json").stdout)
    records = lines(up.camq("results", job["job"], "--json").stdout)
    assert [record["truth"]["boxes"] for record in records] == [[[0, 0, 300, 240]]]  # type: ignore[index]
    assert [each["method"] for each in records[0]["evaluation"]] == ["cam"]  # type: ignore[attr-defined]
    assert json.loads(up.camq("status", "latest", "--json").stdout)["name"] == "boxed"


def test_a_name_of_a_job_and_of_a_folder_is_refused(up: Up) -> None:
    """`./NAME` is the folder; which one was meant otherwise, nobody can know."""
    (up.folder / "both").mkdir()
    Image.new("RGB", (40, 30)).save(up.folder / "both" / "one.png")
    sent = up.camq("submit", "both", "--job-id", "both", "--wait")
    assert sent.returncode == 0, sent.stderr
    asked = up.camq("evaluate", "both", "--methods", "cam")
    assert (asked.returncode, "write ./both for what lies here" in asked.stderr) == (2, True), asked.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("photos", "--methods", "cam,layrcam"), "invalid --methods 'layrcam' (did you mean layercam"),
        (("photos", "--sample", "0"), "invalid --sample 0: expected a whole number of at least 1"),
        (("nowhere",), "no picture to submit"),
        ((), "Missing argument 'PATHS...' or --manifest FILE."),
    ],
)
def test_a_mistake_is_named_before_anything_starts(up: Up, arguments: tuple[str, ...], says: str) -> None:
    """Exit status 2, and no job."""
    before = up.camq("jobs", "--json").stdout
    done = up.camq("evaluate", *arguments)

    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert up.camq("jobs", "--json").stdout == before


def test_a_method_that_the_model_has_not_is_refused_by_its_card(up: Up) -> None:
    """As `--method` is; for `submit --evaluate` as well."""
    done = up.camq("submit", "photos", "--evaluate", "cam,ScoreCAM")

    assert done.returncode == 2
    assert "invalid evaluate 'ScoreCAM'" in done.stderr
