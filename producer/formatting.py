"""Numbers, times and names as text, for terminal and page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.contract import JobStatus, JobSummary, Preprocessing, WebhookStatus, WorkerInfo
from shared.text import visible

#: What one run of a stage processes; every other stage processes one image.
_PER = {"forward": "micro-batch", "commit": "chunk"}
#: ZERO WIDTH NON-JOINER and ZERO WIDTH JOINER.
_JOINERS = "\u200c\u200d"


def duration(seconds: float) -> str:
    """Such as `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def milliseconds(seconds: float) -> str:
    """Such as `0.42 ms`, `18 ms`, `1,300 ms`: durations of one step, to be compared with each other."""
    number = 1000 * seconds
    return f"{number:,.0f} ms" if number >= 9.95 else f"{number:.1f} ms" if number >= 0.995 else f"{number:.2f} ms"


def rate(images_per_second: float) -> str:
    """Such as `0.25 images/s`, `41 images/s`."""
    digits = 0 if images_per_second >= 10 or not images_per_second else 1 if images_per_second >= 1 else 2
    return f"{images_per_second:,.{digits}f} images/s"


def prepared(own: Preprocessing) -> str:
    """How pictures become a network's input, in one line."""
    height, width = own.sides()
    before = f"{own.resize_size}{f'x{own.resize_width}' if own.resize_width else ''}"
    way = f"{own.resize} from {before}" if own.resize.endswith("crop") else own.resize
    parts = [
        f"{height} pixels" if height == width else f"{height}x{width} pixels",
        way,
        own.squash_interpolation if own.resize == "squash" else own.interpolation,
        "" if own.antialias else "without antialiasing",
        "" if own.exif else "EXIF orientation ignored",
        "" if own.channels == 3 else count(own.channels, "channel"),
        f"mean {_numbers(own.mean)}",
        f"std {_numbers(own.std)}",
    ]
    return ", ".join(filter(None, parts))


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in (values[:1] if len(set(values)) == 1 else values))


def count(number: int, noun: str) -> str:
    """Such as `1 image`, `12,000 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def share(value: float | None) -> str:
    """Such as `66.7%`; tiny values are not called nothing; empty for what is not known."""
    return "" if value is None else "< 0.1%" if 0 < value < 0.001 else f"{value:.1%}"


def accuracy(found: JobSummary) -> str:
    """How often a job was right, in one line."""
    if found.top_k is None:
        return f"exactly the true labels: {share(found.top1)}"
    said = f"accuracy: {share(found.top1)}, among the best {found.k}: {share(found.top_k)}"
    return f"{said}; calibration error: {share(found.calibration.ece)}" if found.calibration else said


def size(number: float) -> str:
    """Bytes, such as `812 B`, `1.5 kB`, `40 MB`; a kilobyte has 1,000."""
    units = iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while number >= 999.5:
        number, unit = number / 1000, next(units, "TB")
    return f"{number:.0f} {unit}" if number >= 9.95 or unit == "B" else f"{number:.1f} {unit}"


def outcome(status: JobStatus) -> str:
    """A job's images by what became of them, such as `497 succeeded, 3 failed`."""
    parts = [f"{getattr(status, name):,} {name}" for name in ("succeeded", "failed", "cancelled", "running", "queued")]
    return ", ".join(part for part in parts if not part.startswith("0 ")) or "no images yet"


def webhook_line(hook: WebhookStatus) -> str:
    """Such as `delivered to https://host/path`, `waiting for https://host/path, 2 attempts: HTTP 503`."""
    what = {"waiting": "waiting for", "delivered": "delivered to", "failed": "gave up on"}[hook.state]
    tries = f", {count(hook.attempts, 'attempt')}" if hook.attempts and hook.state != "delivered" else ""
    return f"{what} {hook.url}{tries}{f': {hook.reason}' if hook.reason else ''}"


def webhook_outcome(status: JobStatus) -> str:
    """What became of a job's webhook, without its address: `waiting, 2 attempts: HTTP 503`; empty without one."""
    hook = status.webhook
    if hook is None:
        return ""
    if not status.state.finished:
        return "when the job ends"
    what = {"waiting": "waiting", "delivered": "delivered", "failed": "given up"}[hook.state]
    tries = f", {count(hook.attempts, 'attempt')}" if hook.attempts and hook.state != "delivered" else ""
    return f"{what}{tries}{f': {hook.reason}' if hook.reason else ''}"


def shown(text: str) -> str:
    """As `visible`, for a page: what joins letters and emoji stays, for a browser draws it and nothing moves."""
    return "".join(part if part in _JOINERS else visible(part) for part in re.split(f"([{_JOINERS}])", text))


def progress(status: JobStatus) -> str:
    """A job's images in few words, such as `400 of 943, 3 failed`; of a finished one what became of them."""
    if status.state.finished:
        return outcome(status)
    parts = [f"{status.done:,} of {status.total:,}{'' if status.sealed else ' so far'}"]
    return ", ".join(parts + [f"{status.failed:,} failed"] * bool(status.failed))


def time_left(status: JobStatus) -> str:
    """Of an unfinished job, such as `3 min 05 s left`, or what it waits for."""
    if status.submission_interrupted:
        return "submission interrupted"
    if status.eta_s is not None:
        return f"{duration(status.eta_s)} left"
    if not status.sealed:
        return "being submitted"
    return "estimating" if status.running or status.done else "queued"


def moment(iso: str | None) -> str:
    """Such as `23 Nov 2026, 08:15 UTC`."""
    return f"{datetime.fromisoformat(iso):%-d %b %Y, %H:%M} UTC" if iso else ""


def ago(iso: str) -> str:
    """Such as `90 s ago`, `3 min ago`, `26 h ago`, `8 days ago`."""
    seconds = max(0, round((datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds()))
    units = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))
    length, unit = next((one for one in units if seconds >= 2 * one[0]), units[-1])
    return f"{seconds // length} {unit} ago"


def elapsed_s(status: JobStatus) -> float:
    """Seconds that the newest run took, or has taken so far; for a job that has not started, how long it has waited."""
    end = datetime.fromisoformat(status.finished_at) if status.finished_at else datetime.now(UTC)
    return max(0.0, (end - datetime.fromisoformat(status.started_at or status.created_at)).total_seconds())


@dataclass(frozen=True, slots=True)
class StageLine:
    """One stage since the worker started. `mean` is in seconds, None before its first run."""

    name: str
    per: str
    times: int
    mean: float | None
    seconds: float


def stage_lines(info: WorkerInfo) -> list[StageLine]:
    """A worker's stages, in the order in which an image passes them."""
    return [
        StageLine(name, _PER.get(name, "image"), run.count, run.seconds / run.count if run.count else None, run.seconds)
        for name, run in info.stages.items()
    ]


def images_per_batch(sizes: Mapping[int, int]) -> float | None:
    """The average size of a micro-batch; None before the first."""
    times = sum(sizes.values())
    return sum(size * count for size, count in sizes.items()) / times if times else None
