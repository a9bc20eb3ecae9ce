"""`python -m worker.image.decode_child`: decodes pictures of any format in a process with limits of its own.

On stdin each picture as its length (8 bytes, big-endian) and its bytes; on stdout for each a JSON line (`Reply`)
and, when it was decoded, its RGB bytes. The settings come from the environment, as everywhere.
"""

import resource
import sys
import warnings
from contextlib import suppress
from typing import BinaryIO

import msgspec

from shared.config import Settings
from shared.contract import ErrorInfo
from shared.errors import ImageError
from worker.core.picture.decode import decode
from worker.core.types import Limits

LENGTH_BYTES = 8
#: Python, Pillow and NumPy take well under this; a picture's pixels come on top.
BASE_BYTES = 1 << 30
#: The decoder's own frame, its conversion to RGB, a transposed copy: four bytes of each pixel at most four times.
BYTES_PER_PIXEL = 16


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The size of the picture whose bytes follow, or what is wrong with it."""

    width: int = 0
    height: int = 0
    error: ErrorInfo | None = None


def main(settings: Settings, pictures: BinaryIO, replies: BinaryIO) -> None:
    """Answers until stdin ends."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # one for each broken tag of a picture, into the worker's log
    limits = Limits(settings.max_image_bytes, settings.max_image_pixels)
    _limit(resource.RLIMIT_AS, BASE_BYTES + BYTES_PER_PIXEL * limits.max_pixels)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    while header := pictures.read(LENGTH_BYTES):
        data = pictures.read(int.from_bytes(header))
        _allow_seconds(settings.decode_s)
        try:
            picture = decode(data, limits)
        except ImageError as error:
            reply, pixels = Reply(error=ErrorInfo(error.code, error.message)), b""
        else:
            reply, pixels = Reply(picture.width, picture.height), picture.tobytes()
        replies.write(msgspec.json.encode(reply) + b"\n")
        replies.write(pixels)
        replies.flush()


def _limit(what: int, value: int) -> None:
    with suppress(ValueError, OSError):  # macOS knows some of them and enforces few
        resource.setrlimit(what, (value, value))


def _allow_seconds(seconds: float) -> None:
    """The parent watches the clock; this ends a decoder that spins after its parent stopped watching."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    own_stdout, sys.stdout = sys.stdout.buffer, sys.stderr  # a library that prints must not break the protocol
    main(Settings.load(), sys.stdin.buffer, own_stdout)
