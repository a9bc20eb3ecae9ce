"""Galleries of made-up images, so that a page can be tested without servers."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET
from PIL import Image

from producer.web.kit import answers as pages
from producer.web.kit.answers import Answers
from producer.web.kit.cards import card
from producer.web.kit.failures import group, named
from producer.web.kit.packed import Packed
from producer.web.report import report_page
from shared.contract import (
    Calibration,
    CalibrationBin,
    ClassAccuracy,
    ClassHeat,
    Cluster,
    Confusion,
    ErrorInfo,
    ImageRecord,
    ImageState,
    JobState,
    JobStatus,
    JobSummary,
    Options,
    PictureWarning,
    PredictionRecord,
    Suspect,
)

LABELS = ("tabby", "tiger cat", "espresso", "moped", "crane")
#: Every image whose index leaves this rest when divided by ten has failed.
FAILED_REST = 4
STATUS = JobStatus(
    job="20261123-081502-3f9ac2",
    name="Holiday photographs",
    state=JobState.PARTIAL,
    sealed=True,
    total=10,
    queued=0,
    running=0,
    succeeded=9,
    failed=1,
    cancelled=0,
    created_at="2026-11-23T08:15:02.120Z",
    finished_at="2026-11-23T08:17:31.410Z",
    images_per_second=41.3,
    eta_s=None,
    model="resnet18@f37072fd1a2b",
    submission_interrupted=False,
    tags=("nightly", "cats"),
)


def gallery(number: int, *, source: str = "photos/picture.jpg", label: str = "") -> list[dict[str, Any]]:
    """Cards with labels in turn; the confidence falls with the index, the margin rises with it."""
    return [_image(index, number, source, label) for index in range(number)]


def write(
    path: Path,
    images: list[dict[str, Any]],
    status: JobStatus = STATUS,
    *,
    shown: int | None = None,
    answers: Answers | None = None,
) -> Path:
    """The page, and the four pictures that all cards share, beside it.

    Failures are those of all `images`, of which the page shows the first `shown`.
    """
    folder = path.with_name("pictures")
    folder.mkdir(exist_ok=True)
    for name, colour in {"original": "slateblue", "1": "red", "2": "green", "3": "blue"}.items():
        buffer = io.BytesIO()
        Image.new("RGB", (40, 30), colour).save(buffer, "WEBP")
        (folder / f"{name}.webp").write_bytes(buffer.getvalue())
    errors = {image["index"]: ErrorInfo(**image["error"]) for image in images if image["error"]}
    names = {index: f"{images[index]['source']} ({images[index]['id']})" for index in named(errors)}
    failures = group(errors, names, status.failed)
    page = report_page(status, Options(), packed(images[:shown]), failures, looked=answers)
    path.write_text(page, "utf-8")
    return path


def judged(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same cards with ground truth: every third answer is wrong, and its true class is the second."""
    for image in images:
        if labels := [line["label"] for line in image["predictions"]]:
            wrong = image["index"] % 3 == 0
            image["truth"] = {"labels": [labels[wrong]], "ranks": [1 + wrong], "correct": not wrong}
    return images


def looked(images: list[dict[str, Any]]) -> Answers:
    """The summary of these cards, with a suspicious cluster; a third of the images has all heat on the border."""
    heat = ClassHeat(
        images=9,
        mean_map=((0.0, 0.1, 0.6), (0.0, 0.1, 0.1), (0.0, 0.0, 0.1)),
        deviation_map=((0.1, 0.1, 0.1), (0.0, 0.1, 0.1), (0.0, 0.0, 0.1)),
        alike=0.8,
        border=0.9,
        outside=None,
    )
    truths = [image for image in images if "truth" in image]
    wrong = [image for image in truths if not image["truth"]["correct"]]
    pairs = Counter((one["truth"]["labels"][0], one["predictions"][0]["label"]) for one in wrong)
    counts = Counter(image["truth"]["labels"][0] for image in truths)
    cluster = Cluster(
        label=LABELS[0], class_index=0, images=7, sampled=10, score=0.5, elsewhere=0.1, accuracy=0.9, rest_accuracy=0.3,
        reason="heat at one place, and not where other classes have it", probability=0.9, rest_probability=0.5,
        heat=heat, examples=(0, 5, 7),
    )  # fmt: skip
    summary = JobSummary(
        job=STATUS.job,
        model=STATUS.model,
        images=len(images),
        failed=len(images) - len(truths),
        with_truth=len(truths),
        maps=len(truths),
        k=3,
        top1=1 - len(wrong) / len(truths),
        top_k=1.0,
        classes=tuple(
            ClassAccuracy(
                label=label,
                class_index=number,
                support=count,
                predicted=count,
                correct=count - 1,
                heat=heat,
                precision=(count - 1) / count,
                recall=(count - 1) / count,
            )
            for number, (label, count) in enumerate(counts.items())
        ),
        confusions=tuple(
            Confusion(truth=truth, predicted=predicted, count=count, heat=heat, truth_heat=heat)
            for (truth, predicted), count in pairs.most_common()
        ),
        calibration=Calibration(
            ece=0.1, bins=(CalibrationBin(low=0.5, high=1.0, images=5, confidence=0.6, accuracy=0.7),)
        ),
        suspects=(Suspect(label=LABELS[1], images=9, reason="heat outside the true boxes", score=0.6, examples=(2,)),),
        clusters=(cluster, msgspec.structs.replace(cluster, label=LABELS[2], reason=None, score=0.0)),
    )
    found = pages.answers(summary, bytes(101 if image["index"] % 3 == 1 else 11 for image in images), "viridis")
    assert found is not None
    return found


def packed(images: list[dict[str, Any]]) -> Packed:
    """The cards as a page carries them."""
    found = Packed("pictures/original-{index}.webp", "pictures/{rank}.webp")
    for image in images:
        found.add(image)
    return found


def status_of(images: list[dict[str, Any]]) -> JobStatus:
    """A job of these images and no others."""
    failed = sum(image["error"] is not None for image in images)
    return msgspec.structs.replace(STATUS, total=len(images), succeeded=len(images) - failed, failed=failed)


def _image(index: int, number: int, source: str, label: str) -> dict[str, Any]:
    if index % 10 == FAILED_REST:
        error = ErrorInfo("truncated", f"the data of {source} ends early")
        failed = ImageRecord(index=index, source=source, state=ImageState.FAILED, error=error, id=f"key-{index}")
        return card(failed, None, [])
    first = 0.6 - 0.2 * index / number
    shares = (first, 0.35 * (number - index) / number, 0.00001)
    names = (label or LABELS[index % len(LABELS)], LABELS[(index + 1) % len(LABELS)], LABELS[(index + 2) % len(LABELS)])
    record = ImageRecord(
        index=index,
        source=source if index % 2 else source.replace("picture", f"picture-{index}"),
        state=ImageState.SUCCEEDED,
        id=f"key-{index}" if index % 10 == 7 else None,
        warnings=(PictureWarning("bands", "the TIFF has 5 bands"),) if index % 10 == 7 else UNSET,
        width=400,
        height=300,
        predictions=tuple(
            PredictionRecord(
                rank=rank,
                class_index=rank,
                label=name,
                probability=share,
                overlay="",
                box=(40, 30, 200, 150),
                map_min=0,
                map_max=1,
                flat=rank == 3,
            )
            for rank, (name, share) in enumerate(zip(names, shares, strict=True), 1)
        ),
    )
    return card(record, "pictures/original.webp", [f"pictures/{rank}.webp" for rank in (1, 2, 3)])
