"""The box of a map: the paper's rule, in pixels of the original."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label, regionprops

from worker.core.drawing.boxes import GRID, box
from worker.core.types import Geometry

Box = tuple[int, int, int, int]


def whole(width: int, height: int) -> Geometry:
    return Geometry(width, height, (0.0, 0.0, float(width), float(height)))


def by_brute_force(values: np.ndarray, width: int, height: int, threshold: float) -> Box:
    """The rule at full size, with the tools of others: torch resizes, scikit-image labels and measures."""
    tensor = torch.from_numpy(values)[None, None]
    full = F.interpolate(tensor, size=(height, width), mode="bilinear", align_corners=False)[0, 0].numpy()
    regions = regionprops(label(full > threshold * values.max(), connectivity=1))
    y0, x0, y1, x1 = max(regions, key=lambda region: region.area).bbox
    return x0, y0, x1, y1


@pytest.mark.parametrize("seed", range(25))
def test_the_box_is_that_of_the_rule_at_full_size(seed: int) -> None:
    """Up to 512 pixels the box is exactly what torch's resize and scikit-image's components give."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rng.integers(2, 15), rng.integers(2, 15))).astype(np.float32)
    width, height = (int(side) for side in rng.integers(20, 513, 2))
    threshold = float(rng.uniform(0.1, 0.8))

    assert box(values, whole(width, height), threshold) == by_brute_force(values, width, height, threshold)


@pytest.mark.parametrize("seed", range(8))
def test_the_box_of_a_large_picture_is_off_by_one_step_of_the_grid_at_most(seed: int) -> None:
    """Beyond 512 pixels each side lies within longest / 512 pixels, plus one for rounding."""
    rng = np.random.default_rng(seed)
    values = np.zeros((7, 7), np.float32)
    values[rng.integers(0, 7), rng.integers(0, 7)] = 1
    width, height = 2048, 1536

    found = box(values, whole(width, height), 0.2)

    assert found is not None
    np.testing.assert_allclose(found, by_brute_force(values, width, height, 0.2), atol=2048 / GRID + 1)


@settings(deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.booleans()).filter(np.any))
def test_any_pattern_of_cells_has_the_box_of_its_largest_component(mask: np.ndarray) -> None:
    """Blobs, rings and cells that touch at a corner alike; some of them take the shortcut for one component."""
    height, width = mask.shape

    found = box(mask.astype(np.float32), whole(width, height), 0.5)

    sizes = sorted(region.area for region in regionprops(label(mask, connectivity=1)))
    if len(sizes) == 1 or sizes[-1] > sizes[-2]:
        assert found == by_brute_force(mask.astype(np.float32), width, height, 0.5)


def test_a_box_known_on_paper() -> None:
    """One hot cell of 4 x 4 in a picture of 40 x 40, above half of the peak.

    A cell is 10 pixels wide and the peak at (15, 25). The nearest pixel centres are half a pixel off, where one
    slope has fallen to 0.95; along the other, 0.95 (1 - d / 10) > 0.5 holds up to d = 4.7, so that the pixel
    centred 4.5 away is in and that at 5.5 is out.
    """
    values = np.zeros((4, 4), np.float32)
    values[2, 1] = 8

    assert box(values, whole(40, 40), 0.5) == (10, 20, 20, 30)


def test_the_threshold_is_a_share_of_the_raw_maximum() -> None:
    """Negative values do not move the bar, as they would after a min-max normalisation."""
    values = np.array([[1.0, 0.5, 0.1, 0.1]], np.float32)
    low = values.copy()
    low[0, 3] = -100

    assert box(values, whole(40, 10), 0.2) == box(low, whole(40, 10), 0.2)


def test_the_largest_component_wins_even_against_a_higher_one() -> None:
    """Two hills: the wide one of height 5 is boxed, the narrow one of height 9 is not."""
    values = np.array([[9, 0, 0, 5, 5, 5, 5]], np.float32)

    x0, _, x1, _ = box(values, whole(70, 10), 0.3)

    assert x0 > 20
    assert x1 == 70


def test_of_two_equal_components_the_higher_is_boxed() -> None:
    """The same area twice; a tie must not depend on the order in which they are found."""
    values = np.array([[1.0, 0, 0, 0, 1.0]], np.float32)
    for peak, wanted in ((0, (0, 0, 1, 1)), (4, (4, 0, 5, 1))):
        values[0] = 0.9, 0, 0, 0, 0.9
        values[0, peak] = 1
        assert box(values, whole(5, 1), 0.2) == wanted


def test_components_touching_at_a_corner_are_two() -> None:
    """Neighbours share a side; on a grid as coarse as the map nothing flows between diagonal cells."""
    values = np.array([[1, 0, 0], [0, 2, 2], [0, 0, 0]], np.float32)

    assert box(values, whole(3, 3), 0.2) == (1, 1, 3, 2)


@pytest.mark.parametrize("values", [np.zeros((7, 7)), -np.ones((7, 7)), np.full((2, 2), np.nan), [[np.inf, 1.0]]])
def test_a_map_without_a_positive_maximum_has_no_box(values: np.ndarray) -> None:
    """Nothing speaks for the class, or the map is no number."""
    assert box(np.asarray(values, np.float32), whole(50, 40), 0.2) is None


def test_the_box_lies_in_the_part_that_was_seen() -> None:
    """A map over a crop cannot speak of what is outside it."""
    geometry = Geometry(500, 375, (85.4, 23.4, 413.4, 351.6))

    assert box(np.ones((7, 7), np.float32) + np.eye(7, dtype=np.float32), geometry, 0.2) == (85, 23, 413, 352)


@given(
    values=arrays(
        np.float32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.floats(-1e3, 1e3, width=32)
    ),
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    threshold=st.floats(0.01, 0.99),
    crop=st.booleans(),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_every_box_lies_inside_the_picture(
    values: np.ndarray, size: tuple[int, int], threshold: float, crop: bool
) -> None:
    """Any map over any picture: None exactly when nothing is positive, else at least one pixel inside it."""
    width, height = size
    side = min(size)
    middle = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    found = box(values, Geometry(width, height, middle) if crop else whole(width, height), threshold)

    assert (found is None) == (threshold * float(values.max()) <= 0)
    if found is not None:
        x0, y0, x1, y1 = found
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert all(type(edge) is int for edge in found)
