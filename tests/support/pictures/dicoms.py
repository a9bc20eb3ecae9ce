"""DICOM files made by pydicom."""

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)


def dicom(
    pixels: np.ndarray[Any, Any], *, bits: int = 12, syntax: str = "", packed: bytes = b"", **elements: Any
) -> bytes:
    """One frame (h, w), a colour one (h, w, 3) with PhotometricInterpretation="RGB", or frames (n, h, w).

    Compressed in the transfer syntax `syntax`, by pydicom or as `packed` already is.
    """
    photometric = elements.setdefault("PhotometricInterpretation", "MONOCHROME2")
    colour = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    found = pydicom.Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    found.SOPInstanceUID = generate_uid()
    found.Modality = "OT"
    if pixels.ndim == 3 and not colour:
        found.NumberOfFrames = pixels.shape[0]
    found.Rows, found.Columns = pixels.shape[:2] if pixels.ndim == 2 or colour else pixels.shape[1:]
    found.SamplesPerPixel = 3 if colour else 1
    if colour:
        found.PlanarConfiguration = 0
    found.BitsAllocated = pixels.dtype.itemsize * 8
    found.BitsStored, found.HighBit = bits, bits - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    found.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in elements.items():
        setattr(found, name, value)
    if packed:
        found.file_meta.TransferSyntaxUID = UID(syntax)
        found.PixelData = encapsulate([packed])
        found["PixelData"].is_undefined_length = True
    elif syntax:
        found.compress(syntax)
    file = BytesIO()
    pydicom.dcmwrite(file, found, enforce_file_format=True)
    return file.getvalue()


def compressed(pixels: np.ndarray[Any, Any]) -> dict[str, bytes]:
    """A frame of 12 bits in the lossless compressions of most clinics, encoded by imagecodecs."""
    lossless = imagecodecs.ljpeg_encode(pixels, bitspersample=12)
    return {
        "JPEG lossless": dicom(pixels, syntax=JPEGLosslessSV1, packed=lossless),
        "JPEG-LS": dicom(pixels, syntax=JPEGLSLossless, packed=imagecodecs.jpegls_encode(pixels)),
        "run lengths": dicom(pixels, syntax=RLELossless),
        **{
            uid.name: dicom(pixels, syntax=uid, packed=imagecodecs.htj2k_encode(pixels, reversible=True))
            for uid in (HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
        },
    }


def lossy_12_bit(pixels: np.ndarray[Any, Any]) -> bytes:
    """JPEG Extended, as old angiographies are."""
    packed = imagecodecs.jpeg8_encode(pixels, level=98, bitspersample=12)
    return dicom(pixels, syntax=JPEGExtended12Bit, packed=packed)


def headerless(data: bytes, *, implicit: bool) -> bytes:
    """The data set alone, as some networks and old archives keep it."""
    whole = pydicom.dcmread(BytesIO(data))
    bare, file = pydicom.Dataset({element.tag: element for element in whole}), BytesIO()
    pydicom.dcmwrite(file, bare, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    return file.getvalue()


def item(**elements: Any) -> pydicom.Sequence:
    """A sequence of one item."""
    found = pydicom.Dataset()
    for name, value in elements.items():
        setattr(found, name, value)
    return pydicom.Sequence([found])
