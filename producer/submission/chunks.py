"""How images are put together into chunks, one message each."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat

from shared.contract import ImageRef

#: A job's first images travel in small chunks: many workers get a share, and little is done again after a death.
SMALL = 32
#: So many of them; who has more images than these hold counts images per second. A message costs a worker some ten
#: milliseconds of a core whatever it carries, so larger chunks then cost a third as much per image.
SMALL_ONES = 256
#: Not as large as they could be: an urgent job waits until a worker has finished a chunk, reckoned 3 seconds for
#: ResNet18 on two cores (45 images/s); 13 seconds at 10 images/s, where `CAMQ_CHUNK_SIZE=32` when submitting helps.
LARGE = 128

#: Of pictures whose maps are evaluated, each of which takes some sixty forwards for every method.
EVALUATED = 8


def chunks(images: Iterable[ImageRef], size: int | None) -> Iterator[list[ImageRef]]:
    """`size` images each, or as many as suit the job. A submission that is resumed makes the same ones."""
    sizes = chain(repeat(SMALL, SMALL_ONES), repeat(LARGE)) if size is None else repeat(size)
    left = iter(images)
    for room in sizes:
        chunk = list(islice(left, room))
        if not chunk:
            return
        yield chunk
