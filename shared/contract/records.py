"""Messages, references and results: what a chunk's way is written in."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.contract.codec import SCHEMA_VERSION
from shared.contract.states import ImageState

#: The worker registers this name, the producer sends to it; neither imports the other.
CHUNK_TASK = "camq.chunk"
#: The task that other programs may call with a picture's key.
EXPLAIN_TASK = "camq.explain"
#: Ids of jobs of one picture that a program asked for and waits for: by that task, or by POST /v1/explain.
CALL_PREFIX = "explain-"
#: One byte per image and one string of at most 512 MB per key bound a job; this leaves a wide margin.
MAX_IMAGES_PER_JOB = 100_000_000
#: A network with sigmoid outputs says that a class is there from this probability on.
PRESENT_FROM = 0.5

JobId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
#: A cell of a table of the user's, as results carry it on.
FieldValue = str | int | float | bool | None
#: No picture is as large, and no file has as many pages.
MOST_PIXELS = MOST_PAGES = 10**9
Pixel = Annotated[int, Meta(ge=-MOST_PIXELS, le=MOST_PIXELS)]
#: x0, y0, x1, y1 in pixels of the upright original; x1 and y1 are exclusive.
Box = tuple[Pixel, Pixel, Pixel, Pixel]
ChunkId = Annotated[str, Meta(pattern=r"\A[0-9a-z-]{1,32}\Z")]


class ChunkMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The hint that travels through the broker. It carries ids, never pixels."""

    schema_version: int = SCHEMA_VERSION
    job: JobId
    chunk: ChunkId
    attempt: Annotated[int, Meta(ge=1)]

    @property
    def task_id(self) -> str:
        """Celery's task id: the same attempt always has the same one."""
        return f"{self.job}.{self.chunk}.{self.attempt}"


class Answer(msgspec.Struct, frozen=True):
    """What a worker sends to whoever waits for a lone picture, together with the commit of its chunk.

    `token` is that of the claim, by which the ledger's record shows whether this attempt counts. `lines` is the results
    object, `overlays` has overlays by their keys, or none where they are too large to be sent.
    """

    token: str
    lines: bytes
    overlays: dict[str, bytes]


class ErrorInfo(msgspec.Struct, frozen=True):
    """Why an image failed: a stable code (see `shared.errors.CODES`) and a sentence."""

    code: str
    message: str


class PictureWarning(msgspec.Struct, frozen=True):
    """What is worth knowing of a picture that succeeded: a code of `shared.errors.WARNINGS` and a sentence."""

    code: str
    message: str


class ImageRef(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chunk's reference file: where an image's bytes are and what the user calls it.

    `key` is an object key in camq's bucket, or an `s3://bucket/key` address read in place. `source` is the path as the
    user gave it; `id` is the user's own, left out where none was given. `error` is set when the producer already knows
    that the image cannot be read (missing, empty, above the limit), so that it fails alone and still has its line.
    `fields` are further columns of the user's table. `truth` has the indices of the classes that the user says are
    right: one, or a list where a list was given; `boxes` say where they are. `classes` are explained in this image
    instead of those of the job's options. `page` is the page or frame of the file, counted from 1, where the user
    named one.
    """

    index: Annotated[int, Meta(ge=0, lt=MAX_IMAGES_PER_JOB)]
    key: str = ""
    source: str = ""
    error: ErrorInfo | None = None
    id: str | UnsetType = UNSET
    fields: dict[str, FieldValue] | UnsetType = UNSET
    truth: int | tuple[int, ...] | UnsetType = UNSET
    boxes: tuple[Box, ...] | UnsetType = UNSET
    classes: tuple[int, ...] | UnsetType = UNSET
    page: Annotated[int, Meta(ge=1, le=MOST_PAGES)] | UnsetType = UNSET


class MaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A mask as COCO's compressed RLE, of the upright original: `size` is its height and width."""

    size: tuple[int, int]
    counts: str


class PredictionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One class of one image. `box` is (x0, y0, x1, y1) in pixels of the upright original, x1 and y1 exclusive.

    `boxes` are those of separate areas, the hottest first. `mask` is where the map exceeds the threshold, null where
    it does so nowhere. Both are left out where the job does not ask for them.
    """

    rank: int
    class_index: int
    label: str
    probability: float
    #: What the network puts out for the class, before softmax or sigmoid; older workers do not tell.
    logit: float | None = None
    #: None where the job draws only some of its pictures, and not this one; it has no box then.
    overlay: str | None
    box: Box | None
    boxes: tuple[Box, ...] | UnsetType = UNSET
    mask: MaskRecord | UnsetType | None = UNSET
    map_min: float
    map_max: float
    flat: bool


class PredictedClass(msgspec.Struct, frozen=True, kw_only=True):
    """A class that the network says is there."""

    class_index: int
    label: str
    probability: float


class TruthRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the user says of an image, and how the network's answer compares with it.

    `rank` and `probability` are the network's, among all of its classes. Where the user gave a list of labels, the
    first four are lists of the same length. `predicted` has the best class or, of a network with sigmoid outputs, every
    class of at least `PRESENT_FROM`; `correct` says that `predicted` is exactly what the user says. Where the user
    gave no label, only `boxes` is there.
    """

    label: str | tuple[str, ...] | None = None
    class_index: int | tuple[int, ...] | None = None
    rank: int | tuple[int, ...] | None = None
    probability: float | tuple[float, ...] | None = None
    correct: bool | None = None
    predicted: tuple[PredictedClass, ...] = ()
    boxes: tuple[Box, ...] | UnsetType = UNSET


class EvaluationRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How faithful one method's map of the best class is in one image: what happens to the class's probability.

    `drop` is the share of it that is lost when the map masks the picture, and `increase` says that it rose instead;
    `deletion` and `insertion` are the areas under its curve while the hottest pixels are taken away from the picture,
    and put into a blurred one; `road_morf` and `road_lerf` its mean while the most and the least relevant pixels are
    imputed, and `road` half of their difference. `sparsity` and `complexity` are of the map alone. Where the image has
    boxes, `pointing` says that the hottest pixel lies in one, and `overlaps` has the best intersection over union at
    each threshold from 0.05 to 0.95. `seconds` is what the map took: one picture alone on the worker's device.

    `deletion_curve` and `insertion_curve` are the probabilities themselves, from no pixel to all of them, rounded.
    `randomisation` has a pair for each stage of that test: the layer down to which the network was random, and the rank
    correlation of its map with the real one.
    """

    method: str
    class_index: int
    drop: float
    increase: bool
    deletion: float
    insertion: float
    road: float
    road_morf: float
    road_lerf: float
    sparsity: float
    complexity: float
    seconds: float
    pointing: bool | None = None
    overlaps: tuple[float, ...] = ()
    deletion_curve: tuple[float, ...] = ()
    insertion_curve: tuple[float, ...] = ()
    randomisation: tuple[tuple[str, float], ...] = ()


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One image's result: a line of a results object and of `results --json`.

    `name` and `tags` are the job's: a results object leaves them out, and `id` where the image has none, so that
    nothing is stored once per image that the ledger has once per job.
    """

    index: int
    source: str
    state: ImageState
    width: int | None = None
    height: int | None = None
    model: str | None = None
    method: str | None = None
    #: `flips` where each map is the mean of the picture's and its mirror image's; left out where it is its own.
    smooth: str | UnsetType = UNSET
    #: What ran the network, such as `onnxruntime 1.32.0`; older workers do not tell.
    engine: str | None = None
    predictions: tuple[PredictionRecord, ...] = ()
    error: ErrorInfo | None = None
    #: Left out where there are none.
    warnings: tuple[PictureWarning, ...] | UnsetType = UNSET
    id: str | UnsetType | None = UNSET
    fields: dict[str, FieldValue] | UnsetType = UNSET
    truth: TruthRecord | UnsetType = UNSET
    evaluation: tuple[EvaluationRecord, ...] | UnsetType = UNSET
    name: str | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET

    @classmethod
    def of(cls, ref: ImageRef, state: ImageState, **known: Any) -> "ImageRecord":
        """The record of this image: what its reference says of it, and what is `known` beside."""
        return cls(index=ref.index, source=ref.source, id=ref.id, fields=ref.fields, state=state, **known)
