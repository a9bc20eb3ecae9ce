"""Libraries that read what Pillow does not, each loaded when the first such picture is met.

A picture process can load nothing any more once it is confined. So it says what it needs, and another one is started
that has loaded it before (see `worker.pictures.lanes`).
"""

import codecs
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from shared.errors import ImageError
from shared.pictures import Library

#: Each with the extra of camq that installs it.
EXTRAS: Mapping[Library, str] = {"pillow_heif": "heic", "pydicom": "dicom", "tifffile": "tiff"}
#: These decode in a thread of their own, however few are asked for.
THREADED = frozenset({"pillow_heif"})
#: What is installed is found out now: later no folder can be read.
_INSTALLED = {name for name in EXTRAS if find_spec(name)}
#: Why a library that is installed could not be loaded.
_broken: dict[str, str] = {}
_loaded: set[str] = set()
_sealed = False


class NeededError(Exception):
    """This library has to be loaded for the picture."""

    def __init__(self, library: Library) -> None:
        super().__init__(library)
        self.library = library


def need(library: Library, what: str) -> Any:
    """The library's module, which `what` needs. ImageError where it cannot be loaded; once sealed, NeededError."""
    extra = EXTRAS[library]
    if library not in _INSTALLED:
        way = f"pip install 'camq[{extra}]' where the worker runs"
        raise ImageError("unsupported", f"{what} needs camq[{extra}]: {way}")
    if library not in _loaded and library not in _broken:
        if _sealed:
            raise NeededError(library)
        load(library)
    if library in _broken:
        raise ImageError("unsupported", f"{what} needs camq[{extra}], which cannot be loaded: {_broken[library]}")
    return sys.modules[library]


def seal() -> None:
    """From now on nothing can be loaded in this process."""
    global _sealed  # noqa: PLW0603 - it is a state of the process
    _sealed = True


def load(library: Library) -> None:
    """Load it, with all that it would load when first used. One that cannot be loaded fails its pictures alone."""
    try:
        module = import_module(library)
        _WARM[library](module)
        _loaded.add(library)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an installation, other pictures need this process
        _broken[library] = " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _heif(module: Any) -> None:
    module.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def _dicom(module: Any) -> None:
    module.config.settings.reading_validation_mode = module.config.IGNORE
    from pydicom.charset import python_encoding
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import AllTransferSyntaxes

    for encoding in python_encoding.values():
        with suppress(LookupError):
            codecs.lookup(encoding)
    for syntax in AllTransferSyntaxes:
        with suppress(NotImplementedError):
            _ = get_decoder(syntax).is_available
    with suppress(ImportError):  # then pictures in the transfer syntaxes that need it are refused
        import imagecodecs
        import numpy as np

        tiny = np.zeros((64, 64), np.uint16)
        imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(tiny, bitspersample=12))
        imagecodecs.htj2k_decode(imagecodecs.htj2k_encode(tiny, reversible=True))


def _tiff(module: Any) -> None:
    codecs.lookup("cp1252")  # as which it reads texts that are no UTF-8
    for known, codes in (module.TIFF.DECOMPRESSORS, module.COMPRESSION), (module.TIFF.UNPREDICTORS, module.PREDICTOR):
        for code in codes:
            with suppress(KeyError, ImportError, AttributeError, NotImplementedError):
                known[code]
    for name in ("bitorder_decode", "packints_decode", "float24_decode"):
        getattr(module.tifffile.imagecodecs, name)
    with module.TiffFile(BytesIO(_tiny(module))) as file:
        list(file.pages[0].segments(maxworkers=1))


def _tiny(module: Any) -> bytes:
    import numpy as np

    file = BytesIO()
    module.imwrite(file, np.zeros((2, 2, 5), np.uint16), photometric="minisblack", compression="zlib", predictor=True)
    return file.getvalue()


_WARM: Mapping[str, Callable[[Any], None]] = {"pillow_heif": _heif, "pydicom": _dicom, "tifffile": _tiff}
