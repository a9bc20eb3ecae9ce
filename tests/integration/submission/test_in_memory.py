"""Pictures that a Python program holds."""

import asyncio
import gzip
import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from producer.inputs.expand import Expansion
from producer.inputs.source import Source
from shared.errors import ImageError, UsageError
from shared.storage import MemoryStore

LIMIT = 1_000_000
COLOURS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14
#: Newlines inside, so that whoever reads it by lines finds several.
JPEG = io.BytesIO()
Image.effect_noise((64, 64), 90).save(JPEG, "JPEG")
DATA = JPEG.getvalue()


def expand(given: object) -> list[Source]:
    return list(Expansion(given, store=MemoryStore))


def pixels(source: Source) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(source.read(LIMIT))) as image:
        return np.asarray(image)


def spooled() -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - handed on open
    file.write(DATA)
    file.seek(0)
    return file


def zipped() -> Any:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner.jpg", DATA)
    return zipfile.ZipFile(buffer).open("inner.jpg")


class Upload:
    """As Starlette and FastAPI hand on an upload."""

    filename = "phone.jpg"

    def __init__(self, file: Any) -> None:
        self.file = file

    async def read(self) -> bytes:
        return DATA


class Posted(io.BytesIO):
    """As Flask does: `name` is the field of the form, `filename` the picture's."""

    name, filename = "photo", "phone.jpg"


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: io.BytesIO(DATA), "image-0"),
        (spooled, "image-0"),
        (zipped, "inner.jpg"),
        (lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(DATA))), "image-0"),
        (lambda: Posted(DATA), "phone.jpg"),
        (lambda: Upload(io.BytesIO(DATA)), "phone.jpg"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_an_open_file_is_one_picture_alone_and_in_a_list(make: Callable[[], Any], name: str, alone: bool) -> None:
    """Never its lines."""
    assert DATA.count(b"\n") > 1
    given = make()

    (source,) = expand(given if alone else [given])

    assert (source.name, source.read(LIMIT), source.read(LIMIT)) == (name, DATA, DATA)


def test_an_upload_that_only_a_coroutine_reads_names_the_way() -> None:
    """What it returns is taken."""
    upload = Upload(None)
    with pytest.raises(
        UsageError, match=r"'phone.jpg' is read by a coroutine: give what `await file.read\(\)` returns"
    ):
        expand(upload)

    assert len(expand(asyncio.run(upload.read()))) == 1


def test_a_file_that_was_closed_fails_alone(tmp_path: Path) -> None:
    """Neighbours go on; alone it is a usage error that says what to do."""
    (tmp_path / "a.jpg").write_bytes(DATA)
    with (tmp_path / "a.jpg").open("rb") as file:
        pass
    closed, good = expand([file, DATA])

    with pytest.raises(ImageError, match="keep the file open until `submit` returns"):
        closed.read(LIMIT)
    assert good.read(LIMIT) == DATA
    with pytest.raises(UsageError, match="keep the file open"):
        expand(file)


def test_a_pil_image_that_was_closed_fails_alone(tmp_path: Path) -> None:
    """Its pixels were never read."""
    (tmp_path / "a.jpg").write_bytes(DATA)
    with Image.open(tmp_path / "a.jpg") as image:
        pass
    (source,) = expand(image)

    with pytest.raises(ImageError, match="closed"):
        source.read(LIMIT)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (COLOURS, COLOURS),
        (COLOURS[:, :, 0], COLOURS[:, :, 0]),
        (COLOURS[:, :, :1], COLOURS[:, :, 0]),
        (np.dstack([COLOURS, COLOURS[:, :, 0]]), np.dstack([COLOURS, COLOURS[:, :, 0]])),
        (COLOURS / 255, COLOURS),
        ((COLOURS / 255).astype(np.float16), COLOURS),
        (COLOURS[:, :, 0] > 50, (COLOURS[:, :, 0] > 50) * 255),
        (COLOURS[:, :, 0].astype(np.uint16) * 200, COLOURS[:, :, 0].astype(np.uint16) * 200),
        (COLOURS[::-1, ::-1], COLOURS[::-1, ::-1]),
        (torch.from_numpy(COLOURS.transpose(2, 0, 1).copy()), COLOURS),
        (torch.from_numpy(COLOURS.transpose(2, 0, 1).copy()).double() / 255, COLOURS),
        (torch.from_numpy(COLOURS), COLOURS),
        (torch.from_numpy(COLOURS[:, :, 0].copy())[None], COLOURS[:, :, 0]),
        (torch.from_numpy(COLOURS.transpose(2, 0, 1) / 255).requires_grad_(), COLOURS),
    ],
)
def test_an_array_or_a_tensor_is_the_picture_of_its_numbers(array: Any, expected: np.ndarray[Any, Any]) -> None:
    """Arrays have their channels last, tensors first; floats go from 0 to 1."""
    (alone,), (one, other) = expand(array), expand([array, array])

    assert alone.name == "image-0"
    for source in (alone, one, other):
        assert np.array_equal(pixels(source), expected)


@pytest.mark.parametrize("batch", [np.stack([COLOURS] * 3), torch.zeros(3, 3, 2, 3)])
def test_a_batch_is_as_many_pictures(batch: Any) -> None:
    """Its first dimension counts them."""
    assert [source.name for source in expand(batch)] == ["image-0", "image-1", "image-2"]


def test_bfloat16_is_taken() -> None:
    """NumPy does not know it."""
    (source,) = expand(torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16))

    assert pixels(source).mean() == 128


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (COLOURS.transpose(2, 0, 1)[:, :, :2], r"shape \(3, 2, 2\).*\.transpose\(1, 2, 0\)"),
        (COLOURS.astype(np.int64), "a numpy.ndarray of shape .* and type int64 .* convert whole numbers"),
        (COLOURS.reshape(-1), r"give \.tobytes\(\)"),
        (COLOURS[:, :0], "is not a picture"),
        (torch.zeros(()), r"a torch\.Tensor of shape \(\)"),
        (torch.zeros(7, 5, 5), "expected CxHxW"),
    ],
)
def test_an_array_that_is_no_picture_is_refused_with_its_type_and_the_way(array: Any, says: str) -> None:
    """Before anything is uploaded."""
    with pytest.raises(UsageError, match=says):
        expand(array)


@pytest.mark.parametrize("values", [COLOURS - 2.0, COLOURS * 1.0, COLOURS * np.nan, torch.randn(3, 8, 8) * 9])
def test_floats_outside_0_to_1_fail_alone(values: Any) -> None:
    """A normalized picture, or one from 0 to 255, would be explained wrongly."""
    odd, good = expand([values, COLOURS])

    with pytest.raises(ImageError, match=r"float array with values from .*: expected 0 to 1; undo the normalization"):
        odd.read(LIMIT)
    assert np.array_equal(pixels(good), COLOURS)


def test_a_tensor_without_plain_storage_fails_alone() -> None:
    """torch's own sentence says what to do."""
    (source,) = expand(torch.zeros(3, 4, 4).to_sparse())

    with pytest.raises(ImageError, match="to_dense"):
        source.read(LIMIT)


def test_a_file_that_gives_text_fails_alone() -> None:
    """Not all that is open as text says so."""

    class Odd:
        def read(self) -> str:
            return "text"

    (source,) = expand(Odd())

    with pytest.raises(ImageError, match=r"read\(\) gave a str"):
        source.read(LIMIT)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "a NoneType is not an image: give a path"),
        ([None], "a NoneType is not an image"),
        (3, "an int is not an image"),
        (torch.device("cpu"), r"a torch\.device is not an image"),
        (open(__file__, encoding="utf-8"), "mode 'rb'"),  # noqa: PTH123, SIM115
        (torch.utils.data.DataLoader([1]), r"give its \.dataset"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_picture_is_refused_with_its_type_and_the_way(given: object, says: str) -> None:
    """The way is one that works for that type."""
    with pytest.raises(UsageError, match=says):
        expand(given)
