"""What is made at the picture's own size: heat, masks and their RLE."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco

from tests.numeric.pictures import draw, photo
from worker.core.drawing.boxes import box, boxes
from worker.core.drawing.colormaps import palette
from worker.core.drawing.full_size import heat_picture, mask, rows, runs
from worker.core.drawing.stretch import by_pillow, stretch
from worker.core.types import Geometry


def whole(width: int, height: int) -> Geometry:
    return Geometry(width, height, (0.0, 0.0, float(width), float(height)))


def random_map(rng: np.random.Generator, most: int = 15) -> np.ndarray:
    return rng.standard_normal((rng.integers(1, most), rng.integers(1, most))).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_those_of_the_whole_map_stretched(seed: int) -> None:
    """Whatever the bands; a picture smaller than its map is shrunk as everywhere."""
    rng = np.random.default_rng(seed)
    values = random_map(rng, 60)
    width, height = (int(side) for side in rng.integers(1, 700, 2))
    found = np.full((height, width), np.nan, np.float32)
    for down, across, band in rows(values, whole(width, height)):
        found[down, across] = band

    np.testing.assert_allclose(found, by_pillow(values, width, height), rtol=0, atol=2e-6 * np.abs(values).max())


@pytest.mark.parametrize("part", [(10.0, 0.0, 50.0, 40.0), (-10.0, 5.4, 70.0, 33.6), (0.0, -20.0, 60.0, 60.0)])
def test_a_part_that_the_network_saw_is_filled_and_nothing_else(part: tuple[float, float, float, float]) -> None:
    """A crop lies within the picture; of a letterbox only what shows the picture is there."""
    values = np.arange(1, 17, dtype=np.float32).reshape(4, 4)
    x0, y0, x1, y1 = (round(edge) for edge in part)
    expected = np.zeros((40, 60), np.float32)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, 60), min(y1, 40)
    stretched = stretch(values, x1 - x0, y1 - y0)
    expected[top:bottom, left:right] = stretched[top - y0 : bottom - y0, left - x0 : right - x0]
    found = np.zeros((40, 60), np.float32)
    for down, across, band in rows(values, Geometry(60, 40, part)):
        found[down, across] = band

    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_a_mask_is_where_the_map_exceeds_its_share_and_the_boxes_surround_it(seed: int) -> None:
    """Up to 512 pixels, where the grid of the boxes is the picture's: `box` and `boxes` lie around parts of it."""
    rng = np.random.default_rng(seed)
    values = random_map(rng)
    values.flat[0] = 1.0
    width, height = (int(side) for side in rng.integers(20, 513, 2))
    threshold = float(rng.uniform(0.1, 0.8))
    geometry = whole(width, height)

    found = mask(values, geometry, threshold)

    assert found is not None
    bar = threshold * values.max()
    stretched = by_pillow(values, width, height)
    differs = found != (stretched > bar)
    assert np.abs(stretched[differs] - bar).max(initial=0) < 1e-5  # nothing but rounding at the bar itself
    every = boxes(values, geometry, threshold, 100)
    assert box(values, geometry, threshold) in every
    inside = np.zeros_like(found)
    for x0, y0, x1, y1 in every:
        inside[y0:y1, x0:x1] = True
    assert not (found & ~inside & ~differs).any()


def test_boxes_come_by_heat_and_not_by_size() -> None:
    """Three spots on a map of one cell for each pixel: the hottest is the smallest."""
    values = np.zeros((10, 20), np.float32)
    values[1:5, 1:6], values[7, 15], values[2:4, 12:14] = 0.5, 1.0, 0.7
    geometry = whole(20, 10)

    assert box(values, geometry, 0.2) == (1, 1, 6, 5)
    assert boxes(values, geometry, 0.2, 5) == ((15, 7, 16, 8), (12, 2, 14, 4), (1, 1, 6, 5))
    assert boxes(values, geometry, 0.2, 2) == ((15, 7, 16, 8), (12, 2, 14, 4))
    assert boxes(values, geometry, 0.6, 5) == ((15, 7, 16, 8), (12, 2, 14, 4))
    assert boxes(-values - 1, geometry, 0.2, 5) == ()


def test_a_map_that_is_positive_nowhere_has_no_mask() -> None:
    """As it has no box."""
    for values in (np.zeros((3, 3)), np.full((3, 3), -1.0), np.full((3, 3), np.inf), np.full((3, 3), np.nan)):
        assert mask(values.astype(np.float32), whole(30, 20), 0.2) is None


def test_a_peak_between_pixels_is_a_mask_of_one_pixel() -> None:
    """Stretched to two pixels, the middle of three cells reaches no bar near its own height."""
    values = np.zeros((5, 5), np.float32)
    values[2, 2] = 1

    found = mask(values, whole(60, 40), 0.999)

    assert found is not None
    assert found.sum() == 1


@settings(deadline=None, max_examples=300)
@given(arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_rle_is_that_of_pycocotools(found: np.ndarray) -> None:
    """Letter by letter, and it reads it back; any pattern."""
    theirs = coco.encode(np.asfortranarray(found.astype(np.uint8)))
    assert runs(found) == theirs["counts"]
    back = coco.decode({"size": list(found.shape), "counts": runs(found).decode()})
    np.testing.assert_array_equal(back, found)


@pytest.mark.parametrize("shape", [(1, 1), (3000, 2), (1, 5000), (2000, 1500)])
def test_rle_of_long_runs_is_that_of_pycocotools(shape: tuple[int, int]) -> None:
    """Numbers of several groups of bits, up and down."""
    found = np.zeros(shape, np.bool_)
    found[shape[0] // 3 :, shape[1] // 2 :] = True
    found[0, 0] = True
    for each in (found, ~found, np.ones(shape, np.bool_), np.zeros(shape, np.bool_)):
        assert runs(each) == coco.encode(np.asfortranarray(each.astype(np.uint8)))["counts"]


def test_the_heat_at_full_size_has_the_colours_of_the_overlay() -> None:
    """Where the overlay is nothing but heat, pixel by pixel; its palette is the colormap."""
    values = np.random.default_rng(1).standard_normal((7, 7)).astype(np.float32)
    (drawing,) = draw(photo(90, 60), values, alpha=1.0, heatmaps="full", colormap="viridis")
    with Image.open(BytesIO(drawing.overlay)) as overlay, Image.open(BytesIO(drawing.heatmap or b"")) as heat:
        assert (heat.mode, heat.size) == ("P", (90, 60))
        differences = np.abs(np.asarray(heat.convert("RGB"), int) - np.asarray(overlay, int))
    assert differences.max() <= 3  # rounding moves a value that lies between two colours
    assert (differences > 0).mean() < 0.01


def test_the_heat_is_as_large_as_the_picture_whatever_the_overlay() -> None:
    """Its values are steps of the map, which tools that know no palette read as they are; a flat map has none."""
    values = np.array([[0.0, 1.0]], np.float32)
    heat = heat_picture(values * 255, whole(400, 300), palette("jet"))
    steps = np.asarray(heat)
    assert steps.shape == (300, 400)
    assert (steps[0, 0], steps[0, -1]) == (0, 255)
    assert (np.diff(steps[0].astype(int)) >= 0).all()
    assert not np.asarray(heat_picture(None, whole(4, 3), palette("jet"))).any()


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_transparent_overlay_laid_over_the_picture_is_the_overlay(kind: str) -> None:
    """Up to rounding, also of a part; around it, and of a flat map, there is nothing."""
    picture, part = photo(90, 60), (15.0, 0.0, 75.0, 60.0)
    values = np.random.default_rng(2).standard_normal((7, 7)).astype(np.float32)
    for alpha in (0.0, 0.37, 0.5, 1.0):
        (alone,) = draw(picture, values, part=part, alpha=alpha, overlay="transparent", format="png")
        (usual,) = draw(picture, values, part=part, alpha=alpha)
        with Image.open(BytesIO(alone.overlay)) as sheet, Image.open(BytesIO(usual.overlay)) as overlay:
            assert (sheet.mode, sheet.size) == ("RGBA", (90, 60))
            laid = Image.alpha_composite(picture.convert("RGBA"), sheet).convert("RGB")
            np.testing.assert_allclose(np.asarray(laid, int), np.asarray(overlay, int), rtol=0, atol=2)
            assert not np.asarray(sheet)[:, :15].any()
    (flat,) = draw(picture, np.ones((3, 3)), overlay="transparent", format=kind)
    with Image.open(BytesIO(flat.overlay)) as sheet:
        assert sheet.mode == "RGBA"
        assert not np.asarray(sheet)[..., 3].any()


def test_masks_and_boxes_come_only_where_they_are_asked_for() -> None:
    """And none of a flat map; a threshold of the mask's own does not move the box."""
    values = np.zeros((7, 7), np.float32)
    values[2, 2], values[5, 5] = 1, 0.5
    (plain,) = draw(photo(), values)
    assert (plain.mask, plain.runs, plain.boxes, plain.heatmap) == (None, None, (), None)
    (low,) = draw(photo(), values, masks=True, boxes=3)
    (high,) = draw(photo(), values, masks=True, boxes=3, mask_threshold=0.7)
    assert low.box == high.box == plain.box
    assert len(low.boxes) == 2
    sizes = [coco.area({"size": (40, 60), "counts": each.runs}) for each in (low, high)]
    assert sizes[0] > sizes[1] > 0
    for drawing in (low, high):
        with Image.open(BytesIO(drawing.mask or b"")) as picture:
            np.testing.assert_array_equal(np.asarray(picture), coco.decode({"size": (40, 60), "counts": drawing.runs}))
    (flat,) = draw(photo(), np.ones((3, 3)), masks=True, boxes=3, heatmaps="full")
    assert (flat.mask, flat.runs, flat.boxes, flat.box) == (None, None, (), None)


def test_a_letterbox_of_an_extreme_picture_makes_no_square() -> None:
    """20,000 x 3 pixels in a square would be 400 million."""
    geometry = Geometry(20000, 3, (0.0, -9998.5, 20000.0, 10001.5))
    values = np.random.default_rng(3).random((7, 7)).astype(np.float32)
    assert sum(band.size for _, _, band in rows(values, geometry)) == 60000
