"""What a job says of one image, as Python objects."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from shared.errors import CamqError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy import float32
    from numpy.typing import NDArray
    from PIL.Image import Image

    from shared.contract import (
        ErrorInfo,
        FieldValue,
        ImageRecord,
        MaskRecord,
        PictureWarning,
        PredictionRecord,
        TruthRecord,
    )
    from shared.storage import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Prediction:
    """One class of one image. `box` is (x0, y0, x1, y1) in pixels of the upright original, x1, y1 exclusive.

    `boxes` are those of separate areas, the hottest first, and `rle` is the mask as COCO's compressed RLE; both only
    where the job asked for them.
    """

    rank: int
    class_index: int
    label: str
    probability: float
    #: None where the job drew only some of its pictures, and not this one.
    overlay_key: str | None
    box: tuple[int, int, int, int] | None
    map_min: float
    map_max: float
    flat: bool
    #: What the network puts out for the class, before softmax or sigmoid; None from workers of older releases.
    logit: float | None = None
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    rle: MaskRecord | None = None
    _store: ObjectStore = field(repr=False, compare=False)
    #: The overlay's file, where it came with the answer.
    _file: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, line: PredictionRecord, store: ObjectStore, file: bytes | None = None) -> Self:
        """The prediction of a record, with its overlay or the way to it."""
        return cls(
            rank=line.rank,
            class_index=line.class_index,
            label=line.label,
            probability=line.probability,
            overlay_key=line.overlay,
            box=line.box,
            map_min=line.map_min,
            map_max=line.map_max,
            flat=line.flat,
            logit=line.logit,
            boxes=line.boxes or (),
            rle=line.mask or None,
            _store=store,
            _file=file,
        )

    def overlay(self) -> Image:
        """The overlay as a PIL picture. Raises CamqError for a picture that was not drawn."""
        from PIL import Image

        from shared.pictures import OVERLAY_FORMATS
        from shared.storage.job_objects import MAX_BYTES

        data = self._store.get(self._drawn(), MAX_BYTES) if self._file is None else self._file
        with Image.open(io.BytesIO(data), formats=OVERLAY_FORMATS) as picture:
            picture.load()
            return picture

    def map(self) -> NDArray[float32]:
        """The raw map as a NumPy array of shape (h, w), for a job that was submitted with `keep_maps=True`.

        Raises CamqError without NumPy, and for a job that kept no maps.
        """
        from producer.results.arrays import read_arrays
        from shared import keys
        from shared.storage.job_objects import MAX_BYTES

        try:
            data = self._store.get(keys.maps_beside(self._drawn()), MAX_BYTES)
        except NotFoundError:
            raise CamqError("this job kept no maps: submit it with keep_maps=True (--keep-maps)") from None
        try:
            kept = read_arrays(data, ("class_index", "maps"))
            maps, classes = kept["maps"], kept["class_index"]
            if maps.ndim != 3 or maps.dtype.kind != "f" or classes.shape != maps.shape[:1]:
                raise ValueError("its arrays do not fit together")
            found: NDArray[float32] = maps[classes.tolist().index(self.class_index)].astype("float32", copy=False)
        except ImportError as error:
            raise CamqError("a map needs NumPy: pip install numpy") from error
        except ValueError as error:
            raise CamqError(f"the maps of {self.overlay_key} in storage are damaged: {error}") from None
        return found

    def __repr__(self) -> str:
        return f"Prediction({self.rank}, {self.label!r}, {self.probability:.3g})"

    def url(self, expires_s: int = 3600) -> str:
        """An address at which a browser finds the overlay without credentials, for at most a week."""
        return self._store.presigned_get(self._drawn(), expires_s)

    def _drawn(self) -> str:
        if self.overlay_key is None:
            raise CamqError("this picture was not drawn: the job was submitted with --only")
        return self.overlay_key


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ImageResult:
    """One image's result. `predictions` is empty, and `error` says why, unless `state` is `succeeded`."""

    index: int
    source: str
    #: The user's own, None unless one was given.
    id: str | None = None
    #: Further columns of the user's table, and labels of a data set.
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    #: What is right, and how the answer compares with it; None where nobody said.
    truth: TruthRecord | None = None
    state: str
    width: int | None
    height: int | None
    model: str | None
    method: str | None
    #: `flips` where each map is the mean of the picture's and its mirror image's.
    smooth: str | None = None
    #: What ran the network, such as `onnxruntime 1.32.0`.
    engine: str | None = None
    predictions: tuple[Prediction, ...]
    error: ErrorInfo | None
    #: What is worth knowing of a picture that succeeded: it ended early, or has further bands.
    warnings: tuple[PictureWarning, ...] = ()

    @classmethod
    def of(
        cls, record: ImageRecord, store: ObjectStore, file: Callable[[str | None], bytes | None] = lambda _: None
    ) -> Self:
        """The result that a record holds. `file` has the overlays that are at hand, by their keys."""
        return cls(
            index=record.index,
            source=record.source,
            id=record.id or None,
            fields=record.fields or {},
            truth=record.truth or None,
            state=record.state,
            width=record.width,
            height=record.height,
            model=record.model,
            method=record.method,
            smooth=record.smooth or None,
            engine=record.engine,
            predictions=tuple(Prediction.of(line, store, file(line.overlay)) for line in record.predictions),
            error=record.error,
            warnings=record.warnings or (),
        )

    def __repr__(self) -> str:
        what = repr(self.error.code) if self.error else ", ".join(map(repr, self.predictions[:1])) or self.state
        return f"ImageResult({self.index}, {self.source!r}, {what})"

    def _repr_html_(self) -> str:
        """How a notebook shows it: its best overlays, small, with their labels."""
        from producer.results.notebook import image_html

        return image_html(self)
