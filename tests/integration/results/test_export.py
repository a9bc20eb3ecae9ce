"""`camq export`: results in the formats of other tools, read back by the tool where it can be installed."""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from producer import Client
from producer.results.export.coco import export_coco
from producer.results.export.exported import Exported, Job
from producer.results.export.fiftyone import export_fiftyone
from producer.services import Services
from shared import keys
from shared.contract import ImageRecord, ImageRef, Options
from shared.errors import DeniedError, MessageError, UsageError
from shared.ledger.submission import add_chunk
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import CARD, ScriptedWorker, picture

pytestmark = pytest.mark.servers


def job_of(services: Services, job: str) -> Job:
    return Job(services.ledger, services.store, job)


def read(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


def test_a_coco_file_is_read_by_pycocotools(
    services: Services, client: Client, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """Its images, categories and boxes; a failed image has no place in it."""
    job = client.submit([picture(), b"", picture(colour=(1, 2, 3))], top_k=2)
    worker.work_off(job.id)

    exported = export_coco(job_of(services, job.id), tmp_path / "out")

    assert (exported.images, exported.left_out) == (2, 1)
    found = read(tmp_path / "out" / "coco.json")
    assert found.getImgIds() == [0, 2]
    assert [found.imgs[each]["width"] for each in (0, 2)] == [8, 8]
    assert {each["id"]: each["name"] for each in found.loadCats(found.getCatIds())} == {0: "tench", 1: "goldfish"}
    annotations = found.loadAnns(found.getAnnIds(imgIds=[2]))
    assert [(each["category_id"], each["bbox"], each["area"]) for each in annotations] == [
        (0, [0, 0, 8, 6], 48),
        (1, [0, 0, 8, 6], 48),
    ]
    assert [each["score"] for each in annotations] == [0.5, 0.25]
    assert found.annToMask(annotations[0]).sum() > 0
    assert min(found.anns) == 1


def test_masks_are_those_of_the_job(services: Services, client: Client, worker: ScriptedWorker, tmp_path: Path) -> None:
    """In place of boxes; here it is all of the picture but its first pixel."""
    job = client.submit([picture()], top_k=1, masks=True, boxes=3)
    worker.work_off(job.id)

    export_coco(job_of(services, job.id), tmp_path)

    found = read(tmp_path / "coco.json")
    (annotation,) = found.anns.values()
    mask = found.annToMask(annotation)
    assert (mask.shape, int(mask.sum()), int(mask[0, 0])) == ((6, 8), 47, 0)
    assert (annotation["area"], annotation["bbox"]) == (47, [0, 0, 8, 6])


def heat(steps: list[int]) -> bytes:
    """As a worker stores it: steps of the colormap with its palette."""
    image = Image.fromarray(np.array([steps], np.uint8))
    image.putpalette(np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_fiftyones_samples_name_pictures_and_heatmaps(
    services: Services, client: Client, worker: ScriptedWorker, store: MemoryStore, tmp_path: Path
) -> None:
    """A file stays where it is, and what has no file is fetched; heat is grey, in the steps of the map."""
    (tmp_path / "tench").mkdir()
    (tmp_path / "tench" / "a.png").write_bytes(picture())
    job = client.submit([tmp_path / "tench" / "a.png", picture(colour=(1, 2, 3))], top_k=2, heatmaps="full", tags=["x"])
    worker.work_off(job.id)
    for index in (0, 1):
        store.put(keys.heatmap_object(job.id, index, 1), heat([0, 7, 255]))

    exported = export_fiftyone(job_of(services, job.id), tmp_path / "out")

    assert (exported.images, exported.left_out) == (2, 0)
    first, second = json.loads((tmp_path / "out" / "samples.json").read_bytes())["samples"]
    assert first["filepath"] == str(tmp_path / "tench" / "a.png")
    assert second["filepath"] == "data/1"
    assert (tmp_path / "out" / "data" / "1").read_bytes() == picture(colour=(1, 2, 3))
    assert first["prediction"] == {"_cls": "Classification", "label": "tench", "confidence": 0.5}
    assert [each["bounding_box"] for each in first["boxes"]["detections"]] == [[0, 0, 1, 1]] * 2
    assert first["tags"] == ["x"]
    assert first["heatmap"] == {"_cls": "Heatmap", "map_path": "fields/heatmap/0.png", "range": [0, 255]}
    with Image.open(tmp_path / "out" / first["heatmap"]["map_path"]) as grey:
        assert (grey.mode, np.asarray(grey).tolist()) == ("L", [[0, 7, 255]])
    assert "version" not in json.loads((tmp_path / "out" / "metadata.json").read_bytes())


def test_another_picture_at_the_path_is_not_the_jobs(
    services: Services, client: Client, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """The name is the submitter's, perhaps of another machine: the picture is known by its SHA-256."""
    (tmp_path / "a.png").write_bytes(picture())
    job = client.submit([tmp_path / "a.png"])
    worker.work_off(job.id)
    (tmp_path / "a.png").write_bytes(picture(colour=(9, 9, 9)))

    exported = export_fiftyone(job_of(services, job.id), tmp_path / "out")

    (sample,) = json.loads((tmp_path / "out" / "samples.json").read_bytes())["samples"]
    assert sample["filepath"] == "data/0.png"
    assert (tmp_path / "out" / "data" / "0.png").read_bytes() == picture()
    assert exported.no_original == 0


class Failing(MemoryStore):
    """A declared test adapter: these objects are refused."""

    def __init__(self, store: MemoryStore, *refused: str) -> None:
        super().__init__()
        self._store, self._refused = store, refused

    def get(self, key: str, max_bytes: int | None = None) -> bytes:
        if key in self._refused:
            raise DeniedError(f"no access to {key}")
        return self._store.get(key, max_bytes)


def test_what_storage_does_not_give_is_counted_and_ends_nothing(
    services: Services, client: Client, worker: ScriptedWorker, store: MemoryStore, tmp_path: Path
) -> None:
    """An original, and a heatmap."""
    job = client.submit([picture(), picture(colour=(1, 2, 3))], top_k=1, heatmaps="full")
    worker.work_off(job.id)
    store.put(keys.heatmap_object(job.id, 0, 1), heat([0, 7, 255]))
    gone = keys.input_object(hashlib.sha256(picture()).hexdigest())

    refusing = Failing(store, gone, keys.heatmap_object(job.id, 1, 1))
    exported = export_fiftyone(Job(services.ledger, refusing, job.id), tmp_path / "out")

    assert exported == Exported(images=2, no_original=1, no_heatmap=1)
    first, second = json.loads((tmp_path / "out" / "samples.json").read_bytes())["samples"]
    assert (first["filepath"], "heatmap" in first) == ("data/0", True)
    assert (second["filepath"], "heatmap" in second) == ("data/1", False)
    assert [path.name for path in (tmp_path / "out" / "data").iterdir()] == ["1"]


class Growing(Job):
    """A job that gets a chunk after its records were looked at, as one that is still being submitted."""

    __slots__ = ()

    def records(self) -> Iterator[ImageRecord]:
        found = super().records()
        key = keys.input_object(hashlib.sha256(picture()).hexdigest())
        add_chunk(self.ledger, self.store, self.id, "000001", [ImageRef(index=1, key=key, source="late")])
        return found


def test_a_job_that_is_still_submitted_is_exported_as_far_as_it_is(
    services: Services, store: MemoryStore, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """The second look at its chunks sees more of them."""
    services.ledger.open_job("growing", model=CARD.model, options=Options(), priority="bulk", name=None)
    key = keys.input_object(hashlib.sha256(picture()).hexdigest())
    store.put(key, picture())
    add_chunk(services.ledger, store, "growing", "000000", [ImageRef(index=0, key=key, source="early")])
    worker.work_off("growing")

    exported = export_fiftyone(Growing(services.ledger, store, "growing"), tmp_path / "out")

    assert exported == Exported(images=1)


def test_ground_truth_goes_along(services: Services, client: Client, worker: ScriptedWorker, tmp_path: Path) -> None:
    """As the field that FiftyOne's own evaluation takes."""
    for name in ("tench", "goldfish"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "a.png").write_bytes(picture())
    job = client.submit([tmp_path / "photos"], truth="folders")
    worker.work_off(job.id)

    export_fiftyone(job_of(services, job.id), tmp_path / "out")

    samples = json.loads((tmp_path / "out" / "samples.json").read_bytes())["samples"]
    assert [(each["ground_truth"]["label"], each["correct"]) for each in samples] == [
        ("goldfish", False),
        ("tench", True),
    ]
    assert not any("heatmap" in each for each in samples)


def test_a_heatmap_that_somebody_wrote_over_ends_in_a_sentence(
    services: Services, client: Client, worker: ScriptedWorker, store: MemoryStore, tmp_path: Path
) -> None:
    """And leaves no half of an export."""
    job = client.submit([picture()], top_k=1, heatmaps="full")
    worker.work_off(job.id)
    for data in (b"nothing", picture()):
        store.put(keys.heatmap_object(job.id, 0, 1), data)
        with pytest.raises(MessageError, match="the heatmap of image 0"):
            export_fiftyone(job_of(services, job.id), tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_an_export_replaces_its_own_and_nothing_else(
    services: Services, client: Client, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """Neither a stranger's file nor the results of a download."""
    job = client.submit([picture()])
    worker.work_off(job.id)
    export_coco(job_of(services, job.id), tmp_path / "out")
    export_coco(job_of(services, job.id), tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "coco.json").write_text("mine")
    with pytest.raises(UsageError, match="was not written by camq"):
        export_coco(job_of(services, job.id), tmp_path / "mine")
    job.download(tmp_path / "results")
    with pytest.raises(UsageError, match="choose another folder"):
        export_coco(job_of(services, job.id), tmp_path / "results")
    assert (tmp_path / "mine" / "coco.json").read_text() == "mine"
    with pytest.raises(UsageError, match=r"has an export of camq's, such as coco\.json: choose another folder"):
        job.download(tmp_path / "out")
    export_coco(job_of(services, job.id), tmp_path / "out")


def test_fiftyone_reads_the_samples(
    services: Services, client: Client, worker: ScriptedWorker, store: MemoryStore, tmp_path: Path
) -> None:
    """By its own importer, where it is installed: it is not in the lock, since its OpenCV overwrites grad-cam's."""
    data = pytest.importorskip("fiftyone.utils.data")
    (tmp_path / "photos" / "tench").mkdir(parents=True)
    (tmp_path / "photos" / "tench" / "a.png").write_bytes(picture())
    job = client.submit([tmp_path / "photos"], truth="folders", heatmaps="full")
    worker.work_off(job.id)
    store.put(keys.heatmap_object(job.id, 0, 1), heat([0, 7, 255]))
    export_fiftyone(job_of(services, job.id), tmp_path / "out")

    importer = data.FiftyOneDatasetImporter(str(tmp_path / "out"))
    assert importer._is_legacy_format_data()
    with importer._to_legacy_importer() as reader:
        (sample,) = list(reader)

    assert (sample.prediction.label, sample.prediction.confidence) == ("tench", 0.5)
    assert (sample.ground_truth.label, sample.correct) == ("tench", True)
    assert [each.bounding_box for each in sample.boxes.detections] == [[0, 0, 1, 1]] * 3
    assert sample.heatmap.get_map().tolist() == [[0, 7, 255]]
    assert sample.filepath == str(tmp_path / "photos" / "tench" / "a.png")
