"""Galleries of made-up images, so that a page can be tested without servers."""

import io
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET
from PIL import Image

from producer.web.kit.cards import card
from producer.web.kit.failures import group, named
from producer.web.report import write_page
from shared.contract import (
    ErrorInfo,
    ImageRecord,
    ImageState,
    JobState,
    JobStatus,
    Options,
    PictureWarning,
    PredictionRecord,
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


def write(path: Path, images: list[dict[str, Any]], status: JobStatus = STATUS, *, shown: int | None = None) -> Path:
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
    write_page(path, status, Options(), images[:shown], group(errors, names, status.failed))
    return path


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
