"""DICOM as its window, rescaling and photometric interpretation say, by pydicom."""

import io
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_voi, apply_windowing
from pydicom.uid import HTJ2KLossless

from shared.errors import ImageError
from tests.numeric.pictures import photo
from tests.support.pictures.dicoms import compressed, dicom, headerless, item, lossy_12_bit
from worker.core.picture.decode import decode
from worker.core.types import Limits, Reading

LIMITS = Limits()
VALUES = np.array([[0, 1000, 2000, 3000, 4095]], np.uint16)


def pixels(data: bytes, **wishes: Any) -> np.ndarray[Any, Any]:
    return np.asarray(decode(data, LIMITS, reading=Reading(**wishes))).astype(int)


def row(data: bytes, **wishes: Any) -> list[int]:
    """The levels of a grey picture's first row."""
    return pixels(data, **wishes)[0, :, 0].tolist()


def failure(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, LIMITS)
    return caught.value


def test_the_window_of_a_dicom_is_its_range() -> None:
    """Centre 1000 and width 2001, the linear function of PS3.3 C.11.2.1.2.1: -0.5 is black and 1999.5 white."""
    data = dicom(VALUES, WindowCenter=1000, WindowWidth=2001)

    assert row(data) == [0, 128, 255, 255, 255]
    assert row(data, range="data") == [0, 62, 125, 187, 255]
    assert row(data, range="full") == [0, 62, 125, 187, 255]
    assert row(data, range="1000:3000") == [0, 0, 128, 255, 255]
    exact = dicom(VALUES, WindowCenter=[1000, 50], WindowWidth=[2000, 1], VOILUTFunction="LINEAR_EXACT")
    assert row(exact) == [0, 128, 255, 255, 255]


def test_rescaling_comes_before_the_window() -> None:
    """Hounsfield units: slope 2, intercept -1000."""
    data = dicom(VALUES, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000, WindowWidth=2001)

    assert row(data) == [0, 128, 255, 255, 255]
    assert row(data, range="-1000:7190") == [0, 62, 125, 187, 255]


def test_without_a_window_white_is_that_of_the_bits_stored_else_of_the_data() -> None:
    """12 of 16 say something; 16 of 16 do not."""
    assert row(dicom(VALUES[:, :4])) == [0, 62, 125, 187]
    assert row(dicom(VALUES[:, :4], bits=16)) == [0, 85, 170, 255]
    signed = dicom(np.array([[-2048, 0, 2047]], np.int16))
    assert row(signed) == [0, 128, 255]
    assert row(dicom(np.array([[0, 100, 200]], np.uint8), bits=8)) == [0, 100, 200]


def test_monochrome1_is_turned_round() -> None:
    """Its least number is white."""
    assert row(dicom(VALUES, PhotometricInterpretation="MONOCHROME1")) == [255, 193, 130, 68, 0]


def test_padding_is_no_darkest_number() -> None:
    """What the scanner did not see."""
    values = np.array([[-2000, 0, 100]], np.int16)

    assert row(dicom(values, bits=16, PixelPaddingValue=-2000)) == [0, 0, 255]


def test_colour_palettes_and_tables() -> None:
    """RGB as it is; a palette of 16 bits; a table of values of interest, and one in place of rescaling."""
    assert (pixels(dicom(np.asarray(photo()), bits=8, PhotometricInterpretation="RGB")) == np.asarray(photo())).all()
    table = np.array([0, 0x8000, 0xFF00, 0xFF00], np.uint16).tobytes()
    palette = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [4, 0, 16]), ("Data", table))
    }
    indexed = dicom(np.array([[0, 1, 2]], np.uint8), bits=8, PhotometricInterpretation="PALETTE COLOR", **palette)
    assert row(indexed) == [0, 128, 255]
    interest = item(LUTDescriptor=[3, 0, 8], LUTData=np.array([255, 128, 0], np.uint16).tobytes())
    assert row(dicom(np.array([[0, 1, 2]], np.uint16), VOILUTSequence=interest)) == [255, 128, 0]
    units = np.array([0, 500, 1000], np.uint16).tobytes()
    modality = item(LUTDescriptor=[3, 0, 16], ModalityLUTType="US", LUTData=units)
    assert row(dicom(np.array([[0, 1, 2]], np.uint16), bits=16, ModalityLUTSequence=modality)) == [0, 128, 255]
    # The bits of what is stored say nothing of what the table makes of it; those of the table do.
    assert row(dicom(np.array([[0, 1, 2]], np.uint16), bits=12, ModalityLUTSequence=modality)) == [0, 128, 255]
    coarse = item(LUTDescriptor=[3, 0, 8], ModalityLUTType="US", LUTData=np.array([0, 100, 200], np.uint16).tobytes())
    assert row(dicom(np.array([[0, 1, 2]], np.uint16), bits=12, ModalityLUTSequence=coarse)) == [0, 100, 200]


def test_each_frame_has_its_own_window() -> None:
    """In the functional groups of an enhanced file; else the one that all share."""
    own = item(FrameVOILUTSequence=item(WindowCenter=1000, WindowWidth=2001))
    own.append(item(FrameVOILUTSequence=item(WindowCenter=2000, WindowWidth=4001))[0])
    shared = item(PixelValueTransformationSequence=item(RescaleSlope=1, RescaleIntercept=0))
    data = dicom(
        np.stack([VALUES, VALUES]), PerFrameFunctionalGroupsSequence=own, SharedFunctionalGroupsSequence=shared
    )

    assert row(data, page=1) == [0, 128, 255, 255, 255]
    assert row(data, page=2) == [0, 64, 128, 191, 255]


def test_a_compressed_dicom_is_read() -> None:
    """Run lengths, and the lossless JPEGs of most clinics."""
    whole = np.repeat(VALUES, 4, axis=0)

    for name, data in compressed(whole).items():
        assert pydicom.dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID.is_compressed
        assert (name, row(data)) == (name, row(dicom(whole)))


def test_jpeg_of_12_bits_is_read() -> None:
    """Within what it loses, and in colour; a frame of other sides than the file says is damage."""
    smooth = np.add.outer(np.arange(0, 2000, 50), np.arange(0, 2000, 40)).astype(np.uint16)

    assert np.abs(pixels(lossy_12_bit(smooth)) - pixels(dicom(smooth))).max() <= 1
    assert failure(lossy_12_bit(smooth).replace(*lied(smooth.shape[0]))).code == "damaged"
    colour = np.asarray(photo())
    packed = imagecodecs.htj2k_encode(colour, reversible=True)
    data = dicom(colour, bits=8, PhotometricInterpretation="YBR_RCT", syntax=HTJ2KLossless, packed=packed)
    assert (pixels(data) == colour).all()


def lied(rows: int) -> tuple[bytes, bytes]:
    """The element of its rows, and one that says another number."""
    return b"\x28\0\x10\0US\2\0" + bytes([rows, 0]), b"\x28\0\x10\0US\2\0" + bytes([rows + 1, 0])


@pytest.mark.parametrize("implicit", [True, False])
def test_a_data_set_without_the_header_of_a_file_is_read(implicit: bool) -> None:
    """As networks and old archives keep it; what says nothing of its compression is refused with the way."""
    assert row(headerless(dicom(VALUES), implicit=implicit)) == row(dicom(VALUES))
    assert row(dicom(VALUES)[132:]) == row(dicom(VALUES))  # the preamble alone is missing
    packed = headerless(compressed(np.repeat(VALUES, 4, axis=0))["run lengths"], implicit=implicit)
    assert (failure(packed).code, "gdcmconv" in failure(packed).message) == ("unsupported", True)


def test_a_sigmoid_window_is_that_of_the_standard() -> None:
    """PS3.3 C.11.2.1.3.1, as pydicom computes it; a range that is asked for is linear."""
    wide = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    window = {"WindowCenter": 1500, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"}
    file = pydicom.dcmread(io.BytesIO(dicom(wide, **window)))
    peer = apply_windowing(wide, file) / 4095 * 255

    assert np.abs(pixels(dicom(wide, **window))[..., 0] - peer).max() <= 0.51
    assert row(dicom(VALUES, **window), range="0:4095") == [0, 62, 125, 187, 255]
    assert row(dicom(VALUES, PixelPaddingValue=4095, **window))[-1] == 0


def test_a_table_of_interest_counts_rescaled_numbers() -> None:
    """From its first one on, which may be negative though stored without a sign; numbers outside take its ends."""
    table = item(LUTDescriptor=[3, 64536, 8], LUTData=np.array([10, 120, 250], np.uint16).tobytes())
    data = dicom(np.array([[0, 1, 2, 3, 900]], np.uint16), RescaleSlope=1, RescaleIntercept=-1001, VOILUTSequence=table)

    assert row(data) == [10, 10, 120, 250, 250]
    assert row(data, range="-1001:-101") == [0, 0, 1, 1, 255]
    fine = np.arange(0, 4096, dtype=np.uint16).reshape(64, 64)
    curve = item(
        LUTDescriptor=[4096, 0, 16], LUTData=(np.linspace(0, 1, 4096) ** 2 * 65535).astype(np.uint16).tobytes()
    )
    peer = apply_voi(fine, pydicom.dcmread(io.BytesIO(dicom(fine, VOILUTSequence=curve)))) / 65535 * 255
    assert np.abs(pixels(dicom(fine, VOILUTSequence=curve))[..., 0] - peer).max() <= 0.51


def test_what_is_no_picture_of_dicom_says_so() -> None:
    """A report; one that ends early; a video in it."""
    whole = dicom(VALUES)
    report = pydicom.dcmread(io.BytesIO(whole))
    del report.PixelData
    report.Modality = "SR"
    file = io.BytesIO()
    pydicom.dcmwrite(file, report)

    assert (failure(file.getvalue()).code, "(SR)" in failure(file.getvalue()).message) == ("unsupported", True)
    assert failure(whole[:-4]).code == "truncated"
    video = whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.99")  # deflated, as it is not
    assert failure(video).code in ("unsupported", "truncated")
    movie = dicom(VALUES, syntax="1.2.840.10008.1.2.4.102", packed=b"film")
    assert (failure(movie).code, "gdcmconv" in failure(movie).message) == ("unsupported", True)
