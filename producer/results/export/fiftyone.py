"""A job as a data set of FiftyOne's (https://docs.voxel51.com/user_guide/import_datasets.html#fiftyonedataset).

In the form without a version, which every release of FiftyOne reads and which is not bound to the layout of one
release's database.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from producer.parallel import ordered
from producer.results.export.exported import Exported, Job, folder_for, write_list
from producer.results.originals import references
from producer.written_folder import WrittenFolder
from shared import keys
from shared.contract import ImageRecord, ImageRef, PredictionRecord
from shared.errors import MessageError, NotFoundError
from shared.storage.job_objects import MAX_BYTES

SAMPLES, METADATA = "samples.json", "metadata.json"
#: The field that has the heatmaps; FiftyOne finds files below `fields/` by the name of their field.
_HEATMAP = "heatmap"
_FOLDER = f"fields/{_HEATMAP}"


def export_fiftyone(job: Job, folder: Path) -> Exported:
    """Writes `samples.json` and `metadata.json`, and what they name.

    A sample for each image with a result: `prediction` (the best class), `ground_truth` and `correct` where the job has
    ground truth, `boxes` (of each class that was explained) and, where the job has heatmaps of full size, `heatmap` (of
    the best class). A picture that is a file on this machine stays where it is; others are fetched into `data/`.
    """
    exported = Exported()

    def sample(both: tuple[ImageRecord, ImageRef]) -> dict[str, Any] | None:
        return _sample(job, files, *both) if exported.has(both[0]) else None

    every = zip(job.records(), references(job.ledger, job.store, job.id, threads=job.threads), strict=True)
    with folder_for(folder, job.id, METADATA) as files:
        with files.open(METADATA) as file:
            file.write(json.dumps({"media_type": "image", "info": {"camq_job": job.id}}).encode())
        with files.open(SAMPLES) as file:
            file.write(b'{"samples": ')
            write_list(file, (found for found in ordered(sample, every, threads=job.threads) if found))
            file.write(b"}\n")
        files.complete()
    return exported


def _sample(job: Job, files: WrittenFolder, record: ImageRecord, reference: ImageRef) -> dict[str, Any]:
    found: dict[str, Any] = {
        "filepath": _picture(job, files, reference),
        "tags": list(record.tags or ()),
        "metadata": {"_cls": "ImageMetadata", "width": record.width, "height": record.height},
        "camq_index": record.index,
        "source": record.source,
    }
    best = next((each for each in record.predictions if each.rank == 1), None)
    if best:
        found["prediction"] = _classification(best.label, best.probability)
        if job.options.heatmaps == "full" and best.overlay is not None:
            found[_HEATMAP] = _heatmap(job, files, record, best)
    if record.predictions:
        boxes = [box for each in record.predictions for box in _detections(record, each)]
        found["boxes"] = {"_cls": "Detections", "detections": boxes}
    truth = record.truth
    if truth and truth.label:
        label = truth.label[0] if isinstance(truth.label, tuple) and len(truth.label) == 1 else truth.label
        if isinstance(label, str):
            found["ground_truth"] = _classification(label)
        else:
            several = [_classification(each) for each in label]
            found["ground_truths"] = {"_cls": "Classifications", "classifications": several}
        found["correct"] = truth.correct
    return found


def _classification(label: str, confidence: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"_cls": "Classification", "label": label}
    return found if confidence is None else {**found, "confidence": confidence}


def _detections(record: ImageRecord, prediction: PredictionRecord) -> Iterator[dict[str, Any]]:
    """Corner and size as shares of the picture."""
    width, height = record.width or 1, record.height or 1
    for x0, y0, x1, y1 in prediction.boxes or ((prediction.box,) if prediction.box else ()):
        yield {
            "_cls": "Detection",
            "label": prediction.label,
            "confidence": prediction.probability,
            "bounding_box": [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
        }


def _heatmap(job: Job, files: WrittenFolder, record: ImageRecord, best: PredictionRecord) -> dict[str, Any]:
    """The heat as a picture in grey, which is what FiftyOne reads: camq's own has a palette."""
    from PIL import Image, UnidentifiedImageError

    output = job.options.output or None
    data = job.store.get(keys.heatmap_object(job.id, record.index, best.rank, output), MAX_BYTES)
    name = f"{_FOLDER}/{record.index}.png"
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.mode != "P":
                raise MessageError(f"the heatmap of image {record.index} is not one of camq's: it has no palette")
            grey = Image.frombytes("L", picture.size, picture.tobytes())
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise MessageError(f"the heatmap of image {record.index} in storage is damaged: {error}") from None
    with files.open(name) as file:
        grey.save(file, "PNG", compress_level=1)
    return {"_cls": "Heatmap", "map_path": name, "range": [0, 255]}


def _picture(job: Job, files: WrittenFolder, reference: ImageRef) -> str:
    try:
        here = Path(reference.source)
        if here.is_file():
            return str(here.absolute())
    except (OSError, ValueError):
        pass  # no name of a file
    suffix = PurePosixPath(reference.source).suffix
    name = f"data/{reference.index}{suffix if suffix[1:].isalnum() and suffix.isascii() else ''}"
    try:
        data = job.store.get(reference.key, MAX_BYTES)
    except NotFoundError:
        return reference.source  # gone: FiftyOne shows the results all the same
    with files.open(name) as file:
        file.write(data)
    return name
