"""Row 3: submit → everything committed, on embedded servers and one worker that share the cores with the producer."""

from collections.abc import Callable
from statistics import fmean

from bench import timing
from bench.context import Bench
from bench.jobs import EndToEnd
from bench.results import Row, Series, Target, ratio

NUMBER, NAME, TITLE = 3, "end-to-end", "end to end: submit → everything committed"
#: Which promise each kind of job is held against: (name, options, target).
_KINDS = (
    ("k=1, 224", {"top_k": 1, "overlay": "input"}, 1.0),
    ("k=5, 224", {"top_k": 5, "overlay": "input"}, 0.75),
    ("k=1, original", {"top_k": 1}, None),
    ("k=5, original", {"top_k": 5}, None),
)
#: Images per second, k = 1, on one data-centre GPU with 16 cores, which then are the limit, not the forward.
_GPU_TARGET = 1200.0
_NOTE = "every job has new pictures, so every one is uploaded; cpu ms are per image"


def run(bench: Bench) -> Row:
    """Images per second, and the processor time that each process spends on an image."""
    jobs = {}
    for name, options, target in _KINDS:
        images = bench.pick(400, 160) if target else bench.pick(64, 48)
        if bench.device == "cuda":
            images *= 6 if target else 2  # a job takes seconds there as well
        jobs[name] = EndToEnd(bench, images, options)
    bench.worker  # noqa: B018 - started and warm before the first sample
    # A job takes half a minute, in which shared cores come and go: so it is held against the forwards before and after.
    sides: dict[str, Callable[[], float]] = {"forward before all": bench.forward}
    for name, job in jobs.items():
        sides |= {name: job, f"forward after {name}": bench.forward}
    samples = timing.interleave(sides, bench.pick(2, 1))
    series = {name: Series("images/s", tuple(samples[name])) for name in jobs}
    series["forward"] = Series("images/s", tuple(one for name in sides if name not in jobs for one in samples[name]))
    targets = []
    for (name, _, bound), before in zip(_KINDS, ("before all", *(f"after {name}" for name in jobs)), strict=False):
        pairs = zip(samples[f"forward {before}"], samples[f"forward after {name}"], strict=True)
        shares = series[f"{name} / forward"] = ratio(samples[name], [fmean(pair) for pair in pairs])
        if bound and bench.device == "cpu":
            targets.append(Target(f"end to end {name} / bare forward", shares.median, "≥", bound))
        for part, values in jobs[name].cpu_ms.items():
            series[f"{name}: {part}"] = Series("cpu ms", tuple(values))
    notes = [_NOTE]
    if bench.device == "cuda":
        targets.append(Target("images/s end to end, k=1, 224", series["k=1, 224"].median, "≥", _GPU_TARGET))
        notes.append(f"{bench.producers} producers submit a job each at the same time")
        notes.append(f"{bench.workers} workers share the GPU; pictures are decoded and overlays encoded on the CPU")
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={name: f"{job.images} images" for name, job in jobs.items()} | {"forward batch": bench.batch},
        series=series,
        targets=tuple(targets),
        notes=tuple(notes),
    )
