"""What people send as pictures that camq does not read: how it is recognised, and how to convert it."""

import re
from typing import NamedTuple

#: The patterns look at no more than these first bytes.
HEAD_BYTES = 256


class Kind(NamedTuple):
    """A kind of file: its name, and the way to a picture that camq reads."""

    name: str
    way: str


ARCHIVE = "an archive"
_IN_PYTHON = "load it in Python and submit the array"
_FRAMES = "extract frames: ffmpeg -i FILE frames/%06d.png"
_DEVELOP = "develop it to JPEG, PNG or TIFF first"
_WEB_PAGE = "download the picture itself: this is what a server answered instead"
_KINDS = (
    (rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC", "convert it: heif-convert FILE FILE.jpg"),
    (rb".{128}DICM", "DICOM", "save it as 8-bit PNG with pydicom: window and level are the reader's choice"),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "convert it: djxl FILE FILE.png"),
    (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!DOCTYPE svg[^>]*>\s*)?<svg", "SVG",
     "draw it: rsvg-convert FILE -o FILE.png"),
    (rb"%PDF-", "PDF", "draw its pages: pdftoppm -png FILE page"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript", "draw it: gs -sDEVICE=png16m -o FILE.png FILE"),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|IIR[OS]|IIU\0|FOVb", "a camera's raw file", _DEVELOP),
    (rb"....ftyp(?:isom|iso[2-9]|mp4[12]|avc1|qt  |M4V |3gp|dash)|\x1aE\xdf\xa3|RIFF....AVI ", "a video", _FRAMES),
    (rb"v/1\x01", "OpenEXR", "tone-map it to PNG or 32-bit TIFF"),
    (rb"#\?(?:RADIANCE|RGBE)", "Radiance HDR", "tone-map it to PNG or 32-bit TIFF"),
    (rb"\x93NUMPY", "a NumPy array", _IN_PYTHON),
    (rb"\x89HDF\r\n\x1a\n|CDF[\x01\x02\x05]", "HDF5 or NetCDF", _IN_PYTHON),
    (rb"PAR1", "Parquet", "give it as a table: --manifest FILE"),
    (rb"PK\x03\x04|PK\x05\x06|\x1f\x8b|BZh|\xfd7zXZ|Rar!|7z\xbc\xaf", ARCHIVE, "name the archive itself, or unpack it"),
    (rb"version https://git-lfs", "a pointer of Git LFS", "fetch the picture: git lfs pull"),
    (rb"(?:\.\./)*\.git/annex/|/annex/objects/", "a pointer of git-annex", "fetch the picture: git annex get FILE"),
    (rb"(?:\xef\xbb\xbf)?\s*<(?i:!doctype html|html|head|body)", "a web page", _WEB_PAGE),
    (rb"\s*<\?xml[^>]*>\s*<Error", "an error message of S3", _WEB_PAGE),
)  # fmt: skip
_PATTERNS = [(re.compile(pattern, re.DOTALL), Kind(name, way)) for pattern, name, way in _KINDS]


def unsupported(data: bytes | bytearray | memoryview) -> Kind | None:
    """What the bytes, or the first of them, are of what camq does not read; None when nothing known."""
    head = bytes(data[:HEAD_BYTES])
    return next((kind for pattern, kind in _PATTERNS if pattern.match(head)), None)
