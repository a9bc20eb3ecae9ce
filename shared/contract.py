"""What travels between producer and worker: messages, options, references, results.

Frozen types, JSON both ways, `schema_version` first. Every field is validated when it is decoded, so a
malformed message is refused before anything is done with it.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.errors import MessageError, NewerSchemaError
from shared.states import ImageState, JobState

#: Raised when a field changes meaning. Readers leave newer versions alone (`NewerSchemaError`).
SCHEMA_VERSION = 1
#: The worker registers this name, the producer sends to it; neither imports the other.
CHUNK_TASK = "camq.chunk"
#: The task that other programs may call with a picture's key.
EXPLAIN_TASK = "camq.explain"
#: One byte per image and one string of at most 512 MB per key bound a job; this leaves a wide margin.
MAX_IMAGES_PER_JOB = 100_000_000
#: Sides of a network's input that may be asked for, in pixels; each network takes these or fewer (`ModelCard`).
SMALLEST_INPUT, LARGEST_INPUT = 32, 4096

T = TypeVar("T")

JobId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
ChunkId = Annotated[str, Meta(pattern=r"\A[0-9a-z-]{1,32}\Z")]
Method = Literal[
    "cam", "gradcam", "hirescam", "xgradcam", "layercam", "gradcam++", "eigencam", "ablationcam", "scorecam"
]
Format = Literal["jpeg", "webp", "png"]
Priority = Literal["high", "bulk"]
METHODS: tuple[str, ...] = get_args(Method)
#: They take seconds per picture, where the others take milliseconds.
SLOW_METHODS = frozenset({"scorecam"})
FORMATS: tuple[str, ...] = get_args(Format)
PRIORITIES: tuple[str, ...] = get_args(Priority)
EXTENSIONS = {"jpeg": "jpg", "webp": "webp", "png": "png"}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the images of a job are mapped and drawn. One set per job; the ledger holds it.

    `shared.options` makes checks, command, page and documentation from it. `extra` has words for help texts.
    """

    top_k: Annotated[int, Meta(ge=1, description="Number of best classes to explain per picture.")] = 3
    #: `rank` is then the class's true rank.
    classes: Annotated[
        tuple[Annotated[int, Meta(ge=0)], ...] | None,
        Meta(
            description='Explain these classes instead of the best ones, as in 283,"tabby".', extra={"metavar": "LIST"}
        ),
    ] = None
    method: Annotated[
        Method, Meta(description="Method that computes the map. scorecam takes many seconds per picture.")
    ] = "cam"
    target: Annotated[
        Literal["logit", "softmax"], Meta(description="Explain the logit or the softmax probability.")
    ] = "logit"
    target_layer: Annotated[
        str | None,
        Meta(
            description="Layer to map; any but the default needs the method gradcam.",
            extra={"metavar": "NAME", "default": "the model's last convolutional layer"},
        ),
    ] = None
    scale: Annotated[
        Literal["each", "shared"],
        Meta(description="Scale each map by its own maximum, or by the picture's."),
    ] = "each"
    colormap: Annotated[str, Meta(description="Colormap of the heatmap.", extra={"metavar": "NAME"})] = "jet"
    alpha: Annotated[float, Meta(ge=0, le=1, description="Opacity of the heatmap over the picture.")] = 0.5
    resize: Annotated[
        Literal["squash", "center-crop"], Meta(description="How to make a picture square for the network.")
    ] = "squash"
    input_size: Annotated[
        Annotated[int, Meta(ge=SMALLEST_INPUT, le=LARGEST_INPUT)] | None,
        Meta(description="Side of the network's input in pixels.", extra={"default": "the model's own"}),
    ] = None
    overlay: Annotated[Literal["original", "input"], Meta(description="Picture to draw on.")] = "original"
    overlay_size: Annotated[int, Meta(ge=16, le=16384, description="Maximum side of an overlay in pixels.")] = 512
    format: Annotated[Format, Meta(description="File format of overlays.")] = "jpeg"
    box_threshold: Annotated[
        float, Meta(gt=0, lt=1, description="Box the area where the map exceeds this share of its maximum.")
    ] = 0.2
    heatmaps: Annotated[bool, Meta(description="Also store the heatmaps without the picture.")] = False
    keep_maps: Annotated[bool, Meta(description="Also store the raw maps, as NumPy archives.")] = False
    #: Left out while unset, so that workers of older releases refuse only the jobs that they would write elsewhere.
    output: Annotated[
        str | UnsetType,
        Meta(
            description="Write overlays, heatmaps and maps to a folder under this prefix.",
            extra={"metavar": "s3://BUCKET/PREFIX", "default": "camq's own bucket"},
        ),
    ] = UNSET


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


class ErrorInfo(msgspec.Struct, frozen=True):
    """Why an image failed: a stable code (see `shared.errors.CODES`) and a sentence."""

    code: str
    message: str


class ImageRef(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chunk's reference file: where an image's bytes are and what the user calls it.

    `key` is an object key in camq's bucket, or an `s3://bucket/key` address read in place. `source` is the path as the
    user gave it; `id` is the user's own, left out where none was given. `error` is set when the producer already knows
    that the image cannot be read (missing, empty, above the limit), so that it fails alone and still has its line.
    """

    index: Annotated[int, Meta(ge=0, lt=MAX_IMAGES_PER_JOB)]
    key: str = ""
    source: str = ""
    error: ErrorInfo | None = None
    id: str | UnsetType = UNSET


class PredictionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One class of one image. `box` is (x0, y0, x1, y1) in pixels of the upright original, x1 and y1 exclusive."""

    rank: int
    class_index: int
    label: str
    probability: float
    overlay: str
    box: tuple[int, int, int, int] | None
    map_min: float
    map_max: float
    flat: bool


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
    predictions: tuple[PredictionRecord, ...] = ()
    error: ErrorInfo | None = None
    id: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker tells of a model it serves, so that a producer can check a request before any upload."""

    model: str
    labels: tuple[str, ...]
    input_size: int
    methods: tuple[str, ...]
    #: Every layer that may be hooked, and the one that is when nobody asks for another; older workers tell neither.
    layers: tuple[str, ...] = ()
    target_layer: str | None = None
    #: Why it has none of the other methods; older workers do not tell.
    reason: str = ""
    #: The smallest and the largest side that its input may have, the same where its weights allow no other than
    #: `input_size`; older workers do not tell.
    input_sizes: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The model's name without the digest of its weights and labels."""
        return self.model.partition("@")[0]


class StageTime(msgspec.Struct, frozen=True):
    """How often a worker ran one stage of its work since it started, and for how many seconds in all."""

    count: int
    seconds: float


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `camq workers`."""

    worker: str
    host: str
    pid: int
    device: str
    models: tuple[str, ...]
    state: Literal["starting", "ready", "busy", "draining"]
    images_per_second: float = 0.0
    images_done: int = 0
    #: Chunks it works on at once; the queue's high-water mark is a multiple of it.
    slots: int = 1
    #: Where the time goes, in the order of an image's way. Stages of several images overlap.
    stages: dict[str, StageTime] = {}
    #: How many micro-batches of each size went through the network.
    batch_sizes: dict[int, int] = {}
    waiting_for: str | None = None  # why its work waits: a service is away, or refuses it


class WebhookStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the newest end's webhook. `url` has no query and no credentials; `reason` is the last fault."""

    url: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    reason: str | None


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `camq status`. Times are ISO 8601 in UTC.

    `images_per_second` is that of the last minutes (0 until something is known), or of the whole run once it has
    finished; a `retry` begins another run. `eta_s` is None while nothing is known or more images may come.
    """

    job: str
    name: str | None
    state: JobState
    sealed: bool
    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    created_at: str
    finished_at: str | None
    images_per_second: float
    eta_s: float | None
    model: str
    submission_interrupted: bool
    webhook: WebhookStatus | None = None
    tags: tuple[str, ...] = ()
    #: When the newest run took up its first images: with `finished_at`, how long it took.
    started_at: str | None = None

    @property
    def done(self) -> int:
        """Images that have their final state."""
        return self.succeeded + self.failed + self.cancelled


def encode(value: object) -> bytes:
    """One JSON document, without a line end."""
    return msgspec.json.encode(value)


def decode(raw: bytes | str, kind: type[T]) -> T:
    """The value in `raw`, checked against `kind`.

    Raises NewerSchemaError for a newer `schema_version` and MessageError for anything else unreadable.
    """
    try:
        probe = msgspec.json.decode(raw, type=_Versioned)
        if probe.schema_version > SCHEMA_VERSION:
            raise NewerSchemaError(
                f"schema version {probe.schema_version} is newer than {SCHEMA_VERSION}, which this release knows"
            )
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError(f"not a valid {kind.__name__}: {error}") from error


def encode_lines(values: Iterable[object]) -> bytes:
    """JSON lines, one value each, every line ended."""
    return msgspec.json.Encoder().encode_lines(values)


def decode_lines(raw: bytes, kind: type[T]) -> list[T]:
    """The values of a JSON-lines document. Raises MessageError when a line is not a `kind`."""
    try:
        return msgspec.json.Decoder(kind).decode_lines(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError(f"not valid {kind.__name__} lines: {error}") from error


class _Versioned(msgspec.Struct):
    schema_version: int = SCHEMA_VERSION
