"""The numbers of faithfulness, by hand: pictures of 4 x 4 pixels and a classifier that anybody can work out."""

from collections.abc import Sequence

import numpy as np
import pytest

from worker.core.faithfulness.imputation import imputed
from worker.core.faithfulness.perturbation import blurred, heat_of, masked, ranked, replaced, without
from worker.core.faithfulness.places import THRESHOLDS, iou, overlaps, points_at
from worker.core.faithfulness.scores import STEPS, area, drop, entropy, faithfulness, gini
from worker.core.types import FloatArray, Geometry

#: Hottest in the last corner, coldest in the first.
RAMP = np.arange(16, dtype=np.float32).reshape(4, 4)
WHITE = np.full((4, 4, 1), 255, np.float32)
BLACK = np.zeros(1, np.float32)
WHOLE = Geometry(4, 4, (0.0, 0.0, 4.0, 4.0))


def brightness(pictures: Sequence[FloatArray]) -> list[float]:
    return [float(picture.mean()) / 255 for picture in pictures]


def last_corner(pictures: Sequence[FloatArray]) -> list[float]:
    """Goes by the hottest pixel alone."""
    return [float(picture[3, 3, 0]) / 255 for picture in pictures]


def test_heat_goes_from_0_to_1_and_a_flat_map_has_none() -> None:
    """Signed or not: the coldest is 0 and the hottest 1."""
    assert heat_of(RAMP - 8, 4, 4) == pytest.approx(RAMP / 15)
    assert not heat_of(np.full((2, 2), 3, np.float32), 4, 4).any()


def test_the_hottest_come_first_and_equal_ones_favour_no_side() -> None:
    """All cold pixels of a map with a ReLU are equal: in the order of rows, they would go from top to bottom."""
    assert ranked(RAMP).tolist() == list(range(15, -1, -1))
    half = np.zeros((32, 32), np.float32)
    half[0, 0] = 1
    order = ranked(half)
    assert order[0] == 0
    assert sorted(order.tolist()) == list(range(1024))
    first = order[1:513]
    assert abs((first < 512).sum() - 256) < 50
    assert abs((first % 32 < 16).sum() - 256) < 50


def test_a_mask_keeps_the_hot_and_blanks_the_cold() -> None:
    """Half heat is halfway between picture and blank."""
    found = masked(np.full((2, 2, 1), 200, np.float32), np.array([[1, 0], [0.5, 0.25]], np.float32), np.float32([100]))

    assert found[..., 0].tolist() == [[200, 100], [150, 125]]


def test_pixels_go_in_equal_steps() -> None:
    """The hottest quarter first, all of them in the end; the picture that was given stays as it is."""
    pictures = list(replaced(WHITE, np.zeros_like(WHITE), ranked(RAMP), 4))

    assert [picture[..., 0].sum(axis=1).tolist() for picture in pictures] == [
        [1020, 1020, 1020, 0],
        [1020, 1020, 0, 0],
        [1020, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert (WHITE == 255).all()


def test_the_area_is_that_of_trapezoids() -> None:
    """A straight fall leaves half; one at once leaves half of a step."""
    assert area([1, 0.75, 0.5, 0.25, 0]) == pytest.approx(0.5)
    assert area([1, 0, 0, 0, 0]) == pytest.approx(1 / 8)


def test_a_missing_pixel_is_the_weighted_mean_of_its_neighbours() -> None:
    """Those beside it count twice as much as those at its corners; at the picture's own corner there are three."""
    picture = RAMP[..., None] ** 2
    inner, corner = np.zeros((2, 4, 4), np.bool_)
    inner[1, 1] = corner[0, 0] = True

    beside, diagonal = (1**2 + 4**2 + 6**2 + 9**2) / 6, (0**2 + 2**2 + 8**2 + 10**2) / 12
    assert imputed(picture, inner)[1, 1, 0] == pytest.approx(beside + diagonal)
    assert imputed(picture, corner)[0, 0, 0] == pytest.approx(((1**2 + 4**2) / 6 + 5**2 / 12) / (5 / 12))


def test_two_missing_neighbours_are_solved_together() -> None:
    """x = a + y/6 and y = b + x/6, so x = (36 a + 6 b) / 35."""
    picture = RAMP[..., None].copy()
    removed = np.zeros((4, 4), np.bool_)
    removed[1, 1:3] = True
    a = (1 + 4 + 9) / 6 + (0 + 2 + 8 + 10) / 12
    b = (2 + 7 + 10) / 6 + (1 + 3 + 9 + 11) / 12

    found = imputed(picture, removed)

    assert found[1, 1, 0] == pytest.approx((36 * a + 6 * b) / 35)
    assert found[1, 2, 0] == pytest.approx((36 * b + 6 * a) / 35)
    assert found[~removed] == pytest.approx(picture[~removed])


def test_road_removes_from_the_front_of_the_order_and_noise_touches_nothing_else() -> None:
    """At percentile 20 of 16 pixels the last three stay."""
    picture = RAMP[..., None].repeat(3, axis=2)
    (found,) = without(picture, ranked(RAMP), (20,), np.float32([0, 0, 5]))

    assert found[0, :3].tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert found[0, 3, 0] == pytest.approx(found[0, 3, 1])
    assert abs(found[..., 2] - found[..., 0]).max() > 1


def test_a_map_that_finds_the_one_pixel_that_counts() -> None:
    """Deleted first and inserted first, it is everything; a map that points at all but this pixel is the opposite."""
    good = faithfulness(RAMP, WHITE, 1.0, last_corner, blank=BLACK, noise=BLACK)
    bad = faithfulness(-RAMP, WHITE, 1.0, last_corner, blank=BLACK, noise=BLACK)

    assert (good.drop, good.increase, good.deletion) == (0, False, pytest.approx(1 / (2 * STEPS)))
    assert (bad.drop, bad.increase) == (1, False)
    # Twenty steps for sixteen pixels: the last four take nothing away.
    assert bad.deletion == pytest.approx((STEPS - 4.5) / STEPS)


def test_insertion_is_what_the_hottest_pixels_bring_back() -> None:
    """A dark picture with one bright pixel: its blur has little of it."""
    picture = np.zeros((16, 16, 1), np.float32)
    picture[8, 8] = 255
    heat = -np.hypot(*(np.mgrid[0:16, 0:16] - 8)).astype(np.float32)

    def bright(pictures: Sequence[FloatArray]) -> list[float]:
        return [float(picture[8, 8, 0]) / 255 for picture in pictures]

    start = bright([blurred(picture)])[0]
    good = faithfulness(heat, picture, 1.0, bright, blank=BLACK, noise=BLACK)
    bad = faithfulness(-heat, picture, 1.0, bright, blank=BLACK, noise=BLACK)

    assert start < 0.1
    assert good.insertion == pytest.approx((start / 2 + STEPS - 0.5) / STEPS)
    assert bad.insertion == pytest.approx((start / 2 + start * (STEPS - 1) + 0.5) / STEPS)


def test_a_picture_need_not_be_square() -> None:
    """Six columns and four rows, of which the hottest is the last."""
    picture = np.full((4, 6, 3), 255, np.float32)

    def last_row(pictures: Sequence[FloatArray]) -> list[float]:
        return [float(each[3].mean()) / 255 for each in pictures]

    rows = np.float32([[0], [1], [2], [3]])
    found = faithfulness(rows, picture, 1.0, last_row, blank=np.zeros(3, np.float32), noise=np.zeros(3, np.float32))

    assert heat_of(rows, 6, 4).shape == (4, 6)
    assert found.drop == pytest.approx(0)
    assert found.deletion < 0.2
    assert found.road == pytest.approx(0, abs=1e-6)  # white imputed from white


def test_the_drop_is_relative_and_never_negative() -> None:
    """Chattopadhyay et al. count a rise as no drop."""
    assert drop(0.8, 0.2) == pytest.approx(0.75)
    assert drop(0.2, 0.8) == 0
    assert drop(0.0, 0.0) == 0
    assert faithfulness(RAMP, WHITE, 0.2, brightness, blank=BLACK, noise=BLACK).increase


def test_how_concentrated_a_map_is() -> None:
    """All heat in one of sixteen pixels, the same everywhere, and none."""
    one, all_alike, none = np.zeros((4, 4)), np.ones((4, 4)), np.zeros((4, 4))
    one[2, 1] = 7

    assert [gini(one), gini(all_alike), gini(none)] == pytest.approx([15 / 16, 0, 0])
    assert [entropy(one), entropy(all_alike), entropy(none)] == pytest.approx([0, np.log(16), 0])


def test_the_pointing_game_allows_a_tolerance() -> None:
    """The hottest pixel's middle is at 3.5, 3.5; of a centre crop it lies where the network looked."""
    assert points_at(RAMP, WHOLE, [(3, 3, 4, 4)], 0)
    assert not points_at(RAMP, WHOLE, [(0, 0, 3, 3)], 0)
    assert points_at(RAMP, WHOLE, [(0, 0, 1, 1), (0, 0, 3, 3)], 1)
    crop = Geometry(400, 200, (100.0, 0.0, 300.0, 200.0))
    assert points_at(RAMP, crop, [(250, 150, 300, 200)], 0)
    assert not points_at(RAMP, crop, [(350, 150, 400, 200)], 0)


def test_boxes_overlap_by_intersection_over_union() -> None:
    """A hot half over a box of that half: all of it at every threshold; over a box of the whole, half."""
    half = np.zeros((4, 4), np.float32)
    half[:, 2:] = 1
    exact = overlaps(half.repeat(8, 0).repeat(8, 1), Geometry(32, 32, (0, 0, 32.0, 32.0)), [(16, 0, 32, 32)])

    assert [iou((0, 0, 2, 2), (1, 1, 3, 3)), iou((0, 0, 1, 1), (1, 0, 2, 1))] == pytest.approx([1 / 7, 0])
    assert exact == pytest.approx((1.0,) * len(THRESHOLDS))
    assert overlaps(half.repeat(8, 0).repeat(8, 1), Geometry(32, 32, (0, 0, 32.0, 32.0)), [(0, 0, 32, 32)]) == (
        pytest.approx((0.5,) * len(THRESHOLDS))
    )
    assert overlaps(np.ones((4, 4), np.float32), WHOLE, [(0, 0, 4, 4)]) == (0.0,) * len(THRESHOLDS)


@pytest.mark.parametrize("shape", [(40, 40), (24, 60), (60, 24), (1, 30), (30, 1)])
def test_many_missing_pixels_are_solved_as_the_whole_system_would_be(shape: tuple[int, int]) -> None:
    """Whatever order they are eliminated in; noise goes to the pixels row by row."""
    rng = np.random.default_rng(0)
    picture = rng.random((*shape, 3)).astype(np.float32)
    removed = rng.random(shape) < 0.8
    removed.ravel()[0] = False
    noise = np.arange(removed.sum())[:, None] * np.ones(3)
    found = imputed(picture, removed, noise)

    assert found[~removed].tolist() == picture[~removed].tolist()
    assert found[removed] - noise == pytest.approx(whole_system(picture, removed)[removed], abs=1e-4)


def whole_system(picture: FloatArray, removed: np.ndarray) -> np.ndarray:
    """Every pixel an unknown: those that stay are themselves, the others their neighbours' weighted mean."""
    height, width = removed.shape
    system, right = np.eye(height * width), np.zeros((height * width, 3))
    for y, x in np.ndindex(height, width):
        if not removed[y, x]:
            right[y * width + x] = picture[y, x]
            continue
        around = {
            (y + down) * width + x + across: 1 / 6 if 0 in (down, across) else 1 / 12
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
            if (down or across) and 0 <= y + down < height and 0 <= x + across < width
        }
        for place, share in around.items():
            system[y * width + x, place] = -share / sum(around.values())
    return np.linalg.solve(system, right).reshape(picture.shape)  # type: ignore[no-any-return]
