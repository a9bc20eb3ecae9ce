"""What the network sees and what the overlay is drawn on, pixel for pixel."""

import io
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import functional as F

from shared.contract import Options
from tests.numeric.pictures import encoded, photo, turned
from worker.core.picture.preprocess import MAX_RESIZED_PIXELS, prepare
from worker.core.types import InputSpec, Limits, Prepared

LIMITS = Limits()


def prepared(picture: Image.Image, spec: InputSpec | None = None, **options: object) -> Prepared:
    return prepare(encoded(picture, "PNG"), Options(**options), spec or InputSpec(), LIMITS)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (1, 1), (3, 700), (224, 224)])
@pytest.mark.parametrize("side", [None, 448, 33])
def test_squash_is_pillows_plain_bilinear_resize(size: tuple[int, int], side: int | None) -> None:
    """The network's input is exact: no draft, no gap, no second resize."""
    picture = photo(*size)
    found = prepared(picture, input_size=side)

    wanted = picture.resize((side or 224, side or 224), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found.pixels, np.asarray(wanted))
    assert found.geometry.seen == (0, 0, *size)


@pytest.mark.parametrize(
    "size", [(500, 375), (375, 500), (256, 256), (257, 300), (100, 100), (640, 33), (1, 1), (224, 999)]
)
@pytest.mark.parametrize("way", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("side", "resize"), [(224, 256), (224, 224), (299, 342), (240, 255)])
def test_centre_crop_is_torchvisions_resize_and_crop(size: tuple[int, int], way: str, side: int, resize: int) -> None:
    """Pixel for pixel, in both rounding rules, for the transforms that weights come with."""
    picture = photo(*size)
    spec = InputSpec(size=side, resize_size=resize, interpolation=way)

    found = prepared(picture, spec, resize="center-crop")

    method = InterpolationMode.BILINEAR if way == "bilinear" else InterpolationMode.BICUBIC
    wanted = F.center_crop(F.resize(picture, [resize], method), [side])
    np.testing.assert_array_equal(found.pixels, np.asarray(wanted))


def test_another_input_size_crops_the_same_part() -> None:
    """The resize grows with the input, so that 448 sees what 224 sees, only finer."""
    small = prepared(photo(500, 375), resize="center-crop").geometry.seen
    large = prepared(photo(500, 375), resize="center-crop", input_size=448).geometry.seen

    np.testing.assert_allclose(small, large, atol=1.5)


def test_the_crop_of_a_photograph_lies_where_paper_says() -> None:
    """500 x 375 → 341 x 256 → the middle 224: hand-computed."""
    found = prepared(photo(500, 375), resize="center-crop")

    across, down = 500 / 341, 375 / 256
    # (341 - 224) / 2 = 58.5 is rounded to 58, the even neighbour.
    np.testing.assert_allclose(found.geometry.seen, (58 * across, 16 * down, 282 * across, 240 * down))
    np.testing.assert_allclose(found.canvas_seen, found.geometry.seen)


@pytest.mark.parametrize("size", [(30000, 20), (1, 5000), (20000, 7)])
def test_the_crop_of_a_strip_needs_no_gigapixels(size: tuple[int, int]) -> None:
    """Only what is kept is computed, within one level of the whole way."""
    picture = photo(*size)
    assert 256 * 256 * max(size) / min(size) > MAX_RESIZED_PIXELS

    found = prepared(picture, resize="center-crop")

    x0, y0, x1, y1 = found.geometry.seen
    assert 0 <= x0 < x1 <= size[0]
    assert 0 <= y0 < y1 <= size[1]
    assert x1 - x0 == pytest.approx(y1 - y0, rel=0.01)
    near = picture.crop((int(x0), int(y0), int(x1) + 1, int(y1) + 1)).resize((224, 224), Image.Resampling.BILINEAR)
    assert np.abs(found.pixels.astype(int) - np.asarray(near)).mean() < 12


def test_both_ways_of_a_crop_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounded way is the plain one within one level."""
    plain = prepared(photo(801, 300), resize="center-crop").pixels
    monkeypatch.setattr("worker.core.picture.preprocess.MAX_RESIZED_PIXELS", 0)
    bounded = prepared(photo(801, 300), resize="center-crop").pixels

    assert np.abs(plain.astype(int) - bounded).max() <= 1


def test_pixels_stack_into_a_channels_last_batch() -> None:
    """(size, size, 3) uint8, C-contiguous, as the engine needs them."""
    for options in ({}, {"resize": "center-crop"}, {"input_size": 64, "overlay": "input"}):
        pixels = prepared(photo(), **options).pixels
        side = options.get("input_size", 224)
        assert (pixels.shape, pixels.dtype, pixels.flags.c_contiguous) == ((side, side, 3), np.uint8, True)


@pytest.mark.parametrize(
    ("size", "longest", "wanted"),
    [
        ((500, 375), 512, (500, 375)),
        ((512, 100), 512, (512, 100)),
        ((1024, 768), 512, (512, 384)),
        ((768, 1024), 100, (75, 100)),
        ((5000, 3), 512, (512, 1)),
        ((1, 1), 16, (1, 1)),
    ],
)
def test_the_canvas_is_as_long_as_promised_and_never_enlarged(
    size: tuple[int, int], longest: int, wanted: tuple[int, int]
) -> None:
    """The longest side, at least one pixel each way."""
    found = prepared(photo(*size), overlay_size=longest)

    assert found.canvas.size == wanted
    np.testing.assert_allclose(found.canvas_seen, (0, 0, *wanted))


def test_an_unscaled_canvas_is_the_picture_itself() -> None:
    """Nothing is resampled that need not be."""
    np.testing.assert_array_equal(np.asarray(prepared(photo(500, 375)).canvas), np.asarray(photo(500, 375)))


def test_the_canvas_of_the_input_is_the_networks_input() -> None:
    """Overlay `input`: the same pixels, all of them seen, whatever the overlay's size."""
    for resize in ("squash", "center-crop"):
        found = prepared(photo(500, 375), overlay="input", resize=resize, overlay_size=16)
        np.testing.assert_array_equal(np.asarray(found.canvas), found.pixels)
        assert found.canvas_seen == (0, 0, 224, 224)


def test_a_webp_overlay_stays_within_what_webp_can_hold() -> None:
    """WebP ends at 16383 pixels, one less than the largest overlay that may be asked for."""
    strip = photo(16384, 2)

    assert prepared(strip, overlay_size=16384, format="webp").canvas.width == 16383
    assert prepared(strip, overlay_size=16384).canvas.width == 16384


def test_prepared_values_are_those_of_the_upright_picture() -> None:
    """A turned picture of 60 x 40 is 60 x 40 in every answer."""
    found = prepare(turned(photo(60, 40), 6), Options(), InputSpec(), LIMITS)

    assert (found.geometry.width, found.geometry.height, found.canvas.size) == (60, 40, (60, 40))
    np.testing.assert_array_equal(found.pixels, prepared(photo(60, 40)).pixels)


@pytest.mark.parametrize("way", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
@pytest.mark.parametrize("version", [transforms, v2])
def test_a_squash_is_torchvisions_resize_of_pictures(way: str, version: ModuleType) -> None:
    """`Resize((224, 224), interpolation)`, pixel by pixel, of both of its interfaces."""
    picture = photo(317, 201)
    resize = version.Resize((224, 224), interpolation=InterpolationMode(way))
    found = prepared(picture, InputSpec(squash_interpolation=way))
    np.testing.assert_array_equal(found.pixels, np.asarray(resize(picture)))


def test_one_channel_is_torchvisions_grayscale() -> None:
    """`Grayscale(1)`, then the resize; an opaque fourth channel for networks of four."""
    picture = photo(317, 201)
    steps = transforms.Compose([transforms.Grayscale(1), transforms.Resize((224, 224))])
    found = prepared(picture, InputSpec(channels=1, mean=(0.5,), std=(0.5,)), overlay="input")
    np.testing.assert_array_equal(found.pixels[..., 0], np.asarray(steps(picture)))
    assert (found.pixels.shape, found.canvas.mode) == ((224, 224, 1), "RGB")
    four = prepared(picture, InputSpec(channels=4)).pixels
    assert four.shape == (224, 224, 4)
    assert (four[..., 3] == 255).all()


def test_the_models_own_way_is_taken_unless_the_job_asks_for_another() -> None:
    """Letterbox, centre crop and squash, as the card says."""
    picture = photo(300, 200)
    for way in ("squash", "center-crop", "letterbox"):
        own = prepared(picture, InputSpec(resize=way)).pixels
        asked = prepared(picture, InputSpec(), resize=way).pixels
        np.testing.assert_array_equal(own, asked)


def test_a_letterbox_is_torchvisions_resize_and_pad() -> None:
    """The longer side to 224, then the same colour on both sides."""
    picture = photo(300, 200)
    steps = transforms.Compose([transforms.Resize((149, 224)), transforms.Pad((0, 37, 0, 38), fill=(9, 8, 7))])
    found = prepared(picture, InputSpec(resize="letterbox", fill=(9, 8, 7)))
    np.testing.assert_array_equal(found.pixels, np.asarray(steps(picture)))


@pytest.mark.parametrize("way", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(500, 375), (60, 1000), (97, 31)])
def test_without_antialiasing_it_is_torchs_resize_of_tensors(way: str, size: tuple[int, int]) -> None:
    """As pictures were resized where training resized tensors; Pillow's way is another one."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    spec = InputSpec(squash_interpolation=way, antialias=False)
    found = prepared(picture, spec)
    tensor = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
    wanted = F.resize(tensor, [224, 224], InterpolationMode(way), antialias=False).permute(1, 2, 0).numpy()
    difference = np.abs(found.pixels.astype(int) - wanted)
    assert difference.max() <= 1  # where a value lies in the middle of two levels
    assert (difference > 0).mean() < 1e-3
    if max(size) > 224:
        plain = prepared(picture, InputSpec(squash_interpolation=way))
        assert np.abs(plain.pixels.astype(int) - wanted).max() > 100


@pytest.mark.parametrize("resize", ["squash", "center-crop", "letterbox"])
@pytest.mark.parametrize("size", [(500, 375), (200, 600)])
def test_height_and_width_may_differ(resize: str, size: tuple[int, int]) -> None:
    """As in person re-identification, 256 x 128: each way as torchvision does it."""
    picture = photo(*size)
    spec = InputSpec(size=256, width=128, resize_size=288, resize=resize)
    found = prepared(picture, spec)
    assert found.pixels.shape == (256, 128, 3)
    if resize == "squash":
        wanted = F.resize(picture, [256, 128])
    elif resize == "center-crop":
        wanted = F.center_crop(F.resize(picture, [288]), [256, 128])
    else:
        scale = min(128 / size[0], 256 / size[1])
        width, height = round(size[0] * scale), round(size[1] * scale)
        wanted = Image.new("RGB", (128, 256), spec.fill)
        wanted.paste(F.resize(picture, [height, width]), ((128 - width) // 2, (256 - height) // 2))
    np.testing.assert_array_equal(found.pixels, np.asarray(wanted))
    again = prepared(picture, spec, input_size=512)
    assert again.pixels.shape == (512, 256, 3)
    np.testing.assert_allclose(again.geometry.seen, found.geometry.seen, atol=5)


def test_a_squash_and_crop_is_deits() -> None:
    """The whole as a square of 256, then its centre; the heat comes back to the part that was seen."""
    picture = photo(500, 375)
    found = prepared(picture, InputSpec(resize="squash-crop", interpolation="bicubic"))
    wanted = F.center_crop(F.resize(picture, [256, 256], InterpolationMode.BICUBIC), [224])
    np.testing.assert_array_equal(found.pixels, np.asarray(wanted))
    np.testing.assert_allclose(found.geometry.seen, (500 / 16, 375 / 16, 500 * 15 / 16, 375 * 15 / 16))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_without_exif_a_picture_is_as_it_is_stored(orientation: int) -> None:
    """For the network and under the overlay."""
    found = prepare(turned(photo(60, 40), orientation), Options(), InputSpec(exif=False), LIMITS)
    stored = Image.open(io.BytesIO(turned(photo(60, 40), orientation))).convert("RGB")
    np.testing.assert_array_equal(found.pixels, np.asarray(stored.resize((224, 224), Image.Resampling.BILINEAR)))
    assert found.canvas.size == stored.size == (found.geometry.width, found.geometry.height)
