"""A job in words and numbers, as both pages show it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msgspec import UNSET

from producer.formatting import duration, elapsed_s, prepared, rate, shown, webhook_outcome
from shared.contract import JobState, JobStatus, ModelCard, Options

_DEFAULTS = Options()
#: Of a legend, from low heat to high.
STOPS = 24


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands at the head of a job's page."""

    status: JobStatus
    title: str
    #: Whether the job waits because no worker serves its model.
    unserved: bool
    #: Terms and what they are for this job: time, model, method.
    facts: list[tuple[str, str]]
    #: Options and their values; True for one that is not the default.
    options: list[tuple[str, str, bool]]
    colormap: str
    legend: list[str]


def summarise(status: JobStatus, options: Options, *, served: bool = True, model: ModelCard | None = None) -> Summary:
    """The summary of a job with this status and these options; `served`: a live worker serves its model, whose card is
    `model`."""
    return Summary(
        status=status,
        title=shown(status.name) if status.name else f"Job {status.job}",
        unserved=not served and not status.state.finished,
        facts=[(term, value) for term, value in _facts(status, options, served, model) if value],
        options=[
            (name.replace("_", " "), _said(name, value), value != default) for name, value, default in _all(options)
        ],
        colormap=options.colormap,
        legend=colours(options.colormap),
    )


def _facts(status: JobStatus, options: Options, served: bool, model: ModelCard | None) -> list[tuple[str, str]]:
    classes = f"{len(options.classes)} chosen" if options.classes else f"best {options.top_k}"
    if options.min_probability:
        classes = f"all of at least {options.min_probability:g}"
    running = "Waiting for" if status.state is JobState.QUEUED else "Running for"
    left = duration(status.eta_s) if status.eta_s is not None else "estimating"
    return [
        ("Took" if status.finished_at else running, duration(elapsed_s(status))),
        ("Rate", rate(status.images_per_second) if status.images_per_second else ""),
        ("Time left", left if served and status.state is JobState.RUNNING else ""),
        ("Model", status.model),
        ("Input", _input(options, model)),
        ("Outputs", model.outputs if model else ""),
        ("Webhook", webhook_outcome(status)),
        ("Tags", ", ".join(status.tags)),
        ("Method", f"{options.method}, averaged over flips" if options.smooth else options.method),
        ("Classes", classes),
    ]


def _input(options: Options, model: ModelCard | None) -> str:
    """How this job's pictures were prepared."""
    own = model.preprocessing if model else None
    if own is None:
        return ""
    height, width = own.sides(options.input_size)
    before = own.before_crop(height)
    seen = replace(own, size=height, width=own.width and width, resize_size=before[0], resize_width=before[1])
    return prepared(replace(seen, resize=options.resize) if options.resize else seen)


#: What is said of an option that was left out.
_UNSET = {
    "output": "camq's bucket",
    "resize": "the model's own",
    "min_probability": "none",
    "explain": "best",
    "only": "all",
    "evaluate": "no method",
    "randomise": "no",
    "range": "each file's own",
    "truncated": "fail",
    "smooth": "no",
    "boxes": "no",
    "masks": "no",
    "mask_threshold": "that of the box",
    "caption": "no",
}


def _all(options: Options) -> list[tuple[str, object, object]]:
    names = options.__struct_fields__
    return [(name, getattr(options, name), getattr(_DEFAULTS, name)) for name in names]


def _said(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if value is UNSET:
        return _UNSET[name]
    if value is None:
        return "the best" if name == "classes" else "the model's own"
    return str(value)


def colours(name: str) -> list[str]:
    """`STOPS` colours of the colormap, low first; none where `cmap` is not installed (it comes with a worker)."""
    try:
        from cmap import Colormap
    except ImportError:
        return []
    colormap = Colormap(name)
    # The alpha channel is left out: a legend shows what the heat looks like, not what lies under it.
    return [colormap(step / (STOPS - 1)).hex[:7] for step in range(STOPS)]
