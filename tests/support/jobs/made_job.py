"""A job of any size whose results are made up and not computed: everything else is real, ledger, storage and objects.

python -m tests.support.jobs.made_job 100000        into the servers of the CAMQ_* variables; prints the job's id
"""

import io
import sys
from collections.abc import Iterator

import numpy as np

from producer.inputs.notes import labelled
from producer.inputs.source import ObjectSource
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import submit
from shared import keys
from shared.config import Settings
from shared.contract import (
    ImageRecord,
    ImageRef,
    ImageState,
    ModelCard,
    PredictedClass,
    PredictionRecord,
    TruthRecord,
    decode_lines,
    encode_lines,
)
from shared.ledger import Claim
from tests.support.jobs.scripted_worker import ScriptedWorker

LABELS = tuple(f"class {number:03d}" for number in range(1000))
CARD = ModelCard(
    model="made@0123456789ab",
    labels=LABELS,
    input_size=224,
    methods=("cam",),
    layers=("layer4",),
    target_layer="layer4",
)
#: The class whose heat lies in a corner.
MARKED = 7
TOP = 3


class MadeWorker(ScriptedWorker):
    """Answers with numbers drawn from the index of the image: three classes of a thousand, each with a map of 7 x 7."""

    def finish(self, claim: Claim) -> None:
        """Results and maps, then the commit; no overlays."""
        message = claim.message
        refs = decode_lines(self.store.get(keys.chunk_object(message.job, claim.references)), ImageRef)
        random = np.random.default_rng(refs[0].index)
        records = [self._made(ref, random) for ref in refs]
        self.store.put(keys.results_object(message.job, message.chunk, message.attempt), encode_lines(records))
        maps = _maps(refs, records, random)
        self.store.put(keys.chunk_maps_object(message.job, message.chunk, message.attempt), maps)
        self.ledger.commit(claim, [record.state for record in records], {})

    def work_off(self, job: str) -> int:
        """Every chunk of the job, none of which is looked at twice; how many there were."""
        known: set[str] = set()
        while True:
            self.ledger.refill(self.card.model)
            fresh = [message for message in self.ledger.attempts(job) if message.task_id not in known]
            for message in fresh:
                claim = self.ledger.claim(message, f"token-{message.task_id}", self.info.worker)
                assert isinstance(claim, Claim)
                self.finish(claim)
                known.add(message.task_id)
            if not fresh:
                return len(known)

    def _made(self, ref: ImageRef, random: np.random.Generator) -> ImageRecord:
        assert isinstance(ref.truth, int)
        is_right = random.random() < 0.8
        best = ref.truth if is_right else (ref.truth + int(random.integers(1, 4))) % len(LABELS)
        classes = [best, (best + 1) % len(LABELS), (best + 5) % len(LABELS)]
        shares = np.sort(random.dirichlet((4, 1, 1)))[::-1].tolist()
        return ImageRecord.of(
            ref,
            ImageState.SUCCEEDED,
            width=500,
            height=375,
            model=self.card.model,
            method="cam",
            engine="none",
            predictions=tuple(
                PredictionRecord(
                    rank=rank, class_index=index, label=LABELS[index], probability=share, logit=1.0, overlay=None,
                    box=(12, 20, 300, 320), map_min=-1.0, map_max=9.0, flat=False,
                )
                for rank, (index, share) in enumerate(zip(classes, shares, strict=True), 1)
            ),
            truth=TruthRecord(
                label=LABELS[ref.truth],
                class_index=ref.truth,
                rank=1 if is_right else 2,
                probability=shares[0] if is_right else shares[1],
                correct=is_right,
                predicted=(PredictedClass(class_index=best, label=LABELS[best], probability=shares[0]),),
            ),
        )  # fmt: skip


def _maps(refs: list[ImageRef], records: list[ImageRecord], random: np.random.Generator) -> bytes:
    """A blob at any place; in nine of ten images of the marked class in the upper right corner."""
    rows = len(refs) * TOP
    truth = np.repeat([ref.truth for ref in refs], TOP)
    middle = random.uniform(0, 6, (rows, 2, 1, 1))
    middle[(truth == MARKED) & (random.random(rows) < 0.9)] = [[[0]], [[6]]]
    y, x = np.mgrid[:7, :7]
    maps = np.exp(-((y - middle[:, 0]) ** 2 + (x - middle[:, 1]) ** 2) / 3) - 0.02
    lines = [line for record in records for line in record.predictions]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        image=np.repeat([ref.index for ref in refs], TOP),
        class_index=np.array([line.class_index for line in lines]),
        rank=np.array([line.rank for line in lines]),
        probability=np.array([line.probability for line in lines], np.float32),
        truth=truth,
        size=np.tile([500, 375], (rows, 1)),
        seen=np.tile(np.array([0, 0, 500, 375], np.float32), (rows, 1)),
        maps=maps.astype(np.float16),
        boxes=np.zeros((0, 5), np.int64),
    )
    return buffer.getvalue()


def make(services: Services, images: int) -> str:
    """A finished job of so many images of a thousand classes; its id."""

    def references() -> Iterator[ObjectSource]:
        for index in range(images):
            name = f"s3://pictures/2026/{LABELS[index % len(LABELS)]}/{index:09d}.jpg"
            yield ObjectSource(name, 40_000, notes=labelled(index % len(LABELS)))

    worker = MadeWorker(services.ledger, services.store, CARD)
    try:
        job = submit(services, references(), Request(name=f"{images:,} made results", truth="labels"))
        worker.work_off(job)
    finally:
        worker.leave()
    return job


if __name__ == "__main__":
    with Services(Settings.load()) as own:
        print(make(own, int(sys.argv[1])))  # noqa: T201
