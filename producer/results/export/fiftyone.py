"""A job as a data set of FiftyOne's (https://docs.voxel51.com/user_guide/import_datasets.html#fiftyonedataset).

In the form without a version, which every release of FiftyOne reads and which is not bound to the layout of one
release's database.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from producer.parallel import ordered
from producer.results.export.exported import Exported, Job, folder_for, write_list
from producer.results.originals import read, references
from producer.written_folder import WrittenFolder
from shared import keys
from shared.contract import ImageRecord, ImageRef, Options, PredictionRecord
from shared.errors import MessageError
from shared.storage.job_objects import MAX_BYTES

SAMPLES, METADATA = "samples.json", "metadata.json"
#: The field that has the heatmaps; FiftyOne finds files below `fields/` by the name of their field.
_HEATMAP = "heatmap"
_FOLDER = f"fields/{_HEATMAP}"


def export_fiftyone(job: Job, folder: Path) -> Exported:
    """Writes `samples.json` and `metadata.json`, and what they name.

    A sample for each image with a result: `prediction` (the best class), `ground_truth` and `correct` where the job has
    ground truth, `boxes` (of each class that was explained) and, where the job has heatmaps of full size, `heatmap` (of
    the best class). A picture that is still this machine's file of that name stays where it is; others are fetched into
    `data/`. An original or a heatmap that storage does not give is counted, and its sample is there all the same.
    """
    exported, options = Exported(), job.options

    def make(both: tuple[ImageRecord, ImageRef]) -> _Made:
        return _sample(job, options, files, *both)

    def samples() -> Iterator[dict[str, Any]]:
        pairs = zip(
            job.records(),
            references(job.ledger, job.store, job.id, threads=job.threads),
            strict=False,  # while a job is being submitted, the second look may see one chunk more
        )
        for made in ordered(make, (pair for pair in pairs if exported.has(pair[0])), threads=job.threads):
            exported.no_original += not made.has_original
            exported.no_heatmap += not made.has_heatmap
            yield made.sample

    with folder_for(folder, job.id, METADATA) as files:
        with files.open(METADATA) as file:
            file.write(json.dumps({"media_type": "image", "info": {"camq_job": job.id}}).encode())
        with files.open(SAMPLES) as file:
            file.write(b'{"samples": ')
            write_list(file, samples())
            file.write(b"}\n")
        files.complete()
    return exported


class _Made(NamedTuple):
    """A sample, and whether what it should name is there."""

    sample: dict[str, Any]
    has_original: bool
    has_heatmap: bool


def _sample(job: Job, options: Options, files: WrittenFolder, record: ImageRecord, reference: ImageRef) -> _Made:
    path, has_original = _picture(job, files, reference)
    has_heatmap = True
    found: dict[str, Any] = {
        "filepath": path,
        "tags": list(record.tags or ()),
        "metadata": {"_cls": "ImageMetadata", "width": record.width, "height": record.height},
        "camq_index": record.index,
        "source": record.source,
    }
    best = next((each for each in record.predictions if each.rank == 1), None)
    if best:
        found["prediction"] = _classification(best.label, best.probability)
        if options.heatmaps == "full" and best.overlay is not None:
            heat = read(
                job.store, keys.heatmap_object(job.id, record.index, best.rank, options.output or None), MAX_BYTES
            )
            has_heatmap = heat is not None
            if heat is not None:
                found[_HEATMAP] = _heatmap(files, record.index, heat)
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
    return _Made(found, has_original, has_heatmap)


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


def _heatmap(files: WrittenFolder, index: int, data: bytes) -> dict[str, Any]:
    """The heat as a picture in grey, which is what FiftyOne reads: camq's own has a palette."""
    from PIL import Image, UnidentifiedImageError

    name = f"{_FOLDER}/{index}.png"
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.mode != "P":
                raise MessageError(f"the heatmap of image {index} is not one of camq's: it has no palette")
            grey = Image.frombytes("L", picture.size, picture.tobytes())
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise MessageError(f"the heatmap of image {index} in storage is damaged: {error}") from None
    with files.open(name) as file:
        grey.save(file, "PNG", compress_level=1)
    return {"_cls": "Heatmap", "map_path": name, "range": [0, 255]}


def _picture(job: Job, files: WrittenFolder, reference: ImageRef) -> tuple[str, bool]:
    """The path of the original, and whether there is a file."""
    if _is_here(reference):
        return str(Path(reference.source).absolute()), True
    suffix = PurePosixPath(reference.source).suffix
    name = f"data/{reference.index}{suffix if suffix[1:].isalnum() and suffix.isascii() else ''}"
    data = read(job.store, reference.key, MAX_BYTES)
    if data is None:
        return name, False  # FiftyOne shows the results all the same
    with files.open(name) as file:
        file.write(data)
    return name, True


def _is_here(reference: ImageRef) -> bool:
    """Whether the submitter's name means the same picture here: another machine's path may mean another one."""
    try:
        path = Path(reference.source)
        if not (keys.is_input(reference.key) and path.is_file()):
            return False
        with path.open("rb") as file:
            return reference.key == keys.input_object(hashlib.file_digest(file, "sha256").hexdigest())
    except (OSError, ValueError):
        return False  # no name of a file, or not ours to read
