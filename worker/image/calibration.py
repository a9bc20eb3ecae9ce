"""The operator's own pictures, on which `CAMQ_PRECISION=int8` finds the range of each activation."""

from contextlib import closing
from pathlib import Path

from shared.config import Settings
from shared.contract import Options
from shared.errors import ImageError, UsageError
from shared.pictures import looks_like_a_picture
from worker.core.types import InputSpec, Limits, UInt8Array
from worker.pictures import wire
from worker.pictures.pool import Pictures

#: Of a larger folder so many are taken, spread over it; more hardly move the ranges and take longer at every start.
MOST = 128
#: Bytes that say whether a file is a picture.
_BEGINNING = 4096
#: With fewer the ranges say little.
LEAST = 8


def calibration_inputs(settings: Settings, spec: InputSpec) -> list[UInt8Array]:
    """The network's inputs, uint8 (S, S, 3), of pictures in `CAMQ_CALIBRATION`; none unless int8 is asked for.

    The same folder gives the same pictures on every worker, so that all of them answer alike. Raises UsageError for
    settings that contradict each other, and a folder with fewer than `LEAST` pictures that can be read.
    """
    if settings.precision != "int8":
        if settings.calibration:
            raise UsageError("CAMQ_CALIBRATION is only for CAMQ_PRECISION=int8: unset it, or set that too")
        return []
    if not settings.calibration:
        raise UsageError(
            f"CAMQ_PRECISION=int8 needs CAMQ_CALIBRATION: a folder of {LEAST} to {MOST} pictures like those to come"
        )
    setup = wire.Setup(spec, Limits(settings.max_image_bytes, settings.max_image_pixels), settings.decode_s)
    with closing(Pictures(setup, 1)) as pictures:
        found = [pixels for file in _files(settings.calibration) if (pixels := _pixels(file, pictures)) is not None]
    if len(found) < LEAST:
        raise UsageError(
            f"CAMQ_CALIBRATION={settings.calibration}: {len(found)} pictures there can be read, and int8 needs at"
            f" least {LEAST}, like those to come"
        )
    return found


def _files(folder: str) -> list[Path]:
    """Of the pictures in the folder `MOST`, spread evenly over it. UsageError for one that cannot be read."""
    try:
        files = [file for file in sorted(Path(folder).rglob("*")) if file.is_file() and _is_picture(file)]
    except OSError as error:
        raise UsageError(f"CAMQ_CALIBRATION={folder}: cannot read {error.filename}: {error.strerror}") from None
    return files if len(files) <= MOST else [files[place * len(files) // MOST] for place in range(MOST)]


def _is_picture(file: Path) -> bool:
    with file.open("rb") as opened:
        return looks_like_a_picture(opened.read(_BEGINNING))


def _pixels(file: Path, pictures: Pictures) -> UInt8Array | None:
    try:
        with pictures.open(file.read_bytes(), Options(), lambda: None) as picture:
            return picture.pixels
    except ImageError:
        return None
