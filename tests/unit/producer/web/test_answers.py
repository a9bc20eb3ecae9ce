"""The summary as a page shows it, and cards as a page carries them."""

import base64
import io
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from producer.web.kit.answers import MOST_CLASSES, answers, link
from producer.web.kit.packed import Packed
from shared.contract import ClassAccuracy, ClassHeat, JobSummary
from tests.browser.galleries import gallery, judged

HEAT = ClassHeat(
    images=3, mean_map=((0.0, 0.5), (0.25, 0.25)), deviation_map=((0.0, 0.5), (0.0, 0.0)), alike=0.5, border=1.0,
    outside=None,
)  # fmt: skip
CLASS = ClassAccuracy(
    label="cat", class_index=0, support=4, predicted=4, correct=3, precision=0.75, recall=0.75, heat=HEAT
)
FOUND = JobSummary(
    job="j", model="net@0123456789ab", images=4, failed=0, with_truth=4, maps=3, k=3, top1=0.75, top_k=1.0,
    classes=(CLASS,), confusions=(), calibration=None, suspects=(),
)  # fmt: skip


def pixels(address: str) -> np.ndarray:
    assert address.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])), formats=["PNG"]) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_map_is_a_small_picture_in_the_jobs_colours() -> None:
    """A pixel for each cell; mean and deviation have the same colour for the same share of heat."""
    found = answers(FOUND, b"", "viridis")

    assert found is not None
    ((_, _, tiles),) = found.classes
    assert tiles is not None
    low, high = [0x44, 0x01, 0x54], [0xFD, 0xE7, 0x25]
    mean, deviation = pixels(tiles.mean), pixels(tiles.deviation)
    assert mean.shape == deviation.shape == (2, 2, 3)
    assert (mean[0, 0].tolist(), mean[0, 1].tolist(), deviation[0, 1].tolist()) == (low, high, high)
    assert mean[1, 0].tolist() not in (low, high)  # half of the largest share
    assert found.wrong == 1


@pytest.mark.parametrize("changes", [{"maps": 0, "classes": (msgspec.structs.replace(CLASS, heat=None),)}])
def test_without_maps_the_page_says_how_to_keep_them(changes: dict[str, Any]) -> None:
    """And, where something else is missing, what that is."""
    bare = msgspec.structs.replace(FOUND, **changes)

    found, other = answers(bare, b"", "jet"), answers(bare, b"", "jet", ["pip install numpy"])

    assert found is not None
    assert other is not None
    assert "--keep-maps" in found.left_out[0]
    assert other.left_out == ("pip install numpy",)
    assert found.classes[0][2] is None


def test_there_is_nothing_to_say_without_ground_truth_and_maps() -> None:
    """Maps alone are enough for the filter by heat on the border."""
    nothing = msgspec.structs.replace(FOUND, with_truth=0, maps=0, top1=None, classes=())
    kept = answers(nothing, b"\x00\x33", "jet")

    assert answers(nothing, b"", "jet") is None
    assert kept is not None
    assert base64.b64decode(kept.border) == b"\x00\x33"
    assert kept.left_out == ()


def test_a_page_lists_some_classes_and_links_to_their_pictures() -> None:
    """The least often found first; names that mean something in an address are escaped."""
    many = tuple(msgspec.structs.replace(CLASS, label=f"c{n}", recall=n / 300, heat=None) for n in range(300))

    found = answers(msgspec.structs.replace(FOUND, classes=many[::-1]), b"", "jet")

    assert found is not None
    assert [one.label for one, _, _ in found.classes] == [f"c{n}" for n in range(MOST_CLASSES)]
    assert found.classes[3][1] == "#truth=c3"
    assert link(truth="salt & pepper=1", label=None) == "#truth=salt+%26+pepper%3D1"


def test_a_row_has_everything_once() -> None:
    """Labels are numbers, addresses that follow a pattern are 1, others stay; only what is there is said."""
    packed = Packed("pictures/{index}.webp", "pictures/{rank}.webp")
    good, failed = judged(gallery(10))[3:5]
    packed.add(good)
    packed.add(failed)
    packed.add({**good, "index": 5, "original": "pictures/5.webp", "truth": None})

    data = msgspec.json.decode(msgspec.json.encode(packed.data()))

    assert data["labels"] == ["moped", "crane", "tabby"]
    first, second, third = data["rows"]
    assert first[:6] == [3, "photos/picture.jpg", 0, 400, 300, "pictures/original.webp"]
    assert first[6][:9] == [1, 0, 0.54, 1, 0, 40, 30, 200, 150]
    assert first[7:] == [[0, 1, 2]]
    assert second[2:8] == [1, None, None, 0, [], 0]
    assert second[8]["error"]["code"] == "truncated"
    assert (third[5], third[7]) == (1, 0)
    assert not packed.settled  # what failed may be retried
