"""Where the network looked over a whole job: sums by hand, a planted corner, damaged objects."""

import io
import math
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from producer.results.analysis.heat import Heat
from producer.results.analysis.kept_maps import divergence, looked, opened, outside
from shared.errors import CamqError

LABELS = {0: "cat", 1: "dog", 2: "fox"}
SEEN, SIZE = np.array([0, 0, 70, 70], np.float32), np.array([70, 70])


def archive(images: list[tuple[int, np.ndarray]], boxes: list[list[int]] | None = None) -> dict[str, Any]:
    """One map for each image, of its true class."""
    truth = np.array([true for true, _ in images], np.int64)
    count = len(images)
    return {
        "image": np.arange(count),
        "class_index": truth,
        "rank": np.ones(count, np.int64),
        "probability": np.full(count, 0.5, np.float32),
        "truth": truth,
        "size": np.tile(SIZE, (count, 1)),
        "seen": np.tile(SEEN, (count, 1)),
        "maps": np.stack([heat for _, heat in images]).astype(np.float16),
        "boxes": np.array(boxes or [], np.int64).reshape(-1, 5),
    }


def add(heat: Heat, found: dict[str, Any], total: int = 1000) -> None:
    heat.add(looked(found, total))


def blob(row: int, column: int) -> np.ndarray:
    y, x = np.mgrid[:7, :7]
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2) - 0.01


def scattered(generator: np.random.Generator) -> np.ndarray:
    return blob(*generator.integers(1, 6, 2))


def test_the_class_with_heat_in_a_corner_is_the_first_suspect() -> None:
    """Nine of ten of its maps lie there; those of the others lie where the things are, and are far from it only because
    it is so far from them. Without it nobody is suspect."""
    generator = np.random.default_rng(0)
    planted, clean = Heat(), Heat()
    for _ in range(5):
        images = [(number % 3, scattered(generator)) for number in range(60)]
        add(clean, archive(images))
        add(planted, archive([(c, blob(0, 6) if c == 1 and n % 10 else heat) for n, (c, heat) in enumerate(images)]))

    found = planted.suspects(LABELS)

    assert planted.images == clean.images == 300
    assert (found[0].label, found[0].images, len(found[0].examples)) == ("dog", 100, 5)
    assert found[0].reason.startswith("heat at one place")
    assert 0.3 < found[0].score <= 1
    assert all(one.score < 0.5 * found[0].score for one in found[1:])
    assert clean.suspects(LABELS) == ()
    heats = planted.classes()
    assert heats[1].alike > 0.8 > heats[0].alike
    assert np.unravel_index(np.argmax(heats[1].mean_map), (7, 7)) == (0, 6)


@pytest.mark.parametrize("seed", range(20))
def test_few_pictures_differ_by_chance_and_are_no_suspects(seed: int) -> None:
    """The mean of thirty maps lies somewhere, and not where that of thirty others does; of fewer nothing is said."""
    generator = np.random.default_rng(seed)
    heat = Heat()
    add(heat, archive([(number % 3, scattered(generator)) for number in range(90)]))
    few = Heat()
    add(few, archive([(number % 2, blob(6 * (number % 2), 3)) for number in range(58)]))

    assert heat.suspects(LABELS) == few.suspects(LABELS) == ()


def test_of_two_classes_the_one_with_a_fixed_place_comes_first() -> None:
    """They are equally far from each other; what tells them apart is how alike the maps of each are."""
    generator = np.random.default_rng(1)
    heat = Heat()
    add(heat, archive([(n % 2, blob(6, 6) if n % 2 else scattered(generator)) for n in range(80)]))

    found = heat.suspects(LABELS)

    assert found[0].label == "dog"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_the_mean_map_is_the_mean_of_shares() -> None:
    """What is negative is no heat, and a strong map counts as much as a weak one; the true class's map counts, else the
    best one's."""
    strong, weak = np.array([[100.0, -50.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 3.0]])
    found = archive([(0, strong), (0, weak), (0, np.zeros((2, 2)))])
    other = archive([(1, strong), (1, weak)])
    other["image"], other["class_index"], other["rank"] = np.array([7, 7]), np.array([2, 0]), np.array([2, 1])
    unknown = archive([(-1, strong)])
    heat = Heat()
    for each in (found, other, unknown):
        add(heat, each)

    classes = heat.classes()

    assert heat.images == 3
    assert classes[0].mean_map == ((0.5, 0.0), (0.125, 0.375))
    length = math.hypot(0.5, 0.5 * 1 / math.sqrt(10), 0.5 * 3 / math.sqrt(10))
    assert classes[0].alike == pytest.approx(length)
    assert (classes[1].mean_map, classes[1].images, classes[1].outside) == (((0.0, 0.0), (0.25, 0.75)), 1, None)


def test_the_border_is_the_outermost_cells() -> None:
    """By hand: of nine cells one lies inside; an image without heat has no share of it."""
    one, all_inside = np.array([[1.0, 1, 0], [0, 3, 0], [0, 0, 1]]), np.array([[0.0, 0, 0], [0, 3, 0], [0, 0, 0]])
    heat = Heat()
    add(heat, archive([(0, one), (0, all_inside), (-1, one), (0, np.zeros((3, 3)))]))

    assert list(heat.border) == [51, 1, 51]
    assert heat.classes()[0].border == pytest.approx(0.25)
    assert heat.classes()[0].deviation_map[1][1] == pytest.approx(0.25)
    assert heat.images == 2


def test_a_confusion_has_the_maps_of_both_classes() -> None:
    """Of the images of the one class that were taken for the other, each class's own map."""
    right, wrong, other = (np.eye(3) * each for each in ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]))
    found = archive([(0, right), (0, wrong), (0, other)])
    found["image"], found["class_index"], found["rank"] = np.array([4, 4, 5]), np.array([2, 0, 2]), np.array([1, 2, 1])
    heat = Heat([(0, 2)])
    add(heat, found)

    predicted, truth = heat.cell(0, 2)

    assert predicted is not None
    assert truth is not None
    assert (predicted.images, truth.images) == (2, 1)  # of the second image the true class was not explained
    np.testing.assert_allclose(predicted.mean_map, (right + other) / 2)
    np.testing.assert_allclose(truth.mean_map, wrong)
    assert heat.cell(0, 1) == heat.cell(None, 2) == (None, None)


def test_images_that_the_job_does_not_have_are_left_out() -> None:
    """The object lies where others may write; one byte per image is kept, and no more."""
    heat = Heat()
    found = archive([(0, blob(3, 3))] * 3)
    found["image"] = np.array([-1, 2, 10**15])
    add(heat, found, total=3)

    assert (heat.images, len(heat.border)) == (1, 3)


def test_heat_outside_a_box_is_a_share() -> None:
    """Of what lies over the picture, by parts of cells; over all boxes of the picture together."""
    heat = np.array([[4.0, 0.0], [2.0, 2.0]])
    seen, size = np.array([0.0, 0.0, 80.0, 80.0]), np.array([80, 80])

    def beside(*boxes: list[int], within: Any = seen, of: Any = size) -> float:
        return outside(heat, within, of, np.array(boxes))

    assert beside([0, 0, 40, 40]) == 0.5
    assert beside([0, 0, 20, 40]) == 0.75
    assert beside([0, 0, 40, 40], [40, 40, 80, 80]) == 0.25
    assert beside([0, 0, 40, 40], [0, 0, 40, 20]) == 0.5
    assert beside([0, 0, 80, 80]) == 0.0
    # A centre crop of a wide picture, and a letterbox whose right half is no picture.
    assert beside([40, 0, 80, 40], within=np.array([40.0, 0, 120, 80]), of=np.array([160, 80])) == 0.5
    assert beside([0, 0, 40, 40], of=np.array([40, 80])) == pytest.approx(2 / 6)


def test_a_class_with_heat_outside_its_boxes_is_suspect() -> None:
    """With the worst pictures first, and their share as the score."""
    boxes = [[n, 0, 0, 35, 70] for n in range(8)]
    heat = Heat()
    add(heat, archive([(0, blob(3, 6 if n < 6 else 0)) for n in range(7)] + [(1, blob(3, 0))], boxes))

    (found,) = heat.suspects(LABELS)

    assert (found.label, found.images, found.reason) == ("cat", 7, "heat outside the true boxes")
    assert found.score == pytest.approx(heat.classes()[0].outside)
    assert 6 not in found.examples
    assert heat.classes()[1].outside < 0.1  # type: ignore[operator]


def test_the_divergence_is_between_nothing_and_one() -> None:
    """In bits, by hand for two cells."""
    one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 5.0]])

    assert divergence(one, one * 3) == 0
    assert divergence(one, other) == 1
    both = np.array([[1.0, 1.0]])
    by_hand = (math.log2(1 / 0.75) + 0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)) / 2
    assert divergence(one, both) == pytest.approx(by_hand)


def _with_member(data: bytes, name: str, member: bytes) -> bytes:
    changed = io.BytesIO()
    with ZipFile(io.BytesIO(data)) as before, ZipFile(changed, "w") as after:
        for each in before.namelist():
            after.writestr(each, member if each == name else before.read(each))
    return changed.getvalue()


@pytest.mark.parametrize("damage", ["no zip", "half", "missing", "shape", "kind", "packed", "pickled", "promise"])
def test_a_damaged_object_is_an_error_with_its_key(damage: str) -> None:
    """It lies where others may write: nothing of it is run or unpacked, and no number is made of it."""
    arrays = archive([(0, blob(1, 1))] * 3)
    buffer = io.BytesIO()
    if damage == "missing":
        del arrays["truth"]
    elif damage == "shape":
        arrays["rank"] = arrays["rank"][:2]
    elif damage == "kind":
        arrays["truth"] = arrays["truth"].astype(float)
    elif damage == "pickled":
        arrays["truth"] = np.array([object()] * 3)
    (np.savez_compressed if damage == "packed" else np.savez)(buffer, **arrays)
    data = buffer.getvalue()
    if damage == "promise":  # more than any machine has
        header = io.BytesIO()
        shape = {"descr": "<f2", "fortran_order": False, "shape": (10**10, 1000, 1000)}
        np.lib.format.write_array_header_1_0(header, shape)  # type: ignore[arg-type]
        data = _with_member(data, "maps.npy", header.getvalue())
    data = b"no zip" if damage == "no zip" else data[: len(data) // 2] if damage == "half" else data

    with pytest.raises(CamqError, match=r"the maps in jobs/j/results/0-1\.npz are damaged"):
        opened("jobs/j/results/0-1.npz", data)
