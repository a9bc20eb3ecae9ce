"""How images are put together into chunks, one message each."""

from collections.abc import Iterable, Iterator
from itertools import chain, repeat

from producer.submission.entrance import Placed

#: A job's first images travel in small chunks: many workers get a share, and little is done again after a death.
SMALL = 32
#: So many of them; who has more images than these hold counts images per second. A message costs a worker some ten
#: milliseconds of a core whatever it carries, so larger chunks then cost a third as much per image.
SMALL_ONES = 256
#: Not as large as they could be: an urgent job waits until a worker has finished a chunk, reckoned 3 seconds for
#: ResNet18 on two cores (45 images/s); 13 seconds at 10 images/s, where `CAMQ_CHUNK_SIZE=32` when submitting helps.
LARGE = 128
#: Bytes that the sources of one chunk may hold in memory, and the last of them more, since they are kept until it is
#: registered. A chunk of pictures in memory may end here, before it has as many as it might.
HELD_AT_MOST = 256 << 20


def chunks(images: Iterable[Placed], size: int | None) -> Iterator[list[Placed]]:
    """`size` images each, or as many as suit the job, or fewer that hold enough data.

    A submission that is resumed makes the same ones.
    """
    sizes = chain(repeat(SMALL, SMALL_ONES), repeat(LARGE)) if size is None else repeat(size)
    chunk: list[Placed] = []
    room, held = next(sizes), 0
    for image in images:
        chunk.append(image)
        held += image.source.held
        if len(chunk) == room or held >= HELD_AT_MOST:
            yield chunk
            chunk, room, held = [], next(sizes), 0
    if chunk:
        yield chunk
