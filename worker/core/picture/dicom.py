"""DICOM: one frame, as its window, rescaling and photometric interpretation say. By pydicom."""

from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from shared.errors import ImageError
from worker.core.picture.levels import Numbers, integer_range, levels, of_array
from worker.core.picture.libraries import need
from worker.core.picture.tiff import Look, absent_page
from worker.core.types import Data, Reading

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GREY = ("MONOCHROME1", "MONOCHROME2")


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
    from pydicom.pixels.utils import pixel_array

    found = pydicom.dcmread(BytesIO(data), force=True)
    if (
        not any(name in found for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
        or "Rows" not in found
    ):
        what = str(found.get("Modality", "")) or "no modality"
        raise ImageError("unsupported", f"this is a DICOM object without a picture ({what}): leave it out")
    _check_readable(found)
    frames = max(1, int(found.get("NumberOfFrames") or 1))
    frame = (reading.page or 1) - 1
    if frame >= frames:
        raise absent_page(frame + 1, frames)
    samples, allocated = int(found.get("SamplesPerPixel", 1)), int(found.get("BitsAllocated", 32))
    width, height = int(found.Columns), int(found.Rows)
    look(width, height, width * height * samples * (3 * max(8, allocated) // 8))
    values = pixel_array(found, index=frame)
    photometric = str(found.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric in _GREY:
        return levels(_grey(found, frame, values, photometric == "MONOCHROME1"), reading)
    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        values = apply_color_lut(values, found)
        return Image.fromarray(values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8))
    if values.dtype == np.uint8 and values.ndim == 3:
        return Image.fromarray(values)
    stored = int(found.get("BitsStored", allocated))
    return levels(of_array(values, integer_range(stored, signed=False) if stored < allocated else None), reading)


def _check_readable(found: Any) -> None:
    """ImageError where nothing that is installed decodes its transfer syntax."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = found.file_meta.get("TransferSyntaxUID") if hasattr(found, "file_meta") else None
    if syntax is None:
        return
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


def _grey(found: Any, frame: int, values: np.ndarray[Any, Any], inverted: bool) -> Numbers:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

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
    window = _window(_of_frame(found, frame, "FrameVOILUTSequence"))
    if window is None and found.get("VOILUTSequence") and modality == (1.0, 0.0):
        values = apply_voi(values, found)
        whole = integer_range(int(found.VOILUTSequence[0].LUTDescriptor[2]), signed=False)
        window = whole
    full = modality(whole[0]), modality(whole[1])
    full = min(full), max(full)
    if window is None and says_bits:
        window = full
    padding = found.get("PixelPaddingValue")
    return Numbers(
        values.shape[1],
        values.shape[0],
        lambda top, end: modality(values[top:end].astype(np.float32)),
        1,
        full,
        window,
        inverted,
        float(np.float32(modality(float(padding)))) if isinstance(padding, int) else None,
    )


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
    else:  # a sigmoid is taken as the line through its middle
        low, high = centre - width / 2, centre + width / 2
    return (low, high) if low < high else None


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)
