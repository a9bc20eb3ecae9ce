"""A test adapter that plays the worker's side of the ledger by hand: no queue, no network, no pictures read.

It finds its chunks in the ledger instead of the broker, and its verdict on an image depends on the source's
name alone: one with `broken` in it fails, every other succeeds with the classes that were asked for.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import msgspec
from msgspec import UNSET, UnsetType
from PIL import Image

from shared import keys
from shared.contract import (
    EXTENSIONS,
    ErrorInfo,
    ImageRecord,
    ImageRef,
    ImageState,
    MaskRecord,
    ModelCard,
    Options,
    PredictedClass,
    PredictionRecord,
    StageTime,
    TruthRecord,
    WorkerInfo,
    decode_lines,
    encode_lines,
)
from shared.ledger import Claim, RedisLedger
from shared.storage import ObjectStore

LABELS = ("tench", "goldfish", "tabby", "tiger cat", "crane", "crane", "salt, sea")
MODEL = "tiny@0123456789ab"
LAYERS = ("conv1", "layer3", "layer3.0", "layer3.0.conv1", "layer4", "fc")
CARD = ModelCard(
    model=MODEL, labels=LABELS, input_size=224, methods=("cam", "gradcam"), layers=LAYERS, target_layer="layer4"
)
BROKEN = ErrorInfo("not_an_image", "the bytes are not a picture")


class ScriptedWorker:
    """Serves one model from the moment it is made, until its heartbeat runs out."""

    #: The part of a source's name for which the image fails; None: no image fails.
    broken: str | None = "broken"

    def __init__(self, ledger: RedisLedger, store: ObjectStore, card: ModelCard = CARD, pid: int = 1) -> None:
        self.ledger = ledger
        self.store = store
        self.card = card
        self.info = WorkerInfo(
            worker=f"hand-{card.name}",
            host="here",
            pid=pid,
            device="cpu",
            models=(card.model,),
            state="ready",
            stages={"decode": StageTime(48, 0.12), "forward": StageTime(3, 0.9)},
            batch_sizes={16: 2, 4: 1},
        )
        ledger.publish(card)
        self.beat()

    def beat(self) -> None:
        """Another few seconds of life."""
        self.ledger.beat(self.info)

    def leave(self) -> None:
        """Leave the list of workers."""
        self.ledger.leave(self.info)

    def claim_next(self, job: str) -> Claim | None:
        """The next chunk of the job that can be claimed."""
        self.ledger.refill(self.card.model)
        for message in self.ledger.attempts(job):
            claim = self.ledger.claim(message, f"token-{message.task_id}", self.info.worker)
            if isinstance(claim, Claim):
                return claim
        return None

    def finish(self, claim: Claim) -> None:
        """Overlays, then the results object, then the commit."""
        message = claim.message
        refs = decode_lines(self.store.get(keys.chunk_object(message.job, claim.references)), ImageRef)
        refs = [ref for ref in refs if claim.indices is None or ref.index in claim.indices]
        records = [self._record(ref, message.job, claim.options) for ref in refs]
        key = keys.results_object(message.job, message.chunk, message.attempt)
        self.store.put(key, encode_lines(records))
        failures = {record.index: record.error for record in records if record.error}
        self.ledger.commit(claim, [record.state for record in records], failures)

    def work_off(self, job: str) -> int:
        """Every chunk of the job; how many there were."""
        chunks = 0
        while claim := self.claim_next(job):
            self.finish(claim)
            chunks += 1
        return chunks

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Every job that comes is worked off, in a thread."""
        over = Event()

        def work() -> None:
            while not over.wait(0.01):
                self.beat()
                for status in self.ledger.jobs(20):
                    if status.sealed and not status.state.finished:
                        self.work_off(status.job)

        thread = Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _record(self, ref: ImageRef, job: str, options: Options) -> ImageRecord:
        error = ref.error or (BROKEN if self.broken and self.broken in ref.source else None)
        if error:
            return ImageRecord.of(ref, ImageState.FAILED, error=error)
        classes = options.classes or tuple(range(options.top_k))
        predictions = tuple(self._prediction(ref.index, rank, c, job, options) for rank, c in enumerate(classes, 1))
        return ImageRecord.of(
            ref,
            ImageState.SUCCEEDED,
            width=8,
            height=6,
            model=self.card.model,
            method=options.method,
            predictions=predictions,
            truth=self._truth(ref),
        )

    def _truth(self, ref: ImageRef) -> TruthRecord | UnsetType:
        """The classes stand in the order of their indices."""
        if not isinstance(ref.truth, int):
            return UNSET
        best = PredictedClass(class_index=0, label=self.card.labels[0], probability=0.5)
        return TruthRecord(
            label=self.card.labels[ref.truth],
            class_index=ref.truth,
            rank=ref.truth + 1,
            probability=0.5 ** (ref.truth + 1),
            correct=ref.truth == 0,
            predicted=(best,),
            boxes=ref.boxes,
        )

    def _prediction(self, index: int, rank: int, number: int, job: str, options: Options) -> PredictionRecord:
        output = options.output or None
        overlay = keys.overlay_object(job, index, rank, EXTENSIONS[options.format], output)
        if options.only and index % 2:  # draws every second picture, whatever was asked for
            return self._line(rank, number, None)
        self.store.put(overlay, picture((8, 6), (index % 256, rank, 0), options.format))
        if options.heatmaps:
            self.store.put(keys.heatmap_object(job, index, rank, output), picture((7, 7)))
        if options.masks:
            self.store.put(keys.mask_object(job, index, rank, output), picture((8, 6)))
        if options.keep_maps:
            self.store.put(keys.maps_object(job, index, output), b"maps")
        line = self._line(rank, number, overlay)
        # All of it but the first pixel.
        mask = MaskRecord(size=(6, 8), counts="1_1") if options.masks else UNSET
        return msgspec.structs.replace(line, mask=mask, boxes=((0, 0, 8, 6),) if options.boxes else UNSET)

    def _line(self, rank: int, number: int, overlay: str | None) -> PredictionRecord:
        return PredictionRecord(
            rank=rank,
            class_index=number,
            label=self.card.labels[number],
            probability=0.5**rank,
            overlay=overlay,
            box=(0, 0, 8, 6) if overlay else None,
            map_min=0.0,
            map_max=1.0,
            flat=False,
        )


def picture(
    size: tuple[int, int] = (8, 6), colour: tuple[int, int, int] = (200, 100, 50), file_format: str = "png"
) -> bytes:
    """A picture file of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, file_format)
    return buffer.getvalue()
