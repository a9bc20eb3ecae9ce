"""A finished job as files: overlays, heatmaps, maps, and `results.jsonl` last."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from producer.parallel import ordered
from producer.results.records import records
from shared import keys
from shared.contract import ImageRecord, Options, PredictionRecord, encode
from shared.errors import CamqError
from shared.ledger.values import Jobs
from shared.storage.port import ObjectStore

RESULTS = "results.jsonl"
#: `<index>-<rank>.<extension>` and `<index>.npz`.
_OURS = re.compile(r"\d+-\d+\.(jpg|webp|png)|\d+\.npz")


def download(
    ledger: Jobs,
    store: ObjectStore,
    job: str,
    folder: Path,
    *,
    threads: int = 8,
) -> Iterator[ImageRecord]:
    """Yields each record as it stands in `results.jsonl`, `overlay` relative to `folder`.

    The file appears with the last record, whole or not at all: who finds it finds everything it names.
    """
    options = ledger.options(job)
    clear(folder)
    for name in ("overlays", *_extra_folders(options)):
        _make(folder / name)

    def fetch(record: ImageRecord) -> ImageRecord:
        for key, name in _files(job, record, options):
            (folder / name).write_bytes(store.get(key))
        return _relative(record)

    draft = folder / f".{RESULTS}.{os.getpid()}"
    try:
        with draft.open("wb") as file:
            fetched = ordered(fetch, records(ledger, store, job, threads=threads), threads=threads)
            for record in fetched:
                file.write(encode(record) + b"\n")
                yield record
        draft.replace(folder / RESULTS)
    finally:
        draft.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Removes what an earlier `download` left, so that no picture of another job lies among the new ones.

    Only a folder that carries camq's own `results.jsonl` is touched, and only files named as camq names them.
    """
    if not (folder / RESULTS).is_file():
        return
    (folder / RESULTS).unlink()
    for path in (*folder.glob("overlays/*-*.*"), *folder.glob("heatmaps/*-*.png"), *folder.glob("maps/*.npz")):
        if _OURS.fullmatch(path.name) and path.is_file():
            path.unlink()


def drain(items: Iterable[object]) -> int:
    """How many there were."""
    return sum(1 for _ in items)


def _files(job: str, record: ImageRecord, options: Options) -> Iterator[tuple[str, str]]:
    """Object key and file name of everything that exists for one image."""
    for prediction in record.predictions:
        yield prediction.overlay, _overlay_name(prediction)
        if options.heatmaps:
            name = f"heatmaps/{record.index}-{prediction.rank}.png"
            yield keys.heatmap_object(job, record.index, prediction.rank, options.output or None), name
    if options.keep_maps and record.predictions:
        yield keys.maps_object(job, record.index, options.output or None), f"maps/{record.index}.npz"


def _relative(record: ImageRecord) -> ImageRecord:
    predictions = tuple(msgspec.structs.replace(p, overlay=_overlay_name(p)) for p in record.predictions)
    return msgspec.structs.replace(record, predictions=predictions)


def _overlay_name(prediction: PredictionRecord) -> str:
    return f"overlays/{PurePosixPath(prediction.overlay).name}"


def _extra_folders(options: Options) -> list[str]:
    return ["heatmaps"] * options.heatmaps + ["maps"] * options.keep_maps


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CamqError(f"cannot make the folder {folder}: {error.strerror}") from error
