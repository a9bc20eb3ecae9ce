"""Two jobs of the same pictures beside each other, with answers known by hand."""

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from producer.results.analysis.comparison import Change, Differing, compare, rank_correlation
from producer.services import Services
from producer.web.compare import write_comparison
from producer.written_folder import MARKER
from shared import keys
from shared.errors import CamqError, UsageError
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore, pictures, send

pytestmark = pytest.mark.servers

Map = NDArray[np.float32]


def keep(store: CountingStore, job: str, index: int, *maps: tuple[int, Map]) -> None:
    """The raw maps of an image as a worker keeps them: of each class one."""
    kept = io.BytesIO()
    np.savez(kept, maps=np.stack([found for _, found in maps]), class_index=np.array([number for number, _ in maps]))
    store.put(keys.maps_object(job, index), kept.getvalue())


def test_pictures_are_matched_by_their_content_whatever_their_order(services: Services, worker: ScriptedWorker) -> None:
    """Twice the same picture is two pictures; what only one job explained is counted, and compared with nothing."""
    first, second, third, fourth = pictures(4)
    left = send(services, [first, second, third, first], options={"top_k": 2})
    right = send(services, [fourth, first, second, first], options={"top_k": 2})
    for job in (left, right):
        worker.work_off(job)

    found = compare(services, left, right, most=10)

    assert (found.compared, found.only_left, found.only_right) == (3, 1, 1)
    places = {(pair.left.index, pair.right.index) for pair in found.pictures}
    assert places == {(0, 1), (1, 2), (3, 3)}
    assert (found.same_class, found.changes, found.map_correlation) == (3, (), None)
    turned = compare(services, right, left, most=10)
    assert {(pair.right.index, pair.left.index) for pair in turned.pictures} == places


def test_other_classes_come_first_then_other_maps(
    services: Services, store: CountingStore, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """Maps of one class are compared, at the larger of two sizes; the same one by another scale is the same."""
    seen = pictures(3)
    left = send(services, seen, options={"top_k": 2, "keep_maps": True})
    worker.work_off(left)
    right = send(services, seen, options={"classes": (0, 1), "keep_maps": True})
    worker.work_off(right)
    rng = np.random.default_rng(0)
    ramp = np.arange(16, dtype=np.float32).reshape(4, 4)
    other = rng.random((4, 4)).astype(np.float32)
    keep(store, left, 0, (0, ramp), (1, other))
    keep(store, left, 1, (0, ramp), (1, other))
    keep(store, left, 2, (0, ramp), (1, other))
    keep(store, right, 0, (1, other), (0, 3 * ramp + 1))
    keep(store, right, 1, (1, other), (0, -ramp))
    keep(store, right, 2, (1, other), (0, np.zeros((4, 4), np.float32)))

    found = compare(services, left, right, most=2)

    assert [pair.left.index for pair in found.pictures] == [1, 0]
    assert [pair.map_correlation for pair in found.pictures] == pytest.approx([-1, 1])
    assert {pair.map_label for pair in found.pictures} == {"tench"}
    assert (found.maps_compared, found.map_correlation) == (2, pytest.approx(0))  # a map of zeros has no order

    swapped = send(services, seen, options={"classes": (1, 0), "keep_maps": True})
    worker.work_off(swapped)
    for index in range(3):
        keep(store, swapped, index, (0, ramp), (1, other))
    found = compare(services, left, swapped, most=1)
    assert (found.compared, found.same_class) == (3, 0)
    assert found.changes == (Change("tench", "goldfish", 3),)
    assert (found.pictures[0].left.index, found.pictures[0].map_label) == (0, "tench")

    write_comparison(services, found, tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text()
    assert sorted(path.name for path in (tmp_path / "both_files").iterdir()) == [
        MARKER,
        *("0-a.webp", "0-b.webp", "0.webp"),
    ]
    assert page.count("<article") == 1
    assert "of 3 pictures; <code>camq compare --limit N</code> shows more" in page


def test_pages_of_one_file_are_pictures_of_their_own(
    services: Services, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """None is compared with another page, and none has a preview of the first page beside it."""
    (tmp_path / "scan.tif").write_bytes(picture(file_format="tiff"))
    pages = [f"{tmp_path}/scan.tif#{page}" for page in (1, 2)]
    left, right = send(services, pages), send(services, pages[1:])
    for job in (left, right):
        worker.work_off(job)

    found = compare(services, left, right, most=5)

    assert [(pair.left.index, pair.right.index, pair.page) for pair in found.pictures] == [(1, 0, 2)]
    for name in "ab":
        (tmp_path / "full_files" / f"0-{name}.webp").mkdir(parents=True)
    with pytest.raises(CamqError, match=r"full_files/0-[ab]\.webp exists and was not written by camq"):
        write_comparison(services, found, tmp_path / "full.html")
    write_comparison(services, found, tmp_path / "pages.html")
    assert sorted(path.name for path in (tmp_path / "pages_files").iterdir()) == [MARKER, "0-a.webp", "0-b.webp"]


def test_maps_of_pictures_that_both_jobs_drew_are_compared(
    services: Services, store: CountingStore, worker: ScriptedWorker
) -> None:
    """With `--only` a job keeps no map of the others; their classes are compared all the same."""
    seen = pictures(2)
    jobs = [send(services, seen, options={"keep_maps": True, "only": "below:0.9"}) for _ in range(2)]
    ramp = np.arange(16, dtype=np.float32).reshape(4, 4)
    for job in jobs:
        worker.work_off(job)  # draws the first picture alone
        keep(store, job, 0, (0, ramp), (1, ramp), (2, ramp))

    found = compare(services, *jobs, most=5)

    assert (found.compared, found.maps_compared, found.map_correlation) == (2, 1, pytest.approx(1))


def test_options_that_differ_are_named(services: Services, worker: ScriptedWorker, tmp_path: Path) -> None:
    """On the page as well; the method stands with each job."""
    left = send(services, pictures(1), options={"top_k": 2, "alpha": 0.3})
    right = send(services, pictures(1), options={"classes": (0, 1), "method": "gradcam", "alpha": 0.3})
    for job in (left, right):
        worker.work_off(job)

    found = compare(services, left, right, most=5)

    assert found.options == (Differing("top_k", "2", "3"), Differing("classes", "default", "0,1"))
    assert (found.left.method, found.right.method) == ("cam", "gradcam")
    write_comparison(services, found, tmp_path / "both.html")
    assert "<dt>top_k</dt><dd><bdi>2</bdi> in A, <bdi>3</bdi> in B</dd>" in (tmp_path / "both.html").read_text()


def test_jobs_without_a_common_picture_are_refused(services: Services, worker: ScriptedWorker) -> None:
    """A comparison of nothing would look like agreement."""
    jobs = [send(services, [picture(colour=(0, 0, shade))]) for shade in (1, 2)]
    for job in jobs:
        worker.work_off(job)
    with pytest.raises(UsageError, match="no explained picture in common"):
        compare(services, *jobs, most=5)


@pytest.mark.parametrize("right", [(5, 7), (7, 7), (9, 3)])
def test_the_rank_correlation_is_spearmans(right: tuple[int, int]) -> None:
    """SciPy's, with equal cells among them; maps of two sizes are compared at the larger height and width."""
    rng = np.random.default_rng(0)
    first = np.round(rng.random((5, 7)), 1).astype(np.float32)
    second = np.maximum(0, rng.random(right) - 0.5).astype(np.float32)
    found = rank_correlation(first, second)
    if right == first.shape:
        assert found == pytest.approx(scipy.stats.spearmanr(first.ravel(), second.ravel()).statistic)
    assert found == pytest.approx(rank_correlation(second, first))
    assert rank_correlation(first, first) == pytest.approx(1)
