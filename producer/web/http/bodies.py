"""What requests and answers of the API look like, beyond the types of `shared.contract`."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from producer.submission.request import LONGEST_NAME, LONGEST_TAG, MOST_TAGS, Request
from producer.web.http import V1
from producer.web.http.words import fault_of
from shared.checks.model_files import check_remote
from shared.checks.options import OPTIONS
from shared.config import Settings
from shared.contract import ImageRecord, JobStatus, Method, Options, Priority, TruthFrom, prepare
from shared.errors import UsageError

T = TypeVar("T", bound=msgspec.Struct)
#: What a form calls a file; JSON Schema has no type for it.
File = Annotated[str, Meta(extra_json_schema={"format": "binary"})]
_Classes = Annotated[
    str | tuple[int | str, ...],
    Meta(description='Explain these classes instead of the best ones: indices, labels, or a text such as 283,"tabby".'),
]

_TRUTH = "Take labels, or the names of folders, as ground truth; each must be a class of the model."


def _partial(name: str, fields: Mapping[str, Any]) -> Any:
    """A struct in which each of these fields may be left out."""
    optional = [(key, Union[kind, UnsetType], UNSET) for key, kind in fields.items()]  # noqa: UP007 - kinds are values
    return msgspec.defstruct(name, optional, module=__name__, frozen=True, kw_only=True, forbid_unknown_fields=True)


_Methods = Annotated[
    str | tuple[Method, ...],
    Meta(
        description="Also measure how faithful the maps of these methods are: a list, or a text such as cam,layercam."
    ),
]
_OPTIONS = get_type_hints(Options, include_extras=True) | {"classes": _Classes, "evaluate": _Methods}
#: The options of a job, all of them optional; the server has the defaults.
JobOptions: Any = _partial("JobOptions", _OPTIONS)


class Picture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One picture, and what you call it."""

    source: Annotated[str, Meta(description="An s3:// address of one object, or a URL.", min_length=1, max_length=4096)]
    id: Annotated[str | None, Meta(description="Your own id, which the result carries.")] = None


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pictures in storage, to be explained as one job."""

    images: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=4096)] | Picture, ...],
        Meta(
            description="Addresses s3://bucket/key, s3://bucket/prefix/ for all pictures below it, or URLs.",
            min_length=1,
            max_length=100_000,
        ),
    ]
    model: Annotated[str | None, Meta(description="A name or name@digest. By default, the one being served.")] = None
    options: JobOptions = msgspec.field(default_factory=JobOptions)
    priority: Annotated[
        Priority | None, Meta(description="By default high for at most 16 pictures, and bulk for more.")
    ] = None
    name: Annotated[str, Meta(max_length=LONGEST_NAME)] | None = None
    tags: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=LONGEST_TAG)], ...], Meta(max_length=MOST_TAGS)
    ] = ()
    webhook: Annotated[
        str | None, Meta(description="URL that receives the final status; CAMQ_WEBHOOK_HOSTS must allow its host.")
    ] = None
    truth: Annotated[TruthFrom | None, Meta(description=_TRUTH)] = None


prepare(Picture, Submission)


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The job that a request began, or had begun already."""

    job: str
    #: Its address.
    url: str


class JobsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest jobs first; `next` is the address of the older ones, null on the last page."""

    jobs: tuple[JobStatus, ...]
    next: str | None


class ResultsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Records in the order of their index; `next` is the address of the following ones, null on the last page."""

    results: tuple[ImageRecord, ...]
    next: str | None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model by its `name@digest`, and whether a worker serves it now."""

    model: str
    served: bool


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What the request did: whether a job was stopped, or how many images are tried again."""

    job: str
    done: bool | int


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted with the job. Its inputs stay: other jobs may share them."""

    job: str
    objects: int
    bytes: int
    inputs_left: int


def job_url(job: str) -> str:
    """The address of a job."""
    return f"{V1}/jobs/{job}"


def linked(job: str, record: ImageRecord) -> ImageRecord:
    """The record with the addresses of its overlays in the place of their keys, of which a client has no use."""
    predictions = tuple(
        line
        if line.overlay is None  # not drawn
        else msgspec.structs.replace(line, overlay=f"{job_url(job)}/images/{record.index}/overlays/{line.rank}")
        for line in record.predictions
    )
    return msgspec.structs.replace(record, predictions=predictions)


#: The fields of a form beside its files and the options of the job.
_COMMON = {
    "model": Annotated[str, Meta(description="A name or name@digest. By default, the one being served.")],
    "priority": Priority,
    "name": Annotated[str, Meta(max_length=LONGEST_NAME)],
    "tags": Annotated[
        tuple[Annotated[str, Meta(max_length=LONGEST_TAG)], ...],
        Meta(description="May be repeated.", max_length=MOST_TAGS),
    ],
    "webhook": Annotated[str, Meta(description="URL that receives the final status.")],
    "truth": Annotated[TruthFrom, Meta(description=_TRUTH)],
}
#: One field each: a form has no lists within fields.
_FLAT = {
    **_OPTIONS,
    "classes": Annotated[str, Meta(description='As in 283,"tabby".')],
    "evaluate": Annotated[str, Meta(description="As in cam,layercam.")],
}
UploadForm: Any = _partial(
    "UploadForm",
    {
        "pictures": Annotated[tuple[File, ...], Meta(description="The pictures.")],
        "manifest": Annotated[
            File,
            Meta(
                description="CSV or JSON lines with `source`, the name of an uploaded picture or an address, and `id`."
                " Without it, every uploaded picture is explained."
            ),
        ],
        **_COMMON,
        **_FLAT,
    },
)
ExplainForm: Any = _partial(
    "ExplainForm",
    {
        "picture": Annotated[File, Meta(description="The picture.")],
        "source": Annotated[str, Meta(description="The address of the picture, instead of an upload.")],
        **_COMMON,
        **_FLAT,
    },
)
#: A form says these more than once.
_REPEATED = frozenset({"tags"})


def form_fields(fields: Mapping[str, list[str]], kind: type[T]) -> T:
    """The text fields of a form as `kind`. UsageError names the field that is wrong."""
    for name, texts in fields.items():
        if len(texts) > 1 and name not in _REPEATED:
            raise UsageError(f"invalid {name}: expected one field of this name, found {len(texts)}")
    values = {name: texts if name in _REPEATED else texts[0] for name, texts in fields.items() if texts != [""]}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at `$.")
        where = where.rstrip("`")
        raise UsageError(fault_of(where, said, kind, values.get(where))) from None


def request_of(given: Any, settings: Settings, *, job_id: str | None) -> Request:
    """The request that a form or a submission means. UsageError for an output that the operator did not allow."""
    said = {name: value for name in given.__struct_fields__ if (value := getattr(given, name)) is not UNSET}
    options = said.get("options", given)
    chosen = {
        name: value for name in OPTIONS if (value := getattr(options, name, UNSET)) is not UNSET and value is not None
    }
    if chosen.get("output") and not settings.writable_outside():
        raise UsageError("invalid output: CAMQ_OUTPUT_PREFIXES allows none to requests over HTTP")
    check_remote(said.get("model"))
    return Request(
        model=said.get("model"),
        options=chosen,
        priority=said.get("priority"),
        job_id=job_id,
        name=said.get("name"),
        webhook=said.get("webhook"),
        tags=said.get("tags") or (),
        truth=said.get("truth"),
    )
