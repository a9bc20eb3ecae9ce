"""A job as a COCO file (https://cocodataset.org/#format-data): what it predicts, with boxes or masks."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfileobj
from typing import Any

from producer.results.export.exported import Exported, Job, folder_for, write_list
from shared.contract import ImageRecord, MaskRecord, PredictionRecord
from shared.errors import MessageError

COCO = "coco.json"
#: The letters of COCO's compressed RLE.
_COUNTS = re.compile(r"[0-o]*")
#: Bits below a number's last letter; no picture has a run that needs more.
_MOST_BITS = 35


def export_coco(job: Job, folder: Path) -> Exported:
    """Writes `coco.json`. Image and category ids are the indices of images and classes; `file_name` is the source.

    One annotation for a prediction's mask or, where the job has none, one for each of its boxes: `score` is the
    probability, and `rank` the class's rank. Images without a result are left out.
    """
    exported = Exported()
    names: dict[int, str] = {}

    def images(spool: Any) -> Iterator[dict[str, Any]]:
        number = 0
        for record in job.records():
            if not exported.has(record):
                continue
            for annotation in _annotations(record):
                number += 1  # pycocotools takes an id of 0 for no annotation at all
                spool.write((",\n" if number > 1 else "").encode() + _line({"id": number, **annotation}))
            names.update({each.class_index: each.label for each in record.predictions})
            yield {"id": record.index, "file_name": record.source, "width": record.width, "height": record.height}

    with folder_for(folder, job.id, COCO) as files:
        with tempfile.TemporaryFile() as spool, files.open(COCO) as file:
            file.write(b'{"info": ' + _line({"description": f"camq job {job.id}"}) + b',\n"images": ')
            write_list(file, images(spool))
            file.write(b',\n"categories": ')
            write_list(file, ({"id": index, "name": names[index]} for index in sorted(names)))
            file.write(b',\n"annotations": [\n')
            spool.seek(0)
            copyfileobj(spool, file)
            file.write(b"\n]}\n")
        files.complete()
    return exported


def _annotations(record: ImageRecord) -> Iterator[dict[str, Any]]:
    for prediction in record.predictions:
        known = {
            "image_id": record.index,
            "category_id": prediction.class_index,
            "score": prediction.probability,
            "rank": prediction.rank,
            "iscrowd": 0,
        }
        if prediction.mask:
            yield known | of_mask(prediction.mask)
        elif prediction.mask is not None:
            yield from (known | _of_box(box) for box in _boxes(prediction))


def _boxes(prediction: PredictionRecord) -> tuple[tuple[int, int, int, int], ...]:
    return prediction.boxes or ((prediction.box,) if prediction.box else ())


def _of_box(box: tuple[int, int, int, int]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    corners = [x0, y0, x1, y0, x1, y1, x0, y1]
    width, height = x1 - x0, y1 - y0
    return {"bbox": [x0, y0, width, height], "area": width * height, "segmentation": [corners]}


def of_mask(mask: MaskRecord) -> dict[str, Any]:
    """With its area and the box around it, which COCO's tools expect beside."""
    height = mask.size[0]
    if min(mask.size) < 1:
        raise MessageError(f"a mask in the job's results is damaged: its size is {list(mask.size)}")
    area, left, right, top, bottom = 0, mask.size[1], 0, height, 0
    start = 0
    for number, length in enumerate(lengths(mask.counts)):
        if number % 2 and length:
            last = start + length - 1
            column, behind = start // height, last // height
            left, right = min(left, column), max(right, behind)
            if column == behind:
                top, bottom = min(top, start % height), max(bottom, last % height)
            else:
                top, bottom = 0, height - 1
            area += length
        start += length
    if start != height * mask.size[1]:
        raise MessageError("a mask in the job's results is damaged: its runs do not fill it")
    box = [left, top, right - left + 1, bottom - top + 1] if area else [0, 0, 0, 0]
    return {"bbox": box, "area": area, "segmentation": {"size": list(mask.size), "counts": mask.counts}}


def lengths(counts: str) -> Iterator[int]:
    """The lengths of the runs that COCO's compressed RLE holds, of zeros first. MessageError for any other text."""
    if not _COUNTS.fullmatch(counts):
        raise MessageError("a mask in the job's results is damaged: it has letters that no RLE has")
    found: list[int] = []
    value, shift = 0, 0
    for letter in counts:
        group = ord(letter) - 48
        if shift > _MOST_BITS:
            raise MessageError("a mask in the job's results is damaged: a run has more digits than any length")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        if len(found) > 2:
            value += found[-2]
        if value < 0:
            raise MessageError("a mask in the job's results is damaged: a run has a negative length")
        found.append(value)
        yield value
        value, shift = 0, 0


def _line(item: dict[str, Any]) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode()
