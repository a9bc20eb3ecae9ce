"""`python -m producer.web.kit.preview_process`: makes thumbnails of strangers' pictures, and can do nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.web.kit.thumbnails import LIMIT_S, MEMORY, thumbnail
from shared.pictures import readable_formats
from shared.processes.confined import Channel, allow_seconds, confine

if TYPE_CHECKING:
    from shared.processes.confined import Data


def answer(head: bytearray, body: bytearray) -> tuple[bytes, list[Data]]:
    """The head is the longest side in digits, the body a picture; the answer's body its thumbnail, or nothing."""
    allow_seconds(LIMIT_S)
    small = thumbnail(bytes(body), int(head))
    allow_seconds(0)
    return b"", [small or b""]


if __name__ == "__main__":
    readable_formats()  # loads every decoder
    thumbnail(b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", 16)  # and the encoder
    channel = Channel()
    confine(MEMORY)
    channel.serve(answer)
