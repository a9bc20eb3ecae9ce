"""The right pixels: a marked place of the original is found again by map, overlay and box."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.contract import Options
from tests.numeric.pictures import MODES, class_map, encoded, in_mode, photo, render, turned
from worker.core.picture.preprocess import prepare
from worker.core.types import ClassMap, Drawing, Geometry, InputSpec, Limits, Prepared

SPEC, LIMITS = InputSpec(), Limits()


def marked(width: int, height: int, place: tuple[int, int, int, int]) -> Image.Image:
    """Black, with one white block."""
    picture = Image.new("RGB", (width, height))
    picture.paste("white", place)
    return picture


def brightness(prepared: Prepared, cells: int = 28) -> ClassMap:
    """The map of a perfect network whose one class is white: the mean of what it saw, cell by cell."""
    side = prepared.pixels.shape[0] // cells
    grey = prepared.pixels.mean(axis=2).reshape(cells, side, cells, side).mean(axis=(1, 3))
    return class_map(grey)


def explained(data: bytes, **options: object) -> tuple[Prepared, Drawing]:
    chosen = Options(**{"format": "png", "colormap": "gray", "box_threshold": 0.5, **options})
    prepared = prepare(data, chosen, SPEC, LIMITS)
    return prepared, render(prepared, [brightness(prepared)], chosen)[0]


#: Corners of the part that the centre crop of 500 x 375 sees, 85 to 413 by 23 to 352, and of the whole.
CROP_CORNERS = [(100, 40, 160, 100), (340, 40, 400, 100), (100, 280, 160, 340), (340, 280, 400, 340)]
CORNERS = [(0, 0, 60, 60), (440, 0, 500, 60), (0, 315, 60, 375), (440, 315, 500, 375)]


@pytest.mark.parametrize("place", CROP_CORNERS)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["squash", "center-crop"])
def test_a_marked_corner_is_hit(place: tuple[int, int, int, int], orientation: int, resize: str) -> None:
    """In every orientation, squashed and cropped: the box is the mark, and the heat lies on it."""
    data = turned(marked(500, 375, place), orientation)
    _, drawing = explained(data, resize=resize, alpha=1.0)

    # Half a cell of the map is 9 pixels of the original.
    np.testing.assert_allclose(drawing.box, place, atol=9)
    heat = np.asarray(Image.open(BytesIO(drawing.overlay)))[..., 0].astype(int)
    x0, y0, x1, y1 = place
    assert heat[y0 + 12 : y1 - 12, x0 + 12 : x1 - 12].min() > 200
    heat[max(0, y0 - 20) : y1 + 20, max(0, x0 - 20) : x1 + 20] = 0
    assert heat.max() < 10


@pytest.mark.parametrize("place", CORNERS)
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
def test_a_mark_in_the_very_corner_is_hit_to_the_edge(place: tuple[int, int, int, int], orientation: int) -> None:
    """A squashed map reaches the picture's own edges."""
    _, drawing = explained(turned(marked(500, 375, place), orientation))

    assert drawing.box is not None
    for found, wanted, edge in zip(drawing.box, place, (0, 0, 500, 375), strict=True):
        assert abs(found - wanted) <= 9
        assert (found == edge) == (wanted == edge)


@pytest.mark.parametrize("size", [(1600, 200), (150, 1500), (224, 224), (97, 3000)])
def test_pictures_of_any_shape_are_hit(size: tuple[int, int]) -> None:
    """The mark covers a seventh of each side, from two sevenths on."""
    place = tuple(side * sevenths // 7 for sevenths in (2, 3) for side in size)
    _, drawing = explained(encoded(marked(*size, place), "PNG"))

    assert drawing.box is not None
    for found, wanted, side in zip(drawing.box, place, size * 2, strict=True):
        assert abs(found - wanted) <= side / 28 / 2 + max(size) / 512 + 1


def test_the_heat_is_not_stretched_over_what_the_crop_left_out() -> None:
    """The mistake of other tools: a crop's map over the whole picture would be up to 86 pixels off."""
    prepared, drawing = explained(encoded(marked(500, 375, CROP_CORNERS[0]), "PNG"), resize="center-crop")

    canvas, overlay = np.asarray(prepared.canvas), np.asarray(Image.open(BytesIO(drawing.overlay)))
    np.testing.assert_array_equal(overlay[:, :85], canvas[:, :85])
    np.testing.assert_array_equal(overlay[:, 414:], canvas[:, 414:])


@pytest.mark.parametrize("resize", ["squash", "center-crop"])
def test_a_large_picture_has_its_box_in_its_own_pixels(resize: str) -> None:
    """Overlay of 512, box of 4000: the heat is scaled with the overlay, the box is not."""
    place = tuple(8 * edge for edge in CROP_CORNERS[3])
    prepared, drawing = explained(encoded(marked(4000, 3000, place), "JPEG"), resize=resize, alpha=1.0)

    assert prepared.canvas.size == (512, 384)
    np.testing.assert_allclose(drawing.box, place, atol=9 * 8)
    heat = np.asarray(Image.open(BytesIO(drawing.overlay)))[..., 0]
    centre = [round((place[i] + place[i + 2]) / 2 * 512 / 4000) for i in (0, 1)]
    assert heat[centre[1], centre[0]] > 200


def test_an_overlay_of_the_input_shows_the_heat_where_the_input_is_bright() -> None:
    """Overlay and network's input are one picture; the box still speaks of the original."""
    prepared, drawing = explained(
        encoded(marked(500, 375, CROP_CORNERS[2]), "PNG"), resize="center-crop", overlay="input", alpha=1.0
    )

    heat = np.asarray(Image.open(BytesIO(drawing.overlay))).astype(int)
    assert heat.shape == (224, 224, 3)
    assert np.abs(heat - prepared.pixels).mean() < 8
    np.testing.assert_allclose(drawing.box, CROP_CORNERS[2], atol=9)


sizes = st.one_of(
    st.tuples(st.integers(1, 64), st.integers(1, 64)),
    st.tuples(st.integers(1, 5000), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 5000)),
)


@given(
    size=sizes,
    mode=st.sampled_from(MODES),
    seed=st.integers(0, 2**32 - 1),
    options=st.fixed_dictionaries(
        {
            "resize": st.sampled_from(["squash", "center-crop"]),
            "overlay": st.sampled_from(["original", "input"]),
            "overlay_size": st.sampled_from([16, 100, 512, 16384]),
            "input_size": st.sampled_from([None, 32, 96]),
            "format": st.sampled_from(["jpeg", "webp", "png"]),
            "scale": st.sampled_from(["each", "shared"]),
            "heatmaps": st.booleans(),
        }
    ),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_picture_has_boxes_inside_it_and_overlays_of_the_promised_size(
    size: tuple[int, int], mode: str, seed: int, options: dict[str, object]
) -> None:
    """From 1 x 1 to 5000 x 40, in any mode, whatever the options."""
    kind = {"LA": "PNG", "RGBA": "PNG", "HSV": "WEBP", "F": "TIFF", "PA": "TIFF"}.get(mode, "TIFF")
    chosen = Options(**options)
    rng = np.random.default_rng(seed)
    side = int(rng.integers(2, 15))
    maps = [class_map(rng.standard_normal((side, side)), rank) for rank in (1, 2)]

    prepared = prepare(encoded(in_mode(photo(*size), mode), kind), chosen, SPEC, LIMITS)
    drawings = render(prepared, maps, chosen)

    width, height = size
    assert prepared.geometry == Geometry(width, height, prepared.geometry.seen)
    x0, y0, x1, y1 = prepared.geometry.seen
    assert 0 <= x0 < x1 <= width + 1e-6
    assert 0 <= y0 < y1 <= height + 1e-6
    longest = min(chosen.overlay_size, max(size))
    for found, drawing in zip(maps, drawings, strict=True):
        with Image.open(BytesIO(drawing.overlay)) as overlay:
            overlay.load()
            if chosen.overlay == "input":
                assert overlay.size == (chosen.input_size or 224,) * 2
            else:
                assert max(overlay.size) == longest
                assert min(overlay.size) == max(1, round(min(size) * longest / max(size)))
        assert (drawing.box is not None) == (found.values.max() > 0)
        left, top, right, bottom = drawing.box or (0, 0, 1, 1)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert (drawing.heatmap is not None) == chosen.heatmaps


@pytest.mark.parametrize("place", CORNERS)
@pytest.mark.parametrize("size", [(500, 375), (375, 500)])
def test_a_letterboxed_corner_is_hit(place: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    """Heat and box come back to the original's pixels, though the input has bars beside the picture."""
    place = place if size[0] > size[1] else (place[1], place[0], place[3], place[2])
    prepared, drawing = explained(encoded(marked(*size, place), "PNG"), resize="letterbox", alpha=1.0)

    assert prepared.pixels[0, 0].tolist() == list(SPEC.fill)
    assert drawing.box is not None
    np.testing.assert_allclose(drawing.box, place, atol=10)
    heat = np.asarray(Image.open(BytesIO(drawing.overlay)))[..., 0]
    x0, y0, x1, y1 = place
    assert heat[y0 + 12 : y1 - 12, x0 + 12 : x1 - 12].min() > 200
    assert heat[size[1] // 2, size[0] // 2] < 10


@pytest.mark.parametrize("place", [(230, 60, 270, 110), (210, 260, 250, 300)])
@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(size=224, resize="letterbox-crop", resize_size=280, fill=(0, 0, 0)),
        InputSpec(size=224, width=112, resize="letterbox-crop", resize_size=280, resize_width=140, fill=(0, 0, 0)),
        InputSpec(size=224, width=112, resize="center-crop", resize_size=256, resize_width=128),
        InputSpec(size=112, width=224, resize="center-crop", resize_size=112, resize_width=224),
        InputSpec(size=224, width=112, resize="squash-crop", resize_size=256, resize_width=140),
    ],
    ids=lambda spec: f"{spec.resize} {spec.sides()}",
)
def test_a_mark_is_hit_however_the_picture_is_cut(place: tuple[int, int, int, int], spec: InputSpec) -> None:
    """timm's borders, and crops that are not square: heat and box come back to the original's pixels."""
    options = Options(format="png", colormap="gray", box_threshold=0.5, alpha=1.0)
    prepared = prepare(encoded(marked(500, 375, place), "PNG"), options, spec, LIMITS)
    height, width = (side // 8 for side in prepared.pixels.shape[:2])
    seen = prepared.pixels.mean(axis=2).reshape(height, 8, width, 8).mean(axis=(1, 3))
    [drawing] = render(prepared, [class_map(seen)], options)

    x0, y0, x1, y1 = place
    assert drawing.box is not None
    cell = max((prepared.geometry.seen[2] - prepared.geometry.seen[0]) / width, 375 / height)
    np.testing.assert_allclose(drawing.box, place, atol=cell)
    heat = np.asarray(Image.open(BytesIO(drawing.overlay)))[..., 0].astype(int)
    assert heat[(y0 + y1) // 2, (x0 + x1) // 2] > 150
    heat[max(0, y0 - 40) : y1 + 40, max(0, x0 - 40) : x1 + 40] = 0
    assert heat.max() < 30


def test_bars_that_are_brightest_are_not_boxed() -> None:
    """The box stays within the picture, whatever the network looked at beside it."""
    values = np.zeros((28, 28), np.float32)
    values[:3], values[10:12, 4:6] = 9, 8
    picture = prepare(encoded(photo(560, 280), "PNG"), Options(resize="letterbox"), SPEC, LIMITS)
    [drawing] = render(picture, [class_map(values)], Options(box_threshold=0.5))
    np.testing.assert_allclose(drawing.box, (80, 60, 120, 100), atol=11)
