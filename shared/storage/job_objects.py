"""References and results of a job as they lie in the bucket, where others may write: input, not truth.

What they say of other objects is not believed: the ledger has the references' digest, and the keys of overlays follow
from job, image and rank.
"""

import hashlib

import msgspec

from shared import keys
from shared.contract import EXTENSIONS, ImageRecord, ImageRef, Options, decode_lines
from shared.errors import MessageError
from shared.storage.port import ObjectStore

#: Far above what 256 images with every class of a large network take, and what memory can hold.
MAX_BYTES = 1 << 29
#: Of a chunk's references: 256 images with as many and as long columns as a table may have. A worker reads several.
MOST_REFERENCE_BYTES = 1 << 27


def read_references(store: ObjectStore, job: str, chunk: str, digest: str) -> list[ImageRef]:
    """The references of a submitted chunk. MessageError when they are not those with this SHA-256."""
    data = store.get(keys.chunk_object(job, chunk), MOST_REFERENCE_BYTES)
    if hashlib.sha256(data).hexdigest() != digest:
        raise MessageError(
            f"chunk {chunk} of job {job} does not list the images submitted: something else wrote "
            f"to {keys.chunk_object(job, chunk)}; submit the images as another job"
        )
    return decode_lines(data, ImageRef)


def named_references(store: ObjectStore, key: str) -> list[ImageRef]:
    """What stands in a reference object. MessageError when that is not references."""
    return decode_lines(store.get(key, MOST_REFERENCE_BYTES), ImageRef)


def read_results(
    store: ObjectStore, job: str, chunk: str, attempt: int, *, options: Options, total: int
) -> list[ImageRecord]:
    """The lines that a chunk's worker wrote, without those of images that the job does not have."""
    data = store.get(keys.results_object(job, chunk, attempt), MAX_BYTES)
    return results_in(data, job, options=options, total=total)


def results_in(data: bytes, job: str, *, options: Options, total: int) -> list[ImageRecord]:
    """`read_results` of what was read already."""
    lines = decode_lines(data, ImageRecord)
    return [_with_own_overlays(line, job, options) for line in lines if 0 <= line.index < total]


def _with_own_overlays(record: ImageRecord, job: str, options: Options) -> ImageRecord:
    extension, output = EXTENSIONS[options.format], options.output or None
    predictions = tuple(
        p  # not drawn
        if p.overlay is None
        else msgspec.structs.replace(p, overlay=keys.overlay_object(job, record.index, p.rank, extension, output))
        for p in record.predictions
    )
    return msgspec.structs.replace(record, predictions=predictions)
