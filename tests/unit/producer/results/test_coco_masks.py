"""Masks of an exported COCO file: their area and box against pycocotools, and damaged ones."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from producer.results.export.coco import lengths, of_mask
from shared.contract import MaskRecord
from shared.errors import MessageError


@pytest.mark.parametrize("seed", range(40))
def test_area_and_box_of_a_mask_are_pycocotools(seed: int) -> None:
    """Any pattern, also none and all."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 60, 2))
    pattern = (rng.random((height, width)) < rng.choice([0.0, 0.02, 0.5, 1.0])).astype(np.uint8)
    rle = coco_mask.encode(np.asfortranarray(pattern))
    counts = rle["counts"].decode()

    found = of_mask(MaskRecord(size=(height, width), counts=counts))

    assert sum(lengths(counts)) == height * width
    assert found["area"] == coco_mask.area(rle)
    assert found["bbox"] == list(coco_mask.toBbox(rle))


@pytest.mark.parametrize("counts", ["~", "P", "1_1_1", "0" * 5, "Z" * 30])
def test_a_mask_that_somebody_wrote_over_ends_in_a_sentence(counts: str) -> None:
    """Results lie in a bucket."""
    with pytest.raises(MessageError, match="damaged"):
        of_mask(MaskRecord(size=(6, 8), counts=counts))


@pytest.mark.parametrize("counts", ["o" * 9 + "0", "o" * 2_000_000], ids=["nine", "millions"])
def test_a_run_has_few_digits(counts: str) -> None:
    """Numbers of millions of digits would take hours to add up."""
    with pytest.raises(MessageError, match="more digits than any length"):
        of_mask(MaskRecord(size=(6, 8), counts=counts))


@pytest.mark.parametrize("size", [(0, 8), (6, 0), (-1, -1)])
def test_a_mask_without_a_side_ends_in_a_sentence(size: tuple[int, int]) -> None:
    """Whatever its runs are."""
    with pytest.raises(MessageError, match="its size is"):
        of_mask(MaskRecord(size=size, counts="01"))
