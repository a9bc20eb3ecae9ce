"""What the files of one image are called in a download: by its index, or after its picture."""

import re
import unicodedata
from pathlib import PurePosixPath

from shared.contract import ImageRecord

#: The ways of naming files.
BY = ("index", "source")
#: A name has 255 bytes, and a letter four at most.
_LONGEST = 50
_ODD = re.compile(r"[^\w.-]+")


class FileNames:
    """Gives each image a name that no other image of the job has, on any file system. Ask in the order of images."""

    def __init__(self, by: str) -> None:
        self._by_source = by == "source"
        self._given: set[str] = set()

    def stem(self, record: ImageRecord) -> str:
        """Such as `cat`, or `cat-17` where another picture was called so before."""
        if not self._by_source:
            return str(record.index)
        wanted = _plain(record.source)
        name, more = wanted, str(record.index)
        while name.casefold() in self._given:
            name, more = f"{wanted}-{more}", f"{more}-{record.index}"
        self._given.add(name.casefold())
        return name


def _plain(source: str) -> str:
    """The last part of a path or an address, without its suffix, in letters, digits, `.`, `-` and `_`."""
    last = PurePosixPath(unicodedata.normalize("NFC", source).replace("\\", "/")).stem
    return _ODD.sub("_", last)[:_LONGEST].strip(".") or "image"
