"""A map at a picture's size, against the resizes of others."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from worker.core.drawing.stretch import MOST_CELLS, ROUNDING, by_pillow, stretch

RNG = np.random.default_rng(7)


@given(
    values=arrays(
        np.float32,
        st.tuples(st.integers(1, MOST_CELLS), st.integers(1, MOST_CELLS)),
        elements=st.floats(-(2.0**127), 2.0**127, width=32),
    ),
    size=st.tuples(st.integers(1, 600), st.integers(1, 600)),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_it_is_pillows_resize_within_the_stated_rounding(values: np.ndarray, size: tuple[int, int]) -> None:
    """Any map to any size, smaller ones too, where a pixel is the mean of several cells."""
    # Each side is rounded once more per cell that is averaged; a picture is larger than its map.
    slack = ROUNDING * max(1.0, *(2 * cells / pixels for cells, pixels in zip(values.shape[::-1], size, strict=True)))
    greatest = float(np.abs(values).max())

    off = np.abs(stretch(values, *size).astype(np.float64) - by_pillow(values, *size))

    assert off.shape == size[::-1]
    assert off.max() <= slack * greatest + 2.0**-148  # the least numbers are rounded to a step of their own


@pytest.mark.parametrize("shape", [(7, 7), (14, 14), (1, 9), (5, 2), (MOST_CELLS + 1, 3)])
@pytest.mark.parametrize("size", [(333, 250), (224, 224), (40, 37)])
def test_it_agrees_with_torch(shape: tuple[int, int], size: tuple[int, int]) -> None:
    """What heat and boxes stand on, against F.interpolate, to 1e-5."""
    values = RNG.standard_normal(shape).astype(np.float32)
    theirs = F.interpolate(torch.from_numpy(values)[None, None], size=size[::-1], mode="bilinear", align_corners=False)

    np.testing.assert_allclose(stretch(values, *size), theirs[0, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize("broken", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_spoils_no_more_than_its_neighbours(broken: float) -> None:
    """Zero times infinity is no number, so that a plain product would lose whole rows and columns."""
    values = np.ones((7, 7), np.float32)
    values[0, 0] = broken

    found = stretch(values, 70, 70)

    np.testing.assert_array_equal(found, by_pillow(values, 70, 70))
    assert np.isfinite(found[16:, :]).all()
    assert np.isfinite(found[:, 16:]).all()


@pytest.mark.parametrize(("shape", "width"), [((14, 14), 4096), ((7, 7), 2400), ((30, 30), 500)])
def test_products_that_blas_would_share_out_among_threads_are_pillows(shape: tuple[int, int], width: int) -> None:
    """To the last bit, since nothing is multiplied."""
    values = RNG.standard_normal(shape).astype(np.float32)

    np.testing.assert_array_equal(stretch(values, width, 20), by_pillow(values, width, 20))
