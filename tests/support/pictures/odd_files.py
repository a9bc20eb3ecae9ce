"""Odd files as people have them, made here: each with the code that it must end as, `ok` for a picture."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pillow_heif
import tifffile
from PIL import Image

from tests.numeric.pictures import MODES, encoded, in_mode, one_of_each, photo
from tests.support.pictures.dicoms import compressed, dicom, headerless, item

KINDS = (
    *(np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64),
    *(np.float16, np.float32, np.float64),
)
RNG = np.random.default_rng(200)


class Odd(NamedTuple):
    """A file, what becomes of it, and what its message or warnings must mention."""

    data: bytes
    fate: str = "ok"
    said: str = ""
    page: int | None = None


def tiff(values: Any, **options: Any) -> bytes:
    """By tifffile."""
    target = io.BytesIO()
    tifffile.imwrite(target, values, **options)
    return target.getvalue()


def numbers(*shape: int, kind: type = np.uint16, top: int = 4000) -> np.ndarray[Any, Any]:
    """Random numbers of any type, from 0 to `top`."""
    return RNG.integers(0, min(top, 120) if kind in (np.uint8, np.int8) else top, shape).astype(kind)


def pages(name: str, data: bytes, count: int) -> Iterator[tuple[str, Odd]]:
    """Each page of a file, and the one behind the last."""
    yield from ((f"{name}#{page}", Odd(data, "ok", "", page)) for page in range(1, count + 1))
    yield f"{name}#{count + 1}", Odd(data, "not_found", f"the file has {count}", count + 1)


def scientific_tiffs() -> Iterator[tuple[str, Odd]]:
    """Every type of number, with one to six bands, in the forms that programs write."""
    for kind in KINDS:
        for bands in (1, 2, 3, 4, 6):
            shape = (24, 32) if bands == 1 else (24, 32, bands)
            said = "" if bands in (1, 3) else f"{bands} bands"
            order = "contig" if bands > 1 else None
            data = tiff(numbers(*shape, kind=kind), photometric="minisblack", planarconfig=order)
            yield f"tiff/{np.dtype(kind).name}-{bands}.tif", Odd(data, "ok", said)
    for name in ("lzw", "zlib", "zstd", "packbits", "lzma", "lerc", "jpegxl", "jpeg2000", "webp", "png"):
        kind = np.uint8 if name in ("webp", "jpegxl", "jpeg2000", "png") else np.uint16
        yield f"tiff/{name}.tif", Odd(tiff(numbers(24, 32, 3, kind=kind), photometric="rgb", compression=name))
    big = tiff(numbers(24, 32, 5), photometric="minisblack", planarconfig="contig", bigtiff=True)
    yield "tiff/big.tif", Odd(big, "ok", "5 bands")
    yield "tiff/tiles.tif", Odd(tiff(numbers(40, 40, 3, kind=np.float32), photometric="rgb", tile=(16, 16)))
    yield "tiff/planes.tif", Odd(tiff(numbers(3, 24, 32), photometric="rgb", planarconfig="separate"))
    for kind in ("<", ">"):
        data = tiff(numbers(24, 32), byteorder=kind, photometric="miniswhite")
        yield f"tiff/white-{'little' if kind == '<' else 'big'}.tif", Odd(data)
    stack = tiff(numbers(3, 24, 32), photometric="minisblack")
    yield from pages("tiff/stack.tif", stack, 3)
    yield "tiff/complex.tif", Odd(tiff(np.zeros((8, 8), np.complex64)), "unsupported", "gdal_translate")
    yield "tiff/cielab.tif", Odd(tiff(numbers(8, 8, 3), photometric="cielab"), "unsupported", "CIELAB")
    preview = numbers(8, 8, 3, kind=np.uint8)
    dng = tiff(preview, photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    nef = io.BytesIO()
    with tifffile.TiffWriter(nef) as writer:
        writer.write(preview, photometric="rgb", subifds=1, subfiletype=1)
        writer.write(numbers(24, 32), photometric="minisblack")
    for name, data in {"dng": dng, "nef": nef.getvalue()}.items():
        yield f"raw/camera.{name}", Odd(data, "unsupported", "develop it")


def telephones_and_scanners() -> Iterator[tuple[str, Odd]]:
    """HEIC, AVIF, MPO, DICOM."""
    pillow_heif.register_heif_opener()
    frames = {"save_all": True, "append_images": [photo().transpose(Image.Transpose.ROTATE_180)]}
    for mode in ("L", "RGB", "RGBA"):
        yield f"heic/{mode}.heic", Odd(encoded(in_mode(photo(), mode), "HEIF"))
    both = encoded(photo(), "HEIF", **frames)
    yield from pages("heic/both.heic", both, 2)
    yield "heic/avif.avif", Odd(encoded(photo(), "AVIF"))
    yield "heic/camera.mpo", Odd(encoded(photo(), "MPO", **frames))
    stored = ((np.uint8, 8), (np.uint16, 10), (np.uint16, 12), (np.uint16, 16), (np.int16, 12), (np.int16, 16))
    for kind, bits in stored:
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            pixels = numbers(24, 32, kind=kind, top=1000)
            for name, more in {"plain": {}, "window": {"WindowCenter": 60, "WindowWidth": 80}}.items():
                data = dicom(pixels, bits=bits, PhotometricInterpretation=photometric, **more)
                yield f"dicom/{np.dtype(kind).name}-{bits}-{photometric}-{name}.dcm", Odd(data)
    yield "dicom/colour", Odd(dicom(np.asarray(photo()), bits=8, PhotometricInterpretation="RGB"))
    yield from ((f"dicom/{name}", Odd(data)) for name, data in compressed(numbers(24, 32)).items())
    for name in ("ISO_IR 100", "ISO_IR 192", "GB18030", ["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 149"]):
        yield f"dicom/{name}", Odd(dicom(numbers(24, 32), SpecificCharacterSet=name, PatientName="A^B"))
    table = item(LUTDescriptor=[4000, 0, 16], LUTData=np.arange(0, 64000, 16, dtype=np.uint16).tobytes())
    yield "dicom/table", Odd(dicom(numbers(24, 32), VOILUTSequence=table))
    rescaled = dicom(numbers(24, 32), VOILUTSequence=table, RescaleSlope=2, RescaleIntercept=-1000)
    yield "dicom/table-rescaled", Odd(rescaled)
    yield "dicom/sigmoid", Odd(dicom(numbers(24, 32), WindowCenter=2000, WindowWidth=500, VOILUTFunction="SIGMOID"))
    for implicit in (True, False):
        yield f"dicom/headerless-{implicit}", Odd(headerless(dicom(numbers(24, 32)), implicit=implicit))
    film = dicom(numbers(24, 32), syntax="1.2.840.10008.1.2.4.102", packed=b"film")
    yield "dicom/film", Odd(film, "unsupported", "gdcmconv")
    yield from pages("dicom/movie", dicom(numbers(3, 24, 32)), 3)
    yield "dicom/nothing", Odd(bytes(128) + b"DICM" + bytes(40), "unsupported", "without a picture")


def cut_short() -> Iterator[tuple[str, Odd]]:
    """Half of everything, and nothing of anything."""
    in_colour = (f"{kind} RGB" for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "QOI"))
    for name in (*in_colour, "PNG I;16", "GIF P"):
        data = one_of_each()[name]
        yield f"cut/{name}", Odd(data[: len(data) // 2], "truncated")
    wide = tiff(numbers(64, 64, 5), photometric="minisblack", planarconfig="contig")
    yield "cut/bands.tif", Odd(wide[: len(wide) // 2], "truncated")
    heic, scan = encoded(photo(200, 200), "HEIF"), dicom(numbers(64, 64))
    yield "cut/heic.heic", Odd(heic[: len(heic) // 2], "truncated")
    yield "cut/dicom.dcm", Odd(scan[: len(scan) // 2], "truncated")
    yield "cut/empty.jpg", Odd(b"", "empty")
    png = bytearray(encoded(photo(200, 200), "PNG"))
    png[len(png) // 2] ^= 0xFF
    yield "cut/damaged.png", Odd(bytes(png), "damaged", "is damaged")


def other_kinds() -> Iterator[tuple[str, Odd]]:
    """Called like pictures, and none."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.jpg", b"a")
    array = io.BytesIO()
    np.save(array, np.zeros(9))
    known = {
        "page.jpg": (b"<!DOCTYPE html><html>404</html>", "a web page"),
        "denied.png": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "S3"),
        "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "rsvg-convert"),
        "paper.pdf": (b"%PDF-1.7\n", "pdftoppm"),
        "figure.eps": (b"%!PS-Adobe-3.0 EPSF-3.0", "gs "),
        "new.jxl": (b"\xff\x0a" + bytes(30), "djxl"),
        "box.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(30), "djxl"),
        "old.jxr": (b"II\xbc\x01" + bytes(30), "JPEG XR"),
        "layers.psb": (b"8BPS\0\2" + bytes(30), "Photoshop"),
        "layers.xcf": (b"gimp xcf v011\0" + bytes(30), "GIMP"),
        "book.djvu": (b"AT&TFORM\0\0\0\0DJVU", "ddjvu"),
        "clip.wmf": (b"\xd7\xcd\xc6\x9a" + bytes(40), "metafile"),
        "clip.emf": (b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(40), "metafile"),
        "shot.cr3": (b"\0\0\0\x18ftypcrx ", "develop"),
        "shot.raf": (b"FUJIFILMCCD-RAW 0201", "develop"),
        "shot.orf": (b"IIRO" + bytes(30), "develop"),
        "shot.rw2": (b"IIU\0" + bytes(30), "develop"),
        "film.mp4": (b"\0\0\0\x20ftypisom", "ffmpeg"),
        "film.mov": (b"\0\0\0\x14ftypqt  ", "ffmpeg"),
        "film.webm": (b"\x1aE\xdf\xa3" + bytes(9), "ffmpeg"),
        "film.avi": (b"RIFF\0\0\0\0AVI LIST", "ffmpeg"),
        "film.mpg": (b"\0\0\1\xba" + bytes(30), "ffmpeg"),
        "song.mp3": (b"ID3\4" + bytes(30), "sound"),
        "song.wav": (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
        "light.exr": (b"v/1\1" + bytes(30), "OpenEXR"),
        "light.hdr": (b"#?RADIANCE\n", "Radiance"),
        "array.npy": (array.getvalue(), "submit the array"),
        "data.h5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "HDF5"),
        "data.nc": (b"CDF\1" + bytes(30), "NetCDF"),
        "data.mat": (b"MATLAB 5.0 MAT-file, Platform", "MATLAB"),
        "data.grib": (b"GRIB\0\0\0\2" + bytes(30), "GRIB"),
        "brain.nii": (b"\x5c\1\0\0" + bytes(340) + b"n+1\0", "NIfTI"),
        "brain.hdr": (b"\x5c\1\0\0" + bytes(34) + b"r" + bytes(309), "Analyze"),
        "brain.nrrd": (b"NRRD0004\n", "NRRD"),
        "brain.mha": (b"ObjectType = Image\n", "MetaImage"),
        "model.pkl": (b"\x80\4\x95" + bytes(30), "pickle"),
        "table.parquet": (b"PAR1" + bytes(30), "--manifest"),
        "all.zip.jpg": (packed.getvalue(), "archive"),
        "all.gz.jpg": (b"\x1f\x8b\x08" + bytes(30), "archive"),
        "all.rar": (b"Rar!\x1a\7" + bytes(30), "archive"),
        "all.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(30), "archive"),
        "lfs.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        "annex.jpg": (b"../../.git/annex/objects/ab", "git annex get"),
        "._photo.jpg": (b"\0\5\x16\7" + bytes(30), "resource fork"),
        "photo.lnk": (b"L\0\0\0\1\x14\2\0" + bytes(30), "shortcut"),
        "Thumbs.db": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(30), "Office"),
        "base64.jpg": (b"/9j/4AAQSkZJRgABAQEAYABgAAD", "base64"),
        "base64.png": (b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAf", "base64"),
        "texture.ktx": (b"\xabKTX 11\xbb\r\n\x1a\n", "texture"),
        "odd.bpg": (b"BPG\xfb" + bytes(30), "BPG"),
    }
    yield from ((f"kinds/{name}", Odd(data, "unsupported", said)) for name, (data, said) in known.items())
    for name, data in {"text.jpg": b"hello", "zeros.png": bytes(500), "json.jpg": b'{"error": "no"}'}.items():
        yield f"kinds/{name}", Odd(data, "not_an_image", "send JPEG")


def of_pillow() -> Iterator[tuple[str, Odd]]:
    """Every format that Pillow writes, in every mode; the right ones of its variants that it does not read."""
    yield from ((f"pillow/{name}", Odd(data)) for name, data in one_of_each().items() if name.split()[1] in MODES)
    jpeg = encoded(photo(), "JPEG")
    at = jpeg.index(b"\xff\xc0")
    yield "pillow/12-bit.jpg", Odd(jpeg[: at + 4] + b"\x0c" + jpeg[at + 5 :], "unsupported", "magick")
    bmp = bytearray(encoded(photo(), "BMP"))
    struct.pack_into("<H", bmp, 28, 7)
    yield "pillow/7-bit.bmp", Odd(bytes(bmp), "unsupported", "magick")
    yield "pillow/16-bit.png", Odd(_deep_png(2))
    yield "pillow/16-bit-opacity.png", Odd(_deep_png(6))
    yield "pillow/16-bit-grey-opacity.png", Odd(_deep_png(4))


def _deep_png(colour: int) -> bytes:
    """A PNG of 16 bits in three or four channels, whose colours are of 12 bits."""
    channels = {2: 3, 4: 2, 6: 4}[colour]
    rows = numbers(24, 32, channels).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    found = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 32, 24, 16, colour, 0, 0, 0)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")):
        found += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return found


MAKERS: tuple[Callable[[], Iterator[tuple[str, Odd]]], ...] = (
    scientific_tiffs,
    telephones_and_scanners,
    cut_short,
    other_kinds,
    of_pillow,
)
