"""What is written onto overlays."""

import numpy as np
import pytest
from PIL import Image

from worker.core.drawing.caption import MOST, write
from worker.core.drawing.colormaps import palette
from worker.core.map_range import MapRange
from worker.core.types import Caption

COLOURS = palette("jet")
SPAN = MapRange(-1.5, 6.25, flat=False)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def written(
    size: tuple[int, int], label: str = "tabby cat", span: MapRange = SPAN, ground: object = WHITE
) -> np.ndarray:
    picture = Image.new("RGB", size, ground)
    return np.asarray(write(picture, Caption(label, 281, 0.873), span, COLOURS))


def rows_touched(pixels: np.ndarray, ground: int) -> np.ndarray:
    return np.flatnonzero((pixels != ground).any(axis=(1, 2)))


@pytest.mark.parametrize("size", [(224, 149), (149, 224), (224, 224), (512, 384), (4000, 3000)])
def test_a_strip_lies_at_the_lower_edge_and_covers_little(size: tuple[int, int]) -> None:
    """All above it stays as it is; it grows with the picture."""
    touched = rows_touched(written(size), 255)
    assert touched[-1] == size[1] - 1
    assert np.array_equal(touched, np.arange(touched[0], size[1]))
    assert len(touched) <= MOST * size[1]
    assert len(touched) >= max(30, 0.1 * min(size))


@pytest.mark.parametrize("size", [(20, 16), (96, 64), (40, 400)])
def test_a_picture_without_room_stays_as_it_is(size: tuple[int, int]) -> None:
    """Rather than letters that nobody can read."""
    assert (written(size) == 255).all()


@pytest.mark.parametrize("ground", [WHITE, BLACK, (255, 255, 0)])
def test_letters_stand_out_on_any_ground(ground: tuple[int, int, int]) -> None:
    """White on what is at least seven times as dark: WCAG's contrast for small text."""
    pixels = written((400, 300), ground=ground)
    strip = pixels[-1, 0] / 255
    linear = np.where(strip <= 0.03928, strip / 12.92, ((strip + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= 7
    assert (pixels[rows_touched(pixels, 256)[0] :] == 255).all(axis=2).any()


def test_the_bar_has_the_colours_of_the_map_from_low_to_high() -> None:
    """From left to right in one row; a flat map has none, and a smaller strip."""
    pixels = written((512, 384), ground=BLACK)
    coloured = pixels[(pixels.max(axis=2) - pixels.min(axis=2) > 60).any(axis=1)]
    bar = coloured[len(coloured) // 2]
    columns = np.flatnonzero(bar.max(axis=1).astype(int) - bar.min(axis=1) > 60)
    np.testing.assert_array_equal(bar[columns[0]], COLOURS[0])
    np.testing.assert_array_equal(bar[columns[-1]], COLOURS[255])
    flat = written((512, 384), span=MapRange(1, 1, flat=True))
    assert len(rows_touched(flat, 255)) < len(rows_touched(written((512, 384)), 255))
    assert (flat.max(axis=2) - flat.min(axis=2)).max() == 0


def test_a_label_is_cut_and_one_that_the_font_lacks_is_the_classs_number() -> None:
    """Latin, Greek and Cyrillic are there; what looks alike is the same picture."""
    size = (300, 200)
    long = written(size, "African elephant, Loxodonta africana, of the savannah and of nowhere else at all")
    np.testing.assert_array_equal(
        long, written(size, "African elephant, Loxodonta africana, of the savannah " + "x" * 200)
    )
    for label in ("猫", "cat\u202e", "", " \n "):
        np.testing.assert_array_equal(written(size, label), written(size, "class 281"))
    shown = [written(size, label).tobytes() for label in ("Löwe", "Lowe", "λιοντάρι", "лев", "Łoś", "class 281")]
    assert len(set(shown)) == len(shown)
    np.testing.assert_array_equal(written(size, "Lo\u0308we"), written(size, "Löwe"))


def test_a_transparent_overlay_stays_transparent_above_the_strip() -> None:
    """The picture that was given is not drawn on."""
    picture = Image.new("RGBA", (224, 224))
    found = np.asarray(write(picture, Caption("cat", 0, 0.5), SPAN, COLOURS))
    assert found.shape == (224, 224, 4)
    assert not found[:150].any()
    assert (found[-1, :, 3] > 100).all()
    assert not np.asarray(picture).any()


def test_a_small_probability_is_not_called_nothing() -> None:
    """As on the pages."""
    drawn = [
        np.asarray(write(Image.new("RGB", (224, 224)), Caption("cat", 281, probability), SPAN, COLOURS))
        for probability in (0.0, 0.0004, 0.0009)
    ]
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[1], drawn[2])
