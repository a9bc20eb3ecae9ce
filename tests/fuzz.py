"""`python -m tests.fuzz`: damaged pictures of every format through a picture process, for a time.

Each must have an answer of its own within its time: decoded and drawn, or failed with a code that names what is wrong.
What ends a process, raises what nobody foresaw, or is decoded by Pillow and not by camq, is kept in a folder, and the
exit status is 1.
"""

import argparse
import hashlib
import random
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from shared.contract import Options
from shared.errors import ImageError
from shared.pictures import readable_formats
from tests.numeric.pictures import class_map, one_of_each
from tests.support.pictures.bombs import jpeg, png, tiff
from tests.support.pictures.odd_files import scientific_tiffs, telephones_and_scanners
from worker.core.types import InputSpec, Limits
from worker.pictures import wire
from worker.pictures.pool import Pictures

#: What a damaged picture may end as.
FORESEEN = {"decoded", "empty", "not_an_image", "unsupported", "truncated", "damaged", "too_large", "timeout"}
MOST_PIXELS = 20_000_000
#: Numbers at which sizes, counts and offsets go wrong.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MAPS = (class_map(np.eye(7)),)


def corpus() -> list[bytes]:
    """A small valid file of each format and mode that Pillow writes, of what other libraries read, and small bombs."""
    odd = [file.data for maker in (scientific_tiffs, telephones_and_scanners) for _, file in maker()]
    return [*one_of_each().values(), *odd, png(64, 64, 3, 1), png(64, 64, 0, 16), tiff(64, 64), jpeg(64, 64, 20, 3)]


def damaged(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to eight changes: bits, bytes, edge numbers, pieces cut out, repeated, or taken from another picture."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        # Headers hold what is worth changing.
        at = rng.randrange(min(len(found), rng.choice((64, 512, 1 << 30))) or 1)
        size = rng.choice((1, 2, 4))
        match rng.randrange(6):
            case 0:
                found[at : at + 1] = bytes([(found[at] if found else 0) ^ 1 << rng.randrange(8)])
            case 1:
                found[at : at + size] = rng.randbytes(size)
            case 2:
                number = rng.choice(EDGES) & (1 << 8 * size) - 1
                found[at : at + size] = number.to_bytes(size, rng.choice(("big", "little")))
            case 3:
                del found[at : at + rng.randint(1, 64)]
            case 4:
                found[at:at] = found[at : at + rng.randint(1, 64)] * rng.randint(1, 4)
            case _:
                other = rng.choice(others)
                start = rng.randrange(len(other))
                found[at:at] = other[start : start + rng.randint(1, 256)]
    return bytes(found)


def pillows_own(folder: Path) -> list[bytes]:
    """The pictures with which the installed Pillow is tested; they come with its source, from the package index."""
    release = f"pillow-{PIL.__version__}"
    archive = folder / f"{release}.tar.gz"
    if not archive.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "pillow"]
        subprocess.run([*pip, "--dest", str(folder), f"pillow=={PIL.__version__}"], check=True)
    with tarfile.open(archive) as source:
        names = [member for member in source if member.isfile() and member.name.startswith(f"{release}/Tests/images/")]
        return [file.read() for member in names if (file := source.extractfile(member))]


def readable(data: bytes) -> bool:
    """Whether Pillow decodes it, within our limits and formats."""
    try:
        with Image.open(BytesIO(data), formats=readable_formats()) as picture:
            if picture.width * picture.height <= MOST_PIXELS:
                picture.load()
                return True
    except Exception:  # noqa: BLE001 - these are made to raise anything
        pass
    return False


def batched(all_of_them: list[bytes], size: int) -> Iterator[list[bytes]]:
    """So many at a time."""
    return (all_of_them[start : start + size] for start in range(0, len(all_of_them), size))


def run(pictures: Pictures, data: bytes) -> str:
    """What becomes of it."""
    try:
        with pictures.open(data, Options(top_k=1), lambda: None) as picture:
            picture.draw(MAPS)
            return "decoded"
    except ImageError as error:
        return error.code if error.code in FORESEEN else f"{error.code}: {error.message}"


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pillow", action="store_true", help="Pillow's own test pictures first, from its source")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="what was found goes there")
    asked = parser.parse_args(arguments)
    rng, seeds, fates = random.Random(asked.seed), corpus(), Counter[str]()
    setup = wire.Setup(InputSpec(), Limits(max_pixels=MOST_PIXELS), 10.0)
    end, found = time.monotonic() + 60 * asked.minutes, 0
    with closing(Pictures(setup, asked.processes)) as pictures, ThreadPoolExecutor(2 * asked.processes) as threads:
        own = pillows_own(asked.out) if asked.pillow else []
        whole = batched(own, 64)
        while (batch := next(whole, ())) or time.monotonic() < end:
            batch = batch or [damaged(rng.choice(seeds), seeds, rng) for _ in range(64)]
            for data, fate in zip(batch, threads.map(lambda data: run(pictures, data), batch), strict=True):
                fates[fate.partition(":")[0]] += 1
                if fate not in FORESEEN or (fate != "decoded" and data in own and readable(data)):
                    found += 1
                    asked.out.mkdir(parents=True, exist_ok=True)
                    name = asked.out / hashlib.sha256(data).hexdigest()[:16]
                    name.write_bytes(data)
                    print(f"{name}  {fate}", file=sys.stderr)  # noqa: T201
    print(f"{sum(fates.values())} pictures, {found} findings: {dict(fates.most_common())}")  # noqa: T201
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
