"""One image from its reference to its record: download, decode, explain, draw, upload."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from shared import keys
from shared.contract import EXTENSIONS, ErrorInfo, ImageRecord, ImageRef, ImageState, Options, PredictionRecord
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
from shared.pictures import COMMON_FORMATS
from shared.storage import SCHEME, ObjectStore
from worker.core.model.network import Network
from worker.core.picture.decode import decode, is_common
from worker.core.picture.preprocess import Decode, prepare
from worker.core.picture.render import encode, paint
from worker.core.types import Drawing, Explanation, Limits, Prepared
from worker.errors import CancelledJobError
from worker.image.batcher import Batcher
from worker.image.compute import Compute
from worker.image.decode_pool import Decoding
from worker.timing.measurements import Stage

#: Called between the stages of an image; raises when its work is no longer wanted here.
Check = Callable[[], None]

#: Waited for, whatever the address: storage is away, or refuses everything that we ask for.
_OUTAGES = (UnreachableError, CredentialsError)
#: What an address outside our bucket answers, and the code of the picture that it fails; any other answer is
#: `unavailable`.
_ELSEWHERE: dict[type[Exception], str] = {DeniedError: "denied", UsageError: "not_found"}
CONTENT_TYPES = {"jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png"}


@dataclass(frozen=True, slots=True)
class Explainer:
    """Everything one image needs on its way; shared by all images of the process."""

    network: Network
    batcher: Batcher
    store: ObjectStore
    patience: Patience
    limits: Limits
    #: Addresses of inputs must begin with one of these; none: any.
    in_place: tuple[str, ...]
    #: A job's `output` as this worker may use it; UsageError for one that it may not.
    checked_output: Callable[[str], str]
    compute: Compute
    decoding: Decoding
    stage: Stage

    def record(self, ref: ImageRef, claim: Claim, check: Check) -> ImageRecord:
        """The image's one fate. Only what ends the whole chunk is raised."""
        try:
            return self._succeed(ref, claim, check)
        except ImageError as error:
            return self._ended(ref, ImageState.FAILED, ErrorInfo(error.code, error.message))
        except CancelledJobError:
            return self._ended(ref, ImageState.CANCELLED, None)

    def _succeed(self, ref: ImageRef, claim: Claim, check: Check) -> ImageRecord:
        check()
        if ref.error is not None:  # kept as it is: a newer producer may have a code that this release does not know
            return self._ended(ref, ImageState.FAILED, ref.error)
        options = claim.options
        self._output(options)  # found out before anything is spent on the image
        with self.batcher.coming() as arrived:
            data = self._download(ref, check)
            decode = self._decoder(data)
            prepared = self.compute("decode", self._prepare, data, options, decode)
            check()
            arrived()
            explanation = self.batcher.explain(prepared.pixels, options, urgent=claim.priority == "high", check=check)
        check()
        drawings = self.compute("render", self._draw, prepared, explanation, options)
        with self.stage("upload"):
            predictions = self._upload(ref, claim, check, explanation, drawings)
        return ImageRecord.of(
            ref,
            ImageState.SUCCEEDED,
            width=prepared.geometry.width,
            height=prepared.geometry.height,
            model=claim.model,
            method=explanation.method,
            engine=explanation.engine,
            predictions=predictions,
        )

    def _output(self, options: Options) -> str | None:
        """Where the job's overlays go instead of camq's bucket. ImageError when this worker may not write there."""
        try:
            return self.checked_output(options.output) if options.output else None
        except UsageError as error:
            raise ImageError("output", str(error)) from error

    def _download(self, ref: ImageRef, check: Check) -> bytes:
        if self.in_place and ref.key.startswith(SCHEME) and not ref.key.startswith(self.in_place):
            # Asked here and not by the producer: whoever can write to Redis could ask for any bucket.
            raise ImageError("denied", f"{ref.key} is outside what may be read in place (CAMQ_INPUT_PREFIXES)")
        with self.stage("download"):
            return self.patience(check, self._read, ref)

    def _read(self, ref: ImageRef) -> bytes:
        """One request. ImageError for an answer that is the picture's own; others are the operator's to mend."""
        try:
            return self.store.get(ref.key, max_bytes=self.limits.max_bytes)
        except NotFoundError:
            raise ImageError("not_found", f"{ref.source or ref.key} is not in the object store") from None
        except ObjectTooLargeError as error:
            raise ImageError("too_large", str(error)) from None
        except UnavailableError as error:
            raise ImageError("unavailable", str(error)) from None
        except _OUTAGES:
            raise
        except Exception as error:
            if not ref.key.startswith(SCHEME):
                raise
            code = _ELSEWHERE.get(type(error), "unavailable")
            raise ImageError(code, f"{ref.key} cannot be read in place: {error}") from error

    def _decoder(self, data: bytes) -> Decode:
        """Common formats are decoded in this process, all others in one that may die of them."""
        if not data or is_common(data):
            return partial(decode, formats=COMMON_FORMATS)
        with self.stage("decode"):
            decoded = self.decoding(data)
        return lambda *_: decoded

    def _prepare(self, data: bytes, options: Options, decode: Decode) -> Prepared:
        with self.stage("decode"):
            return prepare(data, options, self.network.spec, self.limits, decode=decode)

    def _draw(self, prepared: Prepared, explanation: Explanation, options: Options) -> list[Drawing]:
        with self.stage("render"):
            paintings = paint(prepared, explanation.classes, options)
        with self.stage("encode"):
            return [encode(painting, options) for painting in paintings]

    def _upload(
        self, ref: ImageRef, claim: Claim, check: Check, explanation: Explanation, drawings: list[Drawing]
    ) -> tuple[PredictionRecord, ...]:
        job, options = claim.message.job, claim.options
        output = self._output(options)
        records = []
        for found, drawing in zip(explanation.classes, drawings, strict=True):
            overlay = keys.overlay_object(job, ref.index, found.rank, EXTENSIONS[options.format], output)
            self._put(check, overlay, drawing.overlay, CONTENT_TYPES[options.format])
            if drawing.heatmap is not None:
                heatmap = keys.heatmap_object(job, ref.index, found.rank, output)
                self._put(check, heatmap, drawing.heatmap, "image/png")
            records.append(
                PredictionRecord(
                    rank=found.rank,
                    class_index=found.class_index,
                    label=self.network.labels[found.class_index],
                    probability=found.probability,
                    overlay=overlay,
                    box=drawing.box,
                    map_min=drawing.map_min,
                    map_max=drawing.map_max,
                    flat=drawing.flat,
                )
            )
        if options.keep_maps:
            archive = maps_archive(explanation, claim.model)
            self._put(check, keys.maps_object(job, ref.index, output), archive, "application/octet-stream")
        return tuple(records)

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


def maps_archive(explanation: Explanation, model: str) -> bytes:
    """The raw maps of one image as an npz: maps (k, h, w) float32, class_index, probability, logit, method, model."""
    classes = explanation.classes
    buffer = io.BytesIO()
    np.savez(
        buffer,
        maps=np.stack([found.values for found in classes]).astype(np.float32),
        class_index=np.array([found.class_index for found in classes], dtype=np.int64),
        probability=np.array([found.probability for found in classes], dtype=np.float32),
        logit=np.array([found.logit for found in classes], dtype=np.float32),
        method=np.array(explanation.method),
        model=np.array(model),
    )
    return buffer.getvalue()
