"""Bytes that are no picture, a broken one, or one that is too large: each fails by name, and nothing else happens."""

import random
import subprocess
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import PngImagePlugin

from shared.errors import ImageError
from tests.numeric.pictures import MODES, encoded, one_of_each, photo
from worker.core.picture.decode import decode
from worker.core.types import Limits

LIMITS = Limits()
#: Formats whose first bytes leave no doubt.
SIGNED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "QOI", "DDS")


def failure(data: bytes, limits: Limits = LIMITS) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, limits)
    return caught.value


def outcome(data: bytes) -> str:
    """`ok` or the code of the failure; any other exception ends the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = decode(data, Limits(max_pixels=1_000_000))
        except ImageError as error:
            return error.code
    assert picture.mode == "RGB"
    return "ok"


# Limits


def test_no_bytes_are_empty() -> None:
    """An empty file has a code of its own."""
    assert failure(b"").code == "empty"


def test_a_file_above_the_limit_of_bytes_is_not_opened() -> None:
    """The message names the size, the limit and the remedy."""
    data = encoded(photo(), "PNG")
    error = failure(data, Limits(max_bytes=len(data) - 1))

    assert error.code == "too_large"
    assert f"{len(data):,}" in error.message
    assert f"{len(data) - 1:,}" in error.message
    assert decode(data, Limits(max_bytes=len(data))).size == (60, 40)


def test_a_picture_above_the_limit_of_pixels_is_refused_and_one_at_it_is_not() -> None:
    """The limit is inclusive."""
    data = encoded(photo(), "PNG")
    error = failure(data, Limits(max_pixels=2399))

    assert (error.code, "60 x 40" in error.message, "2,399" in error.message) == ("too_large", True, True)
    assert decode(data, Limits(max_pixels=2400)).size == (60, 40)


def _png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + zlib.crc32(header).to_bytes(4, "big") + b"\0\0\0\0IDAT"


@pytest.mark.parametrize("side", [9_500, 14_000, 60_000, 2**31 - 1])
@pytest.mark.parametrize("strict", [False, True])
def test_a_bomb_is_refused_by_its_header(side: int, strict: bool) -> None:
    """Below, between and above Pillow's own two limits, and also where warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        assert failure(_png_header(side, side), Limits(max_pixels=50_000_000)).code == "too_large"


def test_a_bomb_inside_an_icon_is_refused() -> None:
    """The directory of an icon says 16 x 16, the PNG behind it 60000 x 60000."""
    icon = b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + (100).to_bytes(4, "little") + (22).to_bytes(4, "little")

    assert failure(icon + _png_header(60_000, 60_000)).code == "too_large"


def test_running_out_of_memory_fails_the_picture_and_not_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture within the limits may still be more than this machine can hold."""

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", exhausted)

    assert failure(encoded(photo(), "TGA")).code == "too_large"


def test_the_limit_may_lie_above_pillows_own() -> None:
    """Who raises the limit is not stopped by Pillow's: 14000 x 14000 is opened (and found to be cut off)."""
    assert failure(_png_header(14_000, 14_000), Limits(max_pixels=400_000_000)).code == "truncated"


def test_threads_with_different_limits_do_not_disturb_each_other() -> None:
    """The limit belongs to the call."""
    data = encoded(photo(), "PNG")

    def trial(number: int) -> bool:
        if number % 2:
            return failure(data, Limits(max_pixels=100)).code == "too_large"
        return decode(data, Limits(max_pixels=3000 + number)).size == (60, 40)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(trial, range(200)))


# Damage


@pytest.mark.parametrize("kind", SIGNED)
def test_a_picture_cut_off_anywhere_is_truncated_or_still_whole(kind: str) -> None:
    """At every length from behind the signature: never `not_an_image`, and below half never a success.

    Half a JPEG 2000 is by its design the whole picture, only coarser.
    """
    data = one_of_each()[f"{kind} RGB"]
    for length in range(16, len(data), max(1, len(data) // 60)):
        found = outcome(data[:length])
        assert found in {"truncated", "ok"}, length
        assert found == "truncated" or length > len(data) / 2 or kind == "JPEG2000", length


@pytest.mark.parametrize("kind", ["PNG", "GIF", "PCX"])
def test_a_whole_picture_with_broken_data_is_damaged(kind: str) -> None:
    """And not said to end early, which a new copy of the same file would not mend. (Few formats notice damage.)"""
    data = one_of_each()[f"{kind} RGB" if kind != "GIF" else "GIF P"]
    half = len(data) // 2
    torn = [data[:half] + bytes([value]) * 8 + data[half + 8 :] for value in range(256)]
    found = [outcome(each) for each in torn]

    assert "damaged" in found
    assert found.count("truncated") < len(found) / 10


def test_trailing_garbage_does_not_hurt() -> None:
    """A zip archive behind a JPEG, say, is not our business."""
    for name, data in one_of_each().items():
        if name in {"JPEG RGB", "PNG RGB", "GIF P", "WEBP RGB", "BMP RGB"}:
            assert outcome(data + b"PK\3\4" + b"x" * 1000) == "ok"


NOT_PICTURES = {
    "text": b"BM is how this text begins, as a BMP does.\n" * 20,
    "portable text": b"P1 is a priority\nPf" * 20,
    "html": b"<!DOCTYPE html><html><body><img src='cat.jpg'></body></html>",
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "pdf": b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\n%%EOF",
    "zip": b"PK\3\4\x14\0\0\0\0\0" + bytes(200),
    "zeros": bytes(1000),
    "one byte": b"\xff",
    "wmf": b"\xd7\xcd\xc6\x9a\0\0" + bytes(40),
    "emf": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(60),
    "mpeg": b"\0\0\1\xb3" + bytes(100),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "jxl": b"\xff\x0a" + bytes(100),
    "imt": b"*\nwidth 8\nheight 8\n\x0c" + bytes(64),
}


@pytest.mark.parametrize("kind", NOT_PICTURES)
def test_what_is_no_picture_is_named_so(kind: str) -> None:
    """The message says what to send instead."""
    error = failure(NOT_PICTURES[kind])

    if kind in ("svg", "pdf", "jxl", "html", "zip", "hdf5", "wmf", "emf", "mpeg"):
        assert error.code == "unsupported"
        assert "which camq does not read: " in error.message
    else:
        assert error.code == "not_an_image"
        assert "send JPEG" in error.message


def test_noise_is_no_picture() -> None:
    """Of random bytes hardly any look like a format, and none gets past the errors with a name."""
    rng = random.Random(7)
    codes = [outcome(rng.randbytes(400)) for _ in range(300)]

    assert codes.count("not_an_image") >= 295


def test_postscript_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by itself nor as the picture inside an IPTC file, though Ghostscript be installed."""
    started: list[object] = []
    monkeypatch.setattr(subprocess, "check_call", lambda *args, **_: started.append(args))
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **_: started.append(args))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\nshowpage\n%%EOF"
    fields = ((3, 20, b"\0\x09"), (3, 30, b"\0\x09"), (3, 60, b"\1\1"), (3, 120, b"\5"))
    iptc = b"".join(bytes([0x1C, a, b]) + len(v).to_bytes(2, "big") + v for a, b, v in fields)
    iptc += b"\x1c\x08\x0a" + len(eps).to_bytes(2, "big") + eps

    assert failure(eps).code == "unsupported"
    assert failure(iptc).code == "not_an_image"
    assert not started


def _mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        # The head of a file holds what its parser believes in.
        at = rng.randrange(min(len(changed), rng.choice((40, 200, len(changed)))))
        changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    start = rng.randrange(len(changed))
    match rng.randrange(6):
        case 0:
            del changed[start:]
        case 1:
            del changed[start : start + rng.randrange(1, 9)]
        case 2:
            changed[start:start] = changed[: rng.randrange(1, 64)]
    return bytes(changed)


@pytest.mark.parametrize("kind", sorted({name.split()[0] for name in one_of_each()} - {"ICNS"}))
def test_mutated_pictures_decode_or_fail_by_name(kind: str) -> None:
    """Seeded mutations of valid pictures in every mode: success or ImageError, nothing else."""
    rng = random.Random(f"camq {kind}")
    seeds = [one_of_each()[f"{kind} {mode}"] for mode in MODES if f"{kind} {mode}" in one_of_each()]
    seen = {outcome(_mutated(rng.choice(seeds), rng)) for _ in range(120)}

    assert seen <= {"ok", "truncated", "damaged", "not_an_image", "unsupported", "too_large", "empty"}
    assert len(seen) > 1


def test_a_compressed_text_in_a_png_cannot_fill_the_memory() -> None:
    """100 MB of zeros in a text chunk of 100 kB end as damage."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"zTXt", b"note\0\0" + zlib.compress(bytes(100_000_000), 9))

    assert outcome(encoded(photo(), "PNG", pnginfo=chunks)) == "damaged"
