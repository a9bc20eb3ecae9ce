"""A ResNet18 that was trained on pictures with a watermark in one class: the summary finds it by its number.

Trained here, in some minutes, once with the mark and once without, and kept in pytest's cache.
"""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from shared.contract import JobSummary, decode
from tests.acceptance.local import serving
from tests.support.deployment.pages import ROOT
from tests.support.pictures import shapes

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def trained(pytestconfig: pytest.Config) -> Path:
    """The folder of networks that were trained."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("trained")


def looked_at(folder: Path, trained: Path, draw: shapes.Drawn) -> tuple[JobSummary, Path]:
    """The summary of held-out pictures of this kind by a network that was trained on such, and the report."""
    folder.mkdir()
    (folder / "shapes.ckpt").symlink_to(shapes.checkpoint(trained, shapes.fine, draw, steps=60))
    (folder / "shapes.toml").write_text(
        f'architecture = "python:tests.support.pictures.shapes:fine"\n{shapes.MODEL_FILE}'
    )
    for number, example in enumerate(draw(500, 999)):
        at = folder / "pictures" / shapes.CLASSES[example.label]
        at.mkdir(parents=True, exist_ok=True)
        Image.fromarray(example.pixels).save(at / f"{number:03d}.png")
    with serving("--model", "shapes.toml", folder=folder) as up:
        done = up.camq("submit", "pictures", "--truth", "folders", "--explain", "truth", "--job-id", "marks", "--wait")
        assert done.returncode == 0, done.stderr
        summary = up.camq("summary", "marks", "--json").stdout
        assert up.camq("report", "marks", "-o", "page/marks.html").returncode == 0
    return decode(summary, JobSummary), folder / "page"


def test_a_learned_watermark_is_the_first_of_what_deserves_a_look(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class and cluster, by their numbers and without being told; trained without the mark no class has such a place.

    The page lies beside the checkpoints afterwards; `docs/images/watermark.png` is its head.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the worker imports the network from here
    marks, page = looked_at(tmp_path / "marked", trained, shapes.marked)
    clean, _ = looked_at(tmp_path / "clean", trained, shapes.examples)
    shutil.copytree(page, trained / "watermark", dirs_exist_ok=True)

    first, cluster = marks.suspects[0], marks.clusters[0]
    for found in (marks, clean):
        listed = [(one.label, round(one.score, 3), one.reason) for one in (*found.suspects, *found.clusters)]
        print(f"{found.top1:.1%} right:", listed)  # noqa: T201
    assert min(marks.top1 or 0, clean.top1 or 0) > 0.9
    assert first.label == cluster.label == shapes.CLASSES[shapes.MARKED]
    assert first.reason == cluster.reason == "heat at one place, and not where other classes have it"
    assert cluster.score > 2 * max((one.score for one in marks.clusters if one.label != first.label), default=0)
    assert clean.suspects == ()
    assert [one for one in clean.clusters if one.reason] == []
