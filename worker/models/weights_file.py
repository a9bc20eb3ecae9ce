"""Where a worker's files come from: this machine, or an object that is brought to it first."""

import hashlib
import os
import shutil
from contextlib import closing
from pathlib import Path, PurePosixPath

from platformdirs import user_cache_path

from shared.config import Settings
from shared.errors import ModelError
from shared.storage import SCHEME, S3Store

#: Three times the largest that torchvision publishes; the object is held in memory on its way to the disk.
MOST_BYTES = 8 << 30


def local_file(settings: Settings, address: str) -> Path:
    """The file at an address, with its `#KEY` if it has one.

    An `s3://` address is downloaded into this user's cache once for each state of the object, of which only
    the newest is kept. The file keeps the name by which a published one is known. Raises ModelError when nothing is
    there, UnreachableError when storage is away.
    """
    if not address.startswith(SCHEME):
        return Path(address)
    with closing(S3Store.from_settings(settings)) as store:
        stat, key = store.stat(address), ""
        if stat is None and "#" in address:
            address, _, key = address.rpartition("#")
            stat = store.stat(address)
        if stat is None:
            raise ModelError(f"there is nothing at {address} on {settings.s3_endpoint}")
        if stat.size > MOST_BYTES:
            raise ModelError(f"the file at {address} has {stat.size:,} bytes, more than {MOST_BYTES:,}")
        folder = user_cache_path("camq") / "weights" / _mark(f"{settings.s3_endpoint} {address}")
        path = folder / _mark(str(stat)) / PurePosixPath(address).name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_bytes(store.get(address, MOST_BYTES))
            part.replace(path)  # whole or not at all, also when two workers start at once
    for other in folder.iterdir():
        if other != path.parent:  # an earlier state of the object: who has read it needs the file no more
            shutil.rmtree(other, ignore_errors=True)
    return path.with_name(f"{path.name}#{key}") if key else path


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
