"""DICOM: one frame, as its window, rescaling and photometric interpretation say. By pydicom."""

import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple, Self

import numpy as np
from PIL import Image

from shared.errors import ImageError
from worker.core.picture.by_tifffile import Look, absent_page
from worker.core.picture.levels import Numbers, integer_range, levels, of_array
from worker.core.picture.libraries import need
from worker.core.types import Data, Reading

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
#: Transfer syntaxes that imagecodecs reads, and GDCM does not: JPEG of 12 bits, High-Throughput JPEG 2000.
_CODECS = {
    _JPEG_EXTENDED: "jpeg8_decode",
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203)), "htj2k_decode"),
}


class _Modality(NamedTuple):
    """Stored numbers → what they stand for, such as Hounsfield units (PS3.3 C.11.1)."""

    slope: float
    intercept: float

    def __call__(self, values: Any) -> Any:
        return values * self.slope + self.intercept if self != (1.0, 0.0) else values


def decode_dicom(data: Data, look: Look, reading: Reading) -> Image.Image:
    """Its frame as L or RGB. Raises ImageError, NeededError and what `look` raises.

    Black and white are those of `reading.range` in rescaled numbers, else of its first window, else of the bits that it
    stores where these are fewer than it takes, else of its data.
    """
    pydicom = need("pydicom", "DICOM")
    found = pydicom.dcmread(BytesIO(data), force=True)
    if not any(name in found for name in _PIXELS) or "Rows" not in found:
        what = str(found.get("Modality", "")) or "no modality"
        raise ImageError("unsupported", f"this is a DICOM object without a picture ({what}): leave it out")
    _with_syntax(found)
    frames = max(1, int(found.get("NumberOfFrames") or 1))
    frame = (reading.page or 1) - 1
    if frame >= frames:
        raise absent_page(frame + 1, frames)
    samples, allocated = int(found.get("SamplesPerPixel", 1)), int(found.get("BitsAllocated", 32))
    width, height = int(found.Columns), int(found.Rows)
    look(width, height, width * height * samples * (3 * max(8, allocated) // 8))
    values = _frame(found, frame, frames)
    photometric = str(found.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric in _GREY:
        return levels(_grey(found, frame, values, photometric == "MONOCHROME1", reading), reading)
    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        values = apply_color_lut(values, found)
        return Image.fromarray(values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8))
    if values.dtype == np.uint8 and values.ndim == 3:
        return Image.fromarray(values)
    stored = int(found.get("BitsStored", allocated))
    return levels(of_array(values, integer_range(stored, signed=False) if stored < allocated else None), reading)


def _frame(found: Any, frame: int, frames: int) -> np.ndarray[Any, Any]:
    """The stored numbers (h, w) or (h, w, 3). ImageError where nothing that is installed decodes them."""
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax = found.file_meta.TransferSyntaxUID
    codec = getattr(sys.modules.get("imagecodecs"), _CODECS.get(syntax, ""), None)
    if codec is not None and not (syntax == _JPEG_EXTENDED and int(found.BitsStored) <= 8):
        return _checked(codec(get_frame(found.PixelData, frame, number_of_frames=frames)), found)
    try:
        readable = get_decoder(syntax).is_available
    except NotImplementedError:
        readable = False
    if not readable:
        raise ImageError(
            "unsupported",
            f"this is DICOM of the transfer syntax {syntax.name}, which camq does not read: decompress it, as with"
            " gdcmconv --raw FILE FILE.raw.dcm",
        )
    values: np.ndarray[Any, Any] = pixel_array(found, index=frame)
    return values


def _checked(values: np.ndarray[Any, Any], found: Any) -> np.ndarray[Any, Any]:
    """A frame that imagecodecs decoded, in RGB. ValueError where it is not what the file says of it."""
    expected = (int(found.Rows), int(found.Columns), *[3] * (int(found.get("SamplesPerPixel", 1)) == 3))
    if values.shape != expected:
        raise ValueError(f"its frame is of {values.shape}, not {expected}")
    if str(found.PhotometricInterpretation).startswith("YBR_FULL"):
        from pydicom.pixels.processing import convert_color_space

        values = convert_color_space(values, "YBR_FULL", "RGB")
    return values


def _with_syntax(found: Any) -> None:
    """Of a data set without the header of a file the encoding in which it could be read."""
    if found.file_meta.get("TransferSyntaxUID") is None:
        implicit, little = found.original_encoding
        if found["PixelData"].is_undefined_length or not little:
            raise ImageError(
                "unsupported",
                "this is DICOM without a header, and nothing says how its picture is compressed: write it as a file"
                " (PS3.10), as with gdcmconv FILE FILE.dcm",
            )
        found.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"


def _grey(found: Any, frame: int, values: np.ndarray[Any, Any], inverted: bool, reading: Reading) -> Numbers:
    from pydicom.pixels.processing import apply_modality_lut

    allocated = int(found.get("BitsAllocated", 32))
    stored = int(found.get("BitsStored", allocated))
    signed = bool(found.get("PixelRepresentation", 0))
    whole = integer_range(stored, signed=signed) if values.dtype.kind in "iu" else (0.0, 1.0)
    says_bits = stored < allocated or allocated == 8
    modality = _Modality(1.0, 0.0)
    if found.get("ModalityLUTSequence"):
        values = apply_modality_lut(values, found)
        bits = int(found.ModalityLUTSequence[0].LUTDescriptor[2])
        whole, says_bits = integer_range(bits, signed=False), bits < 16
    else:
        scale = _of_frame(found, frame, "PixelValueTransformationSequence")
        modality = _Modality(float(scale.get("RescaleSlope") or 1), float(scale.get("RescaleIntercept") or 0))
    full = modality(whole[0]), modality(whole[1])
    full = min(full), max(full)
    padding = found.get("PixelPaddingValue")
    nothing = float(np.float32(modality(float(padding)))) if isinstance(padding, int) else None

    def rows(top: int, end: int) -> np.ndarray[Any, Any]:
        rescaled: np.ndarray[Any, Any] = modality(values[top:end].astype(np.float32))
        return rescaled

    def numbers(
        shown: Callable[[int, int], np.ndarray[Any, Any]], window: tuple[float, float] | None, nothing: float | None
    ) -> Numbers:
        return Numbers(values.shape[1], values.shape[0], shown, 1, full, window, inverted, nothing)

    # What is said in the file counts where nobody asks for another range.
    holder = _of_frame(found, frame, "FrameVOILUTSequence")
    window, tables = _window(holder), found.get("VOILUTSequence")
    if window is None and tables and reading.range is None:
        table = _Table.of(tables[0], signed=full[0] < 0)
        return numbers(lambda top, end: table(rows(top, end), nothing), table.range, None)
    if window and holder.get("VOILUTFunction") == "SIGMOID" and reading.range is None:
        return numbers(lambda top, end: _sigmoid(rows(top, end), window, nothing), (0.0, 1.0), None)
    return numbers(rows, window or (full if says_bits else None), nothing)


class _Table(NamedTuple):
    """A table of values of interest (PS3.3 C.11.2.1.1): from the number `first` on, one entry for each."""

    first: int
    entries: np.ndarray[Any, Any]
    range: tuple[float, float]

    @classmethod
    def of(cls, item: Any, *, signed: bool) -> Self:
        """As the file has it. `signed`: whether the numbers that are looked up may be negative."""
        count, first, bits = (int(each) for each in item.LUTDescriptor)
        data, count = item.LUTData, count or 1 << 16
        if isinstance(data, bytes):
            data = np.frombuffer(data, np.uint8 if len(data) < 2 * count else np.dtype("<u2"))
        entries = np.asarray(data, np.float32)[:count]
        if not entries.size:
            raise ValueError("its table of values of interest is empty")
        return cls(first - (1 << 16) if signed and first > 32767 else first, entries, integer_range(bits, signed=False))

    def __call__(self, values: np.ndarray[Any, Any], nothing: float | None) -> np.ndarray[Any, Any]:
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.int64)
        return np.where(values == nothing, np.float32(np.nan), self.entries[places])


def _sigmoid(values: np.ndarray[Any, Any], window: tuple[float, float], nothing: float | None) -> np.ndarray[Any, Any]:
    """From 0 to 1 (PS3.3 C.11.2.1.3.1)."""
    centre, width = sum(window) / 2, window[1] - window[0]
    shades = 1 / (1 + np.exp(-4 * (values.astype(np.float64) - centre) / width))
    return np.where(values == nothing, np.nan, shades)


def _of_frame(found: Any, frame: int, sequence: str) -> Any:
    """The data set with what holds for this frame: its own group, that of all frames, or the file itself."""
    own = found.get("PerFrameFunctionalGroupsSequence") or []
    shared = found.get("SharedFunctionalGroupsSequence") or []
    for group in [*own[frame : frame + 1], *shared[:1]]:
        if items := group.get(sequence):
            return items[0]
    return found


def _window(holder: Any) -> tuple[float, float] | None:
    """Black and white of the first window (PS3.3 C.11.2.1.2)."""
    centre, width = (_first(holder.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:
        return None
    if holder.get("VOILUTFunction", "LINEAR") == "LINEAR":
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    else:
        low, high = centre - width / 2, centre + width / 2
    return (low, high) if low < high else None


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)
