"""Row 8: a healthy job beside one whose work raises, on one worker whose engine sleeps."""

from bench import fleet, timing
from bench.context import Bench
from bench.fake_worker_model import LATE, MODEL, RAISES
from bench.jobs import elapsed_s
from bench.results import Row, Series, Target, ratio
from bench.submit_references import references
from producer.services import Services
from producer.submission.request import Request, new_job_id
from producer.submission.submit import submit

NUMBER, NAME, TITLE = 8, "raising", "raising: a healthy job beside one whose attempts raise"
SLEEP_MS = 10
_CHUNK = 32


def run(bench: Bench) -> Row:
    """Seconds of the healthy job: alone, and beside another job of 300 chunks that raises, or that is healthy."""
    images, others = (_CHUNK * chunks for chunks in (bench.pick(100, 10), 300))
    log, arguments = bench.folder / "raising.log", ("sleep", str(SLEEP_MS))
    sides = {"alone": None, "beside one that raises at once": RAISES, "beside a healthy one": "", "late": LATE}

    with (
        fleet.worker(bench.settings, log, "bench.fake_worker", arguments=arguments),
        Services(bench.settings) as services,
    ):

        def measure(kind: str | None) -> float:
            other = None
            if kind is not None:
                request = Request(model=MODEL, job_id=kind + new_job_id())
                other = bench.client.job(submit(services, references(others), request))
            job = submit(services, references(images), Request(model=MODEL, priority="bulk"))
            taken = elapsed_s([bench.finish(bench.client.job(job).wait())])
            if other is not None:
                other.cancel()
                other.wait()
            return taken

        samples = timing.interleave(
            {name: lambda kind=kind: measure(kind) for name, kind in sides.items()}, bench.pick(3, 1)
        )
    series = {name: Series("s", tuple(values)) for name, values in samples.items()}
    cost = series["at once / alone"] = ratio(samples["beside one that raises at once"], samples["alone"])
    late = series["late / healthy"] = ratio(samples["late"], samples["beside a healthy one"])
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"sleep": f"{SLEEP_MS} ms per image", "healthy": f"{images} images", "other": f"{others} images"},
        series=series,
        targets=(
            Target("beside a job that raises at once / alone", cost.median, "≤", 1.05),
            Target("beside a job that raises late / beside a healthy one", late.median, "≤", 1.0),
        ),
        notes=("`created_at` to `finished_at` of the healthy job; the other one is submitted before it",),
    )
