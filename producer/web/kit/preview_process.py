"""`python -m producer.web.kit.preview_process`: makes thumbnails of strangers' pictures, and can do nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from producer.web.kit.thumbnails import thumbnail
from shared.contract.preview import LIMIT_S, MEMORY, PreviewRequest
from shared.pictures import readable_formats
from shared.processes.confined import Channel, allow_seconds, confine

if TYPE_CHECKING:
    from shared.processes.confined import Data


def answer(head: bytearray, body: bytearray) -> tuple[bytes, list[Data]]:
    """The head is a `PreviewRequest` of a first page, the body a file; the answer's body its thumbnail, or none."""
    allow_seconds(LIMIT_S)
    request = msgspec.json.decode(head, type=PreviewRequest)
    small = thumbnail(bytes(body), request.side, exif=request.exif)
    allow_seconds(0)
    return b"", [small or b""]


if __name__ == "__main__":
    readable_formats()  # loads every decoder
    answer(
        bytearray(b'{"side":16}'), bytearray(b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;")
    )  # and the encoder
    channel = Channel()
    confine(MEMORY)
    channel.serve(answer)
