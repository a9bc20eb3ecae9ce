"""One image from its reference to its record: download, decode, explain, draw, upload."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from shared import keys
from shared.contract import (
    EXTENSIONS,
    Box,
    ErrorInfo,
    ImageRecord,
    ImageRef,
    ImageState,
    MaskRecord,
    Options,
    PredictionRecord,
)
from shared.errors import (
    CredentialsError,
    DeniedError,
    ImageError,
    NotFoundError,
    ObjectTooLargeError,
    UnavailableError,
    UnreachableError,
    UsageError,
)
from shared.ledger import Claim
from shared.outage import Patience
from shared.storage import SCHEME, ObjectStore
from worker.core.map_range import MapRange, map_range
from worker.core.types import Caption, ClassMap, Drawing, Explanation, Geometry, Limits
from worker.errors import CancelledJobError
from worker.image.batcher import Batcher
from worker.image.chunk_maps import ChunkMaps
from worker.image.evaluation import Evaluator
from worker.image.ground_truth import compared, drawn, options_of
from worker.image.lone import Lone, Put
from worker.image.smoothing import smoothed
from worker.pictures.budget import Budget
from worker.pictures.pool import Pictures
from worker.timing.measurements import Stage

if TYPE_CHECKING:  # it loads torch, which nothing here runs
    from worker.core.model.network import Network

#: Called between the stages of an image; raises when its work is no longer wanted here.
Check = Callable[[], None]

#: Waited for, whatever the address: storage is away, or refuses everything that we ask for.
_OUTAGES = (UnreachableError, CredentialsError)
#: What an address outside our bucket answers, and the code of the picture that it fails; any other answer is
#: `unavailable`.
_ELSEWHERE: dict[type[Exception], str] = {DeniedError: "denied", UsageError: "not_found"}
#: Larger files are downloaded by turns; whether one is, is seen before its body is read.
SMALL_FILE_BYTES = 4_000_000
CONTENT_TYPES = {"jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png"}


@dataclass(frozen=True, slots=True)
class Explainer:
    """Everything one image needs on its way; shared by all images of the process."""

    network: Network
    batcher: Batcher
    evaluator: Evaluator
    store: ObjectStore
    patience: Patience
    limits: Limits
    #: Addresses of inputs must begin with one of these; none: any.
    in_place: tuple[str, ...]
    #: A job's `output` as this worker may use it; UsageError for one that it may not.
    checked_output: Callable[[str], str]
    pictures: Pictures
    large_files: Budget
    stage: Stage

    def record(
        self, ref: ImageRef, claim: Claim, check: Check, maps: ChunkMaps | None = None, lone: Lone | None = None
    ) -> ImageRecord:
        """The image's one fate; its maps are added to `maps`. Only what ends the whole chunk is raised.

        Files of a `lone` picture need not be stored yet.
        """
        try:
            return self._succeed(ref, claim, check, maps, lone)
        except ImageError as error:
            return self._ended(ref, ImageState.FAILED, ErrorInfo(error.code, error.message))
        except CancelledJobError:
            return self._ended(ref, ImageState.CANCELLED, None)

    def _succeed(
        self, ref: ImageRef, claim: Claim, check: Check, maps: ChunkMaps | None, lone: Lone | None
    ) -> ImageRecord:
        check()
        if ref.error is not None:  # kept as it is: a newer producer may have a code that this release does not know
            return self._ended(ref, ImageState.FAILED, ref.error)
        options = claim.options
        self._output(options)  # found out before anything is spent on the image
        urgent = claim.priority == "high"
        with ExitStack() as held:  # until it is drawn, a picture may have to be decoded again
            with self.batcher.coming() as arrived:
                data = held.enter_context(self._downloaded(ref, check))
                opened = self.pictures.open(data, options, check, page=ref.page or None, urgent=urgent)
                picture = held.enter_context(opened)
                check()
                arrived()
                wish = options_of(ref, options)
                explain = partial(self.batcher.explain, urgent=urgent, check=check)
                explanation = smoothed(explain, picture.pixels, wish)
            evaluation = self.evaluator(ref, options, picture, check) if options.evaluate else UNSET
            check()
            captions = self._captions(explanation) if options.caption else ()
            drawings = picture.draw(explanation.classes, captions) if drawn(options, explanation) else None
        if drawings is None:
            predictions = self._undrawn(explanation)
        else:
            with self.stage("upload"):
                put = lone.write if lone else partial(self._put, check)
                predictions = self._upload(ref, claim, put, explanation, drawings=drawings, geometry=picture.geometry)
            if lone:
                for record, drawing in zip(predictions, drawings, strict=True):
                    lone.drawn(record.overlay or "", drawing.overlay)
        if maps:
            maps.add(ref, explanation, picture.geometry)
        return ImageRecord.of(
            ref,
            ImageState.SUCCEEDED,
            width=picture.geometry.width,
            height=picture.geometry.height,
            model=claim.model,
            method=explanation.method,
            smooth=options.smooth,
            engine=explanation.engine,
            predictions=predictions,
            truth=compared(ref, explanation, self.network.labels),
            warnings=picture.warnings or UNSET,
            evaluation=evaluation,
        )

    def _output(self, options: Options) -> str | None:
        """Where the job's overlays go instead of camq's bucket. ImageError when this worker may not write there."""
        try:
            return self.checked_output(options.output) if options.output else None
        except UsageError as error:
            raise ImageError("output", str(error)) from error

    @contextmanager
    def _downloaded(self, ref: ImageRef, check: Check) -> Iterator[bytes]:
        """Its bytes, until the block ends. Few large files are held at once: the others wait."""
        if self.in_place and ref.key.startswith(SCHEME) and not ref.key.startswith(self.in_place):
            # Asked here and not by the producer: whoever can write to Redis could ask for any bucket.
            raise ImageError("denied", f"{ref.key} is outside what may be read in place (CAMQ_INPUT_PREFIXES)")
        most = self.limits.max_bytes
        try:
            data = self._download(ref, check, min(SMALL_FILE_BYTES, most))
        except ObjectTooLargeError:
            with self.large_files.take(most, check) as keep:
                try:
                    data = self._download(ref, check, most)
                except ObjectTooLargeError as error:
                    raise ImageError("too_large", str(error)) from None
                keep(len(data))
                yield data
        else:
            yield data

    def _download(self, ref: ImageRef, check: Check, most: int) -> bytes:
        with self.stage("download"):
            return self.patience(check, self._read, ref, most)

    def _read(self, ref: ImageRef, most: int) -> bytes:
        """One request. ImageError for an answer that is the picture's own; others are the operator's to mend."""
        try:
            return self.store.get(ref.key, max_bytes=most)
        except NotFoundError:
            raise ImageError("not_found", f"{ref.source or ref.key} is not in the object store") from None
        except ObjectTooLargeError:
            raise
        except UnavailableError as error:
            raise ImageError("unavailable", str(error)) from None
        except _OUTAGES:
            raise
        except Exception as error:
            if not ref.key.startswith(SCHEME):
                raise
            code = _ELSEWHERE.get(type(error), "unavailable")
            raise ImageError(code, f"{ref.key} cannot be read in place: {error}") from error

    def _upload(
        self,
        ref: ImageRef,
        claim: Claim,
        put: Put,
        explanation: Explanation,
        *,
        drawings: list[Drawing],
        geometry: Geometry,
    ) -> tuple[PredictionRecord, ...]:
        job, options = claim.message.job, claim.options
        output = self._output(options)
        records = []
        for found, drawing in zip(explanation.classes, drawings, strict=True):
            overlay = keys.overlay_object(job, ref.index, found.rank, EXTENSIONS[options.format], output)
            put(overlay, drawing.overlay, CONTENT_TYPES[options.format])
            if drawing.heatmap is not None:
                heatmap = keys.heatmap_object(job, ref.index, found.rank, output)
                put(heatmap, drawing.heatmap, "image/png")
            if drawing.mask is not None:
                put(keys.mask_object(job, ref.index, found.rank, output), drawing.mask, "image/png")
            span = MapRange(drawing.map_min, drawing.map_max, drawing.flat)
            record = self._prediction(found, overlay, drawing.box, span)
            records.append(_with_areas(record, options, drawing, geometry))
        if options.keep_maps:
            archive = maps_archive(explanation, claim.model)
            put(keys.maps_object(job, ref.index, output), archive, "application/octet-stream")
        return tuple(records)

    def _captions(self, explanation: Explanation) -> list[Caption]:
        labels = self.network.labels
        return [Caption(labels[each.class_index], each.class_index, each.probability) for each in explanation.classes]

    def _undrawn(self, explanation: Explanation) -> tuple[PredictionRecord, ...]:
        return tuple(self._prediction(found, None, None, map_range(found.values)) for found in explanation.classes)

    def _prediction(self, found: ClassMap, overlay: str | None, box: Box | None, span: MapRange) -> PredictionRecord:
        return PredictionRecord(
            rank=found.rank,
            class_index=found.class_index,
            label=self.network.labels[found.class_index],
            probability=found.probability,
            logit=found.logit,
            overlay=overlay,
            box=box,
            map_min=span.low,
            map_max=span.high,
            flat=span.flat,
        )

    def _put(self, check: Check, key: str, data: bytes, content_type: str) -> None:
        check()
        self.patience(check, self._write, key, data, content_type)

    def _write(self, key: str, data: bytes, content_type: str) -> None:
        """One request, as `_read`."""
        try:
            self.store.put(key, data, content_type=content_type)
        except _OUTAGES:
            raise
        except Exception as error:
            if not key.startswith(SCHEME):
                raise
            raise ImageError("output", f"{key} cannot be written: {error}") from error

    def _ended(self, ref: ImageRef, state: ImageState, error: ErrorInfo | None) -> ImageRecord:
        return ImageRecord.of(ref, state, model=self.network.model, error=error)


def _with_areas(record: PredictionRecord, options: Options, drawing: Drawing, geometry: Geometry) -> PredictionRecord:
    """With boxes and mask, where the job asks for them."""
    mask: MaskRecord | UnsetType | None = None if options.masks else UNSET
    if drawing.runs is not None:
        mask = MaskRecord(size=(geometry.height, geometry.width), counts=drawing.runs.decode())
    return msgspec.structs.replace(record, boxes=drawing.boxes if options.boxes else UNSET, mask=mask)


def maps_archive(explanation: Explanation, model: str) -> bytes:
    """The raw maps of one image as an npz: maps (k, h, w) float32, class_index, probability, logit, method, model."""
    classes = explanation.classes
    buffer = io.BytesIO()
    np.savez(
        buffer,
        maps=np.stack([found.values for found in classes]).astype(np.float32) if classes else np.zeros((0, 0, 0)),
        class_index=np.array([found.class_index for found in classes], dtype=np.int64),
        probability=np.array([found.probability for found in classes], dtype=np.float32),
        logit=np.array([found.logit for found in classes], dtype=np.float32),
        method=np.array(explanation.method),
        model=np.array(model),
    )
    return buffer.getvalue()
