"""What people send as pictures that camq does not read by itself: how it is recognised, and the way to a picture."""

import re
from importlib.util import find_spec
from typing import Literal, NamedTuple

#: The patterns look at no more than these first bytes.
HEAD_BYTES = 352

#: Libraries that read what Pillow does not, where they are installed.
Library = Literal["pillow_heif", "pydicom", "tifffile"]


class Kind(NamedTuple):
    """A kind of file: its name, and the way to a picture that camq reads."""

    name: str
    way: str
    #: The library that reads it, where that is installed; see `worker.core.picture.libraries`.
    library: Library | None = None

    @property
    def readable(self) -> bool:
        """Whether its library is installed here."""
        return self.library is not None and find_spec(self.library) is not None


ARCHIVE = "an archive"
_IN_PYTHON = "load it in Python and submit the array"
_FRAMES = "extract frames: ffmpeg -i FILE frames/%06d.png"
_DEVELOP = "develop it to JPEG, PNG or TIFF first"
_EXPORT = "open it and export PNG or JPEG"
_CONVERT = "convert it to PNG first"
_WEB_PAGE = "download the picture itself: this is what a server answered instead"
RAW = Kind("a camera's raw file", _DEVELOP)
#: None may match a list of names, such as one on standard input.
_KINDS: tuple[tuple[bytes, Kind], ...] = (
    # A file of the family that names AVIF is read by Pillow.
    (rb"....ftyp(?:hei[cxms]|hev[cxms]|(?:mif1|msf1)(?!.{0,40}avi[fs]))",
     Kind("HEIC", "install camq[heic], or convert it: heif-convert FILE FILE.jpg", "pillow_heif")),
    # Also a data set without the header of a file: its first group is 0008; or 0002 without a preamble.
    (rb".{128}DICM|\x08\0[\0\1\5\x08\x12-\x18]\0(?:(?:UL|CS|DA|TM|UI).\0|[\x02-\x40]\0\0\0)|\x02\0\0\0UL\x04\0",
     Kind("DICOM", "install camq[dicom], or save it as 8-bit PNG with pydicom", "pydicom")),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", Kind("JPEG XL", "convert it: djxl FILE FILE.png")),
    (rb"II\xbc\x01", Kind("JPEG XR", "convert it: JxrDecApp -i FILE -o FILE.bmp")),
    (rb"8BPS\0\x02", Kind("a large Photoshop document", _EXPORT)),
    (rb"gimp xcf", Kind("a GIMP document", _EXPORT)),
    (rb"BPG\xfb", Kind("BPG", _CONVERT)),
    (rb"AT&TFORM", Kind("DjVu", "draw its pages: ddjvu -format=tiff FILE FILE.tif")),
    (rb"\xabKTX |\x13\xab\xa1\x5c", Kind("a texture for graphics cards", _CONVERT)),
    (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!DOCTYPE svg[^>]*>\s*)?<svg",
     Kind("SVG", "draw it: rsvg-convert FILE -o FILE.png")),
    (rb"%PDF-", Kind("PDF", "draw its pages: pdftoppm -png FILE page")),
    (rb"%!PS|\xc5\xd0\xd3\xc6", Kind("PostScript", "draw it: gs -sDEVICE=png16m -o FILE.png FILE")),
    (rb"\xd7\xcd\xc6\x9a|\x01\0\x09\0\0\x03|\x01\0\0\0.{36} EMF", Kind("a Windows metafile", _EXPORT)),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|IIR[OS]|IIU\0|FOVb|II\x1a\0\0\0HEAPCCDR", RAW),
    (rb"....ftyp(?:isom|iso[2-9]|mp4[12]|avc1|qt  |M4V |3gp|dash)|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01"
     rb"|\0\0\x01[\xb3\xba]",
     Kind("a video", _FRAMES)),
    (rb"ID3[\2-\4]|OggS\0|fLaC\0|RIFF....WAVE|....ftypM4A ", Kind("sound", "leave it out")),
    (rb"v/1\x01", Kind("OpenEXR", "tone-map it to PNG or 32-bit TIFF")),
    (rb"#\?(?:RADIANCE|RGBE)", Kind("Radiance HDR", "tone-map it to PNG or 32-bit TIFF")),
    (rb"\x93NUMPY", Kind("a NumPy array", _IN_PYTHON)),
    (rb"\x89HDF\r\n\x1a\n|CDF[\x01\x02\x05]", Kind("HDF5 or NetCDF", _IN_PYTHON)),
    (rb"MATLAB 5\.0 MAT-file", Kind("a MATLAB file", _IN_PYTHON)),
    (rb"GRIB...[\1\2]|BUFR...[\0-\5]", Kind("weather data in GRIB or BUFR", _IN_PYTHON)),
    (rb".{344}(?:n\+1|ni1)\0|\x5c\x01\0\0.{34}r|\0\0\x01\x5c.{34}r|NRRD000|ObjectType *=|NDims *=",
     Kind("a volume (NIfTI, Analyze, NRRD or MetaImage)", "save its slices as PNG, or submit them from Python")),
    (rb"\x80[\x04\x05]\x95|\x80[\x02\x03][}\](c]", Kind("a Python pickle", _IN_PYTHON)),
    (rb"PAR1", Kind("Parquet", "give it as a table: --manifest FILE")),
    (rb"PK\x03\x04|PK\x05\x06|\x1f\x8b|BZh|\xfd7zXZ|Rar!|7z\xbc\xaf|\x28\xb5\x2f\xfd",
     Kind(ARCHIVE, "name the archive itself, or unpack it")),
    (rb"version https://git-lfs", Kind("a pointer of Git LFS", "fetch the picture: git lfs pull")),
    (rb"(?:\.\./)*\.git/annex/|/annex/objects/", Kind("a pointer of git-annex", "fetch it: git annex get FILE")),
    (rb"\0\x05\x16[\x07\0]", Kind("a resource fork of macOS", "give the file without ._ before its name")),
    (rb"L\0\0\0\x01\x14\x02\0", Kind("a shortcut of Windows", "give the file that it leads to")),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an Office document or a Windows thumbnail cache", _EXPORT)),
    (rb"(?:iVBORw0KGgo|/9j/)[A-Za-z0-9+/\s]{16}",
     Kind("a picture written in base64", "decode it: base64 -d FILE > FILE.png")),
    (rb"(?:\xef\xbb\xbf)?\s*<(?i:!doctype html|html|head|body)", Kind("a web page", _WEB_PAGE)),
    (rb"\s*<\?xml[^>]*>\s*<Error", Kind("an error message of S3", _WEB_PAGE)),
)  # fmt: skip
_PATTERNS = [(re.compile(pattern, re.DOTALL), kind) for pattern, kind in _KINDS]


def unsupported(data: bytes | bytearray | memoryview) -> Kind | None:
    """What the bytes, or the first of them, are of what Pillow does not read; None when nothing known."""
    head = bytes(data[:HEAD_BYTES])
    return next((kind for pattern, kind in _PATTERNS if pattern.match(head)), None)
