"""Maps over pictures: colours, blend, scales, encodings."""

import math
from io import BytesIO

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cmap import Colormap
from PIL import Image

from shared.colormaps import NAMES
from shared.contract import FORMATS
from shared.errors import UsageError
from tests.numeric.pictures import draw, photo
from worker.core.drawing import colormaps
from worker.core.drawing.render import ENCODERS

RNG = np.random.default_rng(5)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data))).astype(int)


# The blend


def test_a_blend_known_on_paper() -> None:
    """Grey heat 0, 85, 170, 255 at alpha 0.5 over (10, 20, 31): halves are rounded up."""
    canvas = Image.new("RGB", (4, 1), (10, 20, 31))

    overlay = pixels(draw(canvas, [[0.0, 1.0, 2.0, 3.0]], colormap="gray")[0].overlay)

    assert overlay[0].tolist() == [[5, 10, 16], [48, 53, 58], [90, 95, 101], [133, 138, 143]]


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.7, 1.0, 1 / 3])
def test_every_pair_of_picture_and_heat_is_blended_and_rounded(alpha: float) -> None:
    """All 65536 of them: exact arithmetic rounded half up; within 1/256 of a half the neighbour is allowed."""
    canvas = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(256, axis=0))
    rows = np.arange(256, dtype=np.float32)[:, None].repeat(256, axis=1)

    overlay = pixels(draw(canvas, rows, colormap="gray", alpha=alpha)[0].overlay)[..., 0]

    exact = (1 - alpha) * np.arange(256)[None, :] + alpha * np.arange(256)[:, None]
    wrong = overlay != np.floor(exact + 0.5)
    assert np.abs(exact - np.floor(exact) - 0.5)[wrong].max(initial=0) <= 1 / 256
    if (alpha * 256).is_integer():
        assert not wrong.any()


def test_the_map_is_resized_as_torch_does_and_quantised_last() -> None:
    """Normalise, F.interpolate, 256 steps, jet, blend: the same pixels, save for ties of the rounding."""
    values = RNG.standard_normal((7, 7)).astype(np.float32)
    canvas = photo(500, 375)

    overlay = pixels(draw(canvas, values, colormap="jet")[0].overlay)

    share = torch.from_numpy((values - values.min()) / (values.max() - values.min()))
    full = F.interpolate(share[None, None], size=(375, 500), mode="bilinear", align_corners=False)[0, 0].numpy()
    heat = np.rint(Colormap("jet").lut(256)[:, :3] * 255)[np.rint(full * 255).astype(int)]
    wanted = np.floor((np.asarray(canvas) + heat) / 2 + 0.5)
    assert np.abs(overlay - wanted).max() <= 2
    assert (overlay == wanted).mean() > 0.999


def test_outside_the_crop_the_picture_is_left_as_it_is() -> None:
    """Heat only where the network looked."""
    canvas = photo(50, 40)

    overlay = pixels(draw(canvas, [[0, 1], [2, 3]], part=(10.2, 5.4, 40.1, 34.9))[0].overlay)

    inside = np.zeros((40, 50), bool)
    inside[5:35, 10:40] = True
    np.testing.assert_array_equal(overlay[~inside], np.asarray(canvas)[~inside])
    assert (overlay[inside] != np.asarray(canvas)[inside]).any(axis=1).mean() > 0.95


def test_the_same_normalised_value_has_the_same_colour_in_every_picture() -> None:
    """At alpha 1 the overlay is heat alone, whatever lies beneath; and a dark picture is not brightened."""
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    dark, bright = Image.new("RGB", (4, 4), "black"), Image.new("RGB", (4, 4), "white")

    on_dark, on_bright = (pixels(draw(canvas, values, alpha=1.0)[0].overlay) for canvas in (dark, bright))
    np.testing.assert_array_equal(on_dark, on_bright)
    np.testing.assert_array_equal(
        on_dark.reshape(-1, 3), colormaps.palette("jet")[np.rint(values.ravel() * 255).astype(int)]
    )
    assert pixels(draw(dark, values, colormap="gray")[0].overlay).max() == 128


# Scales and flat maps


def test_each_map_is_normalised_by_itself_or_all_by_one_scale() -> None:
    """`each` makes a weak map look like a strong one; `shared` shows it weak."""
    canvas = Image.new("RGB", (2, 1))
    weak, strong = [[0.0, 1.0]], [[0.0, 4.0]]

    def levels(scale: str) -> list[list[int]]:
        drawings = draw(canvas, weak, strong, colormap="gray", alpha=1.0, scale=scale)
        return [pixels(drawing.overlay)[0, :, 0].tolist() for drawing in drawings]

    assert levels("each") == [[0, 255], [0, 255]]
    assert levels("shared") == [[0, 64], [0, 255]]


def test_a_map_that_is_not_finite_does_not_spoil_the_shared_scale() -> None:
    """Its neighbours are drawn as if it were not there."""
    canvas = photo(20, 20)
    good = [[0.0, 1.0]], [[-1.0, 3.0]]
    alone = draw(canvas, *good, scale="shared")
    beside = draw(canvas, *good, [[np.nan, 1e30]], scale="shared")

    assert [one.overlay for one in beside[:2]] == [one.overlay for one in alone]
    assert beside[2].flat


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.zeros((7, 7)), 0.0, 0.0),
        (np.full((7, 7), 3.5), 3.5, 3.5),
        (np.full((7, 7), 1e8) + np.eye(7) * 8, 1e8, 1e8 + 8),
        (np.full((7, 7), np.nan), 0.0, 0.0),
        ([[np.nan, 1.0], [2.0, 3.0]], 1.0, 3.0),
        ([[np.inf, 1.0], [2.0, 3.0]], 1.0, 3.0),
        ([[5.0]], 5.0, 5.0),
    ],
)
@pytest.mark.parametrize("scale", ["each", "shared"])
def test_a_flat_or_broken_map_is_flagged_and_drawn_without_heat(
    values: object, low: float, high: float, scale: str
) -> None:
    """The picture as it is, no box, finite numbers, no warning of a division."""
    canvas = photo(20, 20)

    with np.errstate(all="raise"):
        (drawing,) = draw(canvas, values, scale=scale, heatmaps=True)

    assert (drawing.flat, drawing.box) == (True, None)
    np.testing.assert_array_equal(pixels(drawing.overlay), np.asarray(canvas))
    assert (drawing.map_min, drawing.map_max) == (low, high)
    assert drawing.heatmap is not None
    assert (pixels(drawing.heatmap) == colormaps.palette("jet")[0]).all()


@pytest.mark.parametrize("factor", [1e-20, 1e-12, 1.0, 1e30, 1e38])
def test_a_map_is_not_flat_for_being_tiny_or_huge(factor: float) -> None:
    """Softmax maps of improbable classes are tiny; the colours are those of the map at any factor."""
    values = np.array([[-1.0, 0.5], [1.0, 2.0]])

    (drawing,) = draw(photo(20, 20), values * factor)

    assert not drawing.flat
    assert drawing.overlay == draw(photo(20, 20), values)[0].overlay
    assert drawing.box is not None
    assert math.isclose(drawing.map_max, 2 * factor, rel_tol=1e-6)


# What comes out


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (37, 11), (512, 384)])
def test_overlays_have_the_format_and_size_promised(kind: str, size: tuple[int, int]) -> None:
    """They decode, they are RGB, they carry nothing of the original's metadata."""
    canvas = photo(*size)
    (drawing,) = draw(canvas, RNG.standard_normal((7, 7)), format=kind)

    with Image.open(BytesIO(drawing.overlay)) as overlay:
        overlay.load()
        assert (overlay.format, overlay.mode, overlay.size) == (kind.upper(), "RGB", size)
        assert not set(overlay.info) & {"icc_profile", "exif", "comment"}
    if size == (512, 384) and kind != "png":
        exact = pixels(draw(canvas, [[0, 1], [2, 3]])[0].overlay)
        assert np.abs(pixels(draw(canvas, [[0, 1], [2, 3]], format=kind)[0].overlay) - exact).mean() < 3


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_has_the_bytes_that_pillow_gives(kind: str) -> None:
    """Whatever it is written to on the way."""
    canvas = photo(120, 90)
    (drawing,) = draw(canvas, np.zeros((7, 7)), format=kind)  # without heat the overlay is the picture

    expected = BytesIO()
    canvas.save(expected, **ENCODERS[kind])
    assert drawing.overlay == expected.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_input_gives_the_same_bytes(kind: str) -> None:
    """Writing twice is writing once; the neighbours of a map do not matter either."""
    maps = [RNG.standard_normal((7, 7)) for _ in range(3)]
    first = draw(photo(120, 90), *maps, format=kind, heatmaps=True)
    again = draw(photo(120, 90), *maps, format=kind, heatmaps=True)

    assert first == again
    assert draw(photo(120, 90), maps[1], format=kind, heatmaps=True) == first[1:2]


def test_a_heatmap_is_the_coloured_map_at_its_own_size() -> None:
    """One pixel per cell, always PNG, only when asked for."""
    values = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    (drawing,) = draw(photo(30, 20), values, heatmaps=True, format="jpeg", colormap="viridis")

    assert drawing.heatmap is not None
    wanted = colormaps.palette("viridis")[np.rint(values / 5 * 255).astype(int)]
    np.testing.assert_array_equal(pixels(drawing.heatmap), wanted)
    assert draw(photo(30, 20), values)[0].heatmap is None


def test_drawings_keep_the_order_and_the_raw_numbers_of_the_maps() -> None:
    """Signed minimum and maximum, one drawing per map; no map, no drawing."""
    drawings = draw(photo(), [[-3.0, 2.0]], [[-1.0, 7.0]])

    assert [(one.map_min, one.map_max) for one in drawings] == [(-3.0, 2.0), (-1.0, 7.0)]
    assert draw(photo()) == []


# Colormaps


def test_jet_is_matplotlibs_jet() -> None:
    """The 256 colours, rounded to 8 bits (matplotlib's own bytes are truncated)."""
    matplotlib = pytest.importorskip("matplotlib")

    theirs = matplotlib.colormaps["jet"](np.arange(256))[:, :3]
    np.testing.assert_allclose(Colormap("jet").lut(256)[:, :3], theirs, atol=1e-12)
    assert np.abs(colormaps.palette("jet") - theirs * 255).max() <= 0.5 + 1e-9


@pytest.mark.slow
def test_every_name_resolves_and_no_two_differ_only_in_case(caplog: pytest.LogCaptureFixture) -> None:
    """256 colours each, without a warning of cmap's about names that stand in two collections."""
    for name in NAMES:
        table = colormaps.palette(name)
        assert (table.shape, table.dtype) == ((256, 3), np.uint8)
        assert len(np.unique(table, axis=0)) >= 50
    assert not caplog.records
    assert len({name.casefold() for name in NAMES}) == len(NAMES)
    for name in ("jet", "viridis", "gist_yerg"):
        np.testing.assert_array_equal(colormaps.palette(f"{name}_r"), colormaps.palette(name)[::-1])
    assert {"jet", "viridis", "turbo", "inferno", "magma", "plasma", "cividis", "hot", "gray", "coolwarm"} <= set(NAMES)


def test_an_unknown_colormap_is_a_usage_error_with_the_nearest_names() -> None:
    """A slip of the hand, the wrong case, and nonsense."""
    with pytest.raises(UsageError, match="viridis"):
        colormaps.palette("virdis")
    with pytest.raises(UsageError, match="did you mean jet"):
        colormaps.palette("Jet")
    with pytest.raises(UsageError, match="are some"):
        colormaps.palette("§§§")


def test_a_palette_cannot_be_changed_by_who_draws_with_it() -> None:
    """It is shared by every picture of the process."""
    with pytest.raises(ValueError, match="read-only"):
        colormaps.palette("jet")[0] = 0
