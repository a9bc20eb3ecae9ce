"""A folder of odd files through real picture processes: each is a picture, or ends with the right code and the way."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from shared.contract import Options
from shared.errors import ImageError
from tests.support.pictures.odd_files import MAKERS, Odd, of_pillow
from worker.core.types import InputSpec, Limits
from worker.pictures import wire
from worker.pictures.pool import Pictures


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    """One, as a worker starts it; it loads its libraries as the files need them."""
    with closing(Pictures(wire.Setup(InputSpec(), Limits(), 60.0), 1)) as made:
        yield made


def fate(pictures: Pictures, odd: Odd, **options: object) -> tuple[str, str]:
    """`ok` or the code of the failure, and what was said."""
    wishes = Options(overlay_size=32, **options)  # type: ignore[arg-type]
    try:
        with pictures.open(odd.data, wishes, lambda: None, page=odd.page) as picture:
            flat = int(picture.pixels.max()) - int(picture.pixels.min()) < 20
            return "flat" if flat else "ok", " ".join(warning.message for warning in picture.warnings)
    except ImageError as error:
        return error.code, error.message


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_each_odd_file_has_the_right_code(pictures: Pictures, maker: Callable[[], Iterator[tuple[str, Odd]]]) -> None:
    """And its message, or the warning of its result, says what it must; no picture is black without a warning."""
    wrong = []
    for name, odd in maker():
        code, said = fate(pictures, odd)
        if code == "flat" and maker is of_pillow:  # Pillow itself clips some modes of ours when it writes them
            code = "ok"
        if code != odd.fate or odd.said not in said or (code == "unsupported" and ":" not in said):
            wrong.append(f"{name}: {code}, not {odd.fate} with {odd.said!r}: {said}")

    assert wrong == []


def test_there_are_at_least_two_hundred() -> None:
    """All makers together."""
    assert sum(1 for maker in MAKERS for _ in maker()) >= 200


def test_a_picture_that_ends_early_may_be_kept(pictures: Pictures) -> None:
    """What is there, and the result says so; of what has nothing there, nothing is made up."""
    from tests.numeric.pictures import encoded, photo

    for kind in ("JPEG", "PNG", "BMP", "TIFF", "PPM"):
        data = encoded(photo(300, 200), kind)
        cut = Odd(data[: len(data) * 2 // 3])
        assert fate(pictures, cut)[0] == "truncated"
        code, said = fate(pictures, cut, truncated="keep")
        assert (kind, code) == (kind, "ok")
        assert said.startswith("the picture ends early or is damaged (")
        assert fate(pictures, Odd(data), truncated="keep") == ("ok", "")
    png = encoded(photo(), "PNG")
    assert fate(pictures, Odd(png[:60]), truncated="keep")[0] == "truncated"
