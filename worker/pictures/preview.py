"""`python -m worker.pictures.preview`: small pictures of originals for a page, of whatever workers read.

A page's own process (`producer.web.kit.preview_process`) makes those of common files; this one is asked for the rest.
"""

import msgspec

from shared.contract.preview import LIMIT_S, MAX_PIXELS, MEMORY, PreviewRequest
from shared.errors import ImageError
from shared.pictures import small_webp
from shared.processes.confined import Channel, Data, allow_seconds, confine
from worker.core.picture.decode import PostponedError, decode
from worker.core.picture.libraries import EXTRAS, load, seal
from worker.core.types import Limits, Reading


def preview(data: Data, request: PreviewRequest) -> bytes | None:
    """The page asked for, upright and as bright as its overlay, as WebP; None for what workers do not read either."""

    def look(pixels: int) -> None:
        if pixels > MAX_PIXELS:
            raise PostponedError

    reading = Reading(request.range, request.keep_truncated, request.page, exif=request.exif)
    try:
        picture = decode(data, Limits(max_bytes=len(data), max_pixels=MAX_PIXELS), look, reading)
        return small_webp(picture, request.side)
    except (ImageError, PostponedError, MemoryError):
        return None


def answer(head: bytearray, body: bytearray) -> tuple[bytes, list[Data]]:
    """The head is a `PreviewRequest`, the body a file; the answer's body its preview, or nothing."""
    allow_seconds(LIMIT_S)
    small = preview(body, msgspec.json.decode(head, type=PreviewRequest))
    allow_seconds(0)
    return b"", [small or b""]


def main() -> None:
    """Answers until the parent closes its end."""
    channel = Channel()
    for library in EXTRAS:  # those that are installed
        load(library)
    answer(
        bytearray(b'{"side":16}'), bytearray(b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;")
    )  # and the encoder
    seal()
    confine(MEMORY, threads=True)  # a decoder of HEIC has threads of its own
    channel.serve(answer)


if __name__ == "__main__":
    main()
