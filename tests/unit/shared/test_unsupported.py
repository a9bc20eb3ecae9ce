"""What camq does not read is called by its name, with the way to a picture."""

import io
import zipfile

import numpy as np
import pytest

from shared.errors import CODES
from shared.pictures import SIGNATURE, looks_like_a_picture, refusal
from shared.unsupported import HEAD_BYTES, unsupported
from tests.support.jobs.scripted_worker import picture


def array_file() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("a", "b")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "way"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", "heif-convert"),
        (bytes(128) + b"DICM\2\0\0\0", "DICOM", "pydicom"),
        (b"\xff\x0a" + bytes(9), "JPEG XL", "djxl"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", "rsvg-convert"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg>', "SVG", "rsvg-convert"),
        (b"%PDF-1.4\n", "PDF", "pdftoppm"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript", "gs "),
        (b"\0\0\0\x20ftypisom", "a video", "ffmpeg"),
        (b"\0\0\0\x18ftypcrx ", "a camera's raw file", "develop"),
        (array_file(), "a NumPy array", "submit the array"),
        (archive(), "an archive", "unpack"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS", "git lfs pull"),
        (b"../../.git/annex/objects/ab/cd", "a pointer of git-annex", "git annex get"),
        (b"<!DOCTYPE html><html>404</html>", "a web page", "download"),
        (b"\xef\xbb\xbf\n<HTML>", "a web page", "download"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "an error message of S3", "download"),
    ],
)
def test_a_known_kind_says_what_it_is_and_how_to_convert_it(data: bytes, name: str, way: str) -> None:
    """By its first bytes alone."""
    code, message = refusal(data)

    assert code == "unsupported"
    assert message.startswith(f"this is {name}, which camq does not read: ")
    assert way in message
    assert unsupported(data[:HEAD_BYTES]) == unsupported(data)
    assert not SIGNATURE.match(data)
    assert code in CODES


@pytest.mark.parametrize("data", [b"text", b"", b"{}", b"Python is fun", bytes(300)])
def test_what_nothing_is_known_of_is_no_image(data: bytes) -> None:
    """And no kind is guessed."""
    assert refusal(data)[0] == "not_an_image"


def test_a_picture_begins_like_one() -> None:
    """The rule by which folders are searched."""
    assert SIGNATURE.match(picture())
    assert SIGNATURE.match(b"P6\n# by a camera\n3 2\n255\n")
    assert not SIGNATURE.match(b"P1 is a priority")


@pytest.mark.parametrize("length", range(1, 17))
@pytest.mark.parametrize("byte", [b"\0", b"B", b"\xff"])
def test_a_file_of_a_few_bytes_is_no_picture(byte: bytes, length: int) -> None:
    """Some of Pillow's checks raise for it, which would cost its whole job."""
    assert not looks_like_a_picture(byte * length)


@pytest.mark.parametrize(
    "name", ["data:image/png;base64,iVBORw0KGgo=", "/9j/cat.jpg", "ID3.png", "GRIB_1.png", "BUFR.tif", "OggS"]
)
def test_a_list_of_names_is_no_kind_of_file(name: str) -> None:
    """Standard input may be one."""
    assert unsupported(f"{name}\nother.png\n".encode()) is None
