"""The one rule for what is a picture among many files: on disk, in archives, on S3."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import PurePath

from producer.inputs.left_out import LeftOut
from shared.pictures import SIGNATURE
from shared.unsupported import HEAD_BYTES, unsupported

#: A file that is called so is a picture; if its bytes say otherwise, it fails by name instead of being passed over.
SUFFIXES = ".jpg .jpeg .jpe .jfif .png .apng .gif .webp .bmp .dib .tif .tiff .avif .avifs .jp2 .j2k .jpx .ico .icns"
SUFFIXES += " .ppm .pgm .pbm .pnm .pfm .tga .pcx .sgi .dds .qoi .psd"
#: The same, where the library that reads them is installed here.
_BY_LIBRARY = {".heic": "pillow_heif", ".heif": "pillow_heif", ".hif": "pillow_heif", ".dcm": "pydicom"}
_SUFFIXES = frozenset(SUFFIXES.split())

__all__ = ["HEAD_BYTES", "is_wanted", "named_like_a_picture"]


def named_like_a_picture(name: str) -> bool:
    """Whether the name ends like a picture's."""
    suffix = PurePath(name).suffix.lower()
    library = _BY_LIBRARY.get(suffix)
    return suffix in _SUFFIXES or (library is not None and find_spec(library) is not None)


def is_wanted(name: str, head: Callable[[], bytes], left_out: LeftOut) -> bool:
    """Whether a file is a picture, by its name or else by its first `HEAD_BYTES`; one that is not is counted.

    `head` may raise OSError: what cannot be read is counted as well.
    """
    if named_like_a_picture(name):
        return True
    try:
        first = head()
    except OSError:
        left_out.file(name)
        return False
    kind = unsupported(first)
    if SIGNATURE.match(first) or (kind is not None and kind.readable):
        return True
    left_out.file(name, kind.way if kind else "")
    return False
