"""The pictures of the benchmark: 500x375 JPEGs cut from free photographs, each file different."""

import io
import secrets
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

from PIL import Image
from skimage import data

SIZE = (500, 375)
#: Different cuts; a file of its own is made of a cut by a comment inside it, since equal bytes are stored once.
CUTS = 48
_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field")
_serial = count()


@cache
def cuts() -> tuple[bytes, ...]:
    """`CUTS` JPEGs of about 40 KB: several parts of several photographs, some mirrored, quality 90."""
    return tuple(_cut(number) for number in range(CUTS))


def _cut(number: int) -> bytes:
    photograph = Image.fromarray(getattr(data, _PHOTOGRAPHS[number % len(_PHOTOGRAPHS)])()).convert("RGB")
    width, height = photograph.size
    part = 0.6 + 0.4 * ((number * 7) % 10) / 10
    w, h = part * min(width, height * 4 / 3), part * min(height, width * 3 / 4)
    x, y = (width - w) * ((number * 3) % 5) / 4, (height - h) * ((number * 2) % 5) / 4
    picture = photograph.resize(SIZE, Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))
    if number % 2:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def fresh() -> Iterator[bytes]:
    """Pictures for ever, no two the same bytes, in this process or in another run of it."""
    run = secrets.token_hex(8)
    for serial in _serial:
        jpeg = cuts()[serial % CUTS]
        comment = f"camq bench {run} {serial}".encode()
        # FF D8, then a comment segment (FF FE, its length), then the rest as it was.
        yield jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def folder(path: Path, number: int) -> Path:
    """A new folder with so many fresh pictures."""
    path.mkdir(parents=True)
    for position, picture in zip(range(number), fresh(), strict=False):
        (path / f"{position:06d}.jpg").write_bytes(picture)
    return path
