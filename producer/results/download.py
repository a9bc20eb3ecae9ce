"""A finished job as files: overlays, heatmaps, maps, and `results.jsonl` last."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from producer.parallel import ordered
from producer.results.folder import REPORT, RESULTS, SHEET, FileNames, results_folder
from producer.results.records import records
from producer.written_folder import thumbnails_folder
from shared import keys
from shared.contract import ImageRecord, Options, PredictionRecord, encode
from shared.ledger import RedisLedger
from shared.storage.job_objects import MAX_BYTES
from shared.storage.port import ObjectStore


def download(
    ledger: RedisLedger,
    store: ObjectStore,
    job: str,
    folder: Path,
    *,
    threads: int = 8,
    names: str = "index",
    notice: Callable[[str], None] = lambda _: None,
) -> Iterator[ImageRecord]:
    """Yields each record as it stands in `results.jsonl`, `overlay` relative to `folder`.

    Files are named by their image's index, or with the `names` "source" after its picture.

    The files are in their places after the last record, all of them or none. Those of an earlier download are
    replaced then, with a notice; UsageError when a file that camq did not write is in the way.
    """
    options = ledger.options(job)
    with results_folder(folder, job) as files:

        def fetch(named: tuple[ImageRecord, str]) -> ImageRecord:
            record, stem = named
            for key, name in _files(job, record, options, stem):
                with files.open(name) as file:
                    file.write(store.get(key, MAX_BYTES))
            return _relative(record, stem)

        given = FileNames(names)
        every = ((record, given.stem(record)) for record in records(ledger, store, job, threads=threads))
        with files.open(RESULTS) as lines:
            for record in ordered(fetch, every, threads=threads):
                lines.write(encode(record) + b"\n")
                yield record
        completed = files.complete(("overlays", *_extra_folders(options)))
        if REPORT in completed.removed:
            thumbnails_folder(folder / REPORT).remove()
    if completed.before:
        pages = sorted(name for name in completed.removed if name in (REPORT, SHEET))
        of_it = f", with its {' and '.join(pages)}" if pages else ""
        notice(f"replaced the results of job {completed.before} in {folder}{of_it}")


def drain(items: Iterable[object]) -> int:
    """How many there were."""
    return sum(1 for _ in items)


def _files(job: str, record: ImageRecord, options: Options, stem: str) -> Iterator[tuple[str, str]]:
    """Object key and file name of everything that exists for one image."""
    drawn = [prediction for prediction in record.predictions if prediction.overlay is not None]
    for prediction in drawn:
        yield str(prediction.overlay), _overlay_name(prediction, stem)
        if options.heatmaps:
            name = f"heatmaps/{stem}-{prediction.rank}.png"
            yield keys.heatmap_object(job, record.index, prediction.rank, options.output or None), name
        if prediction.mask:
            name = f"masks/{stem}-{prediction.rank}.png"
            yield keys.mask_object(job, record.index, prediction.rank, options.output or None), name
    if options.keep_maps and drawn:
        yield keys.maps_object(job, record.index, options.output or None), f"maps/{stem}.npz"


def _relative(record: ImageRecord, stem: str) -> ImageRecord:
    predictions = tuple(
        p if p.overlay is None else msgspec.structs.replace(p, overlay=_overlay_name(p, stem))
        for p in record.predictions
    )
    return msgspec.structs.replace(record, predictions=predictions)


def _overlay_name(prediction: PredictionRecord, stem: str) -> str:
    return f"overlays/{stem}-{prediction.rank}{PurePosixPath(prediction.overlay or '').suffix}"


def _extra_folders(options: Options) -> list[str]:
    wanted = {"heatmaps": options.heatmaps, "masks": options.masks, "maps": options.keep_maps}
    return [name for name, is_asked in wanted.items() if is_asked]
