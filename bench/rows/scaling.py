"""Row 7: one, two and four workers whose engine sleeps: what sharing a queue costs."""

from contextlib import ExitStack

from bench import fleet, timing
from bench.context import Bench
from bench.fake_worker_model import MODEL
from bench.jobs import elapsed_s
from bench.results import Row, Series, Target, ratio
from bench.submit_references import references
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import submit

NUMBER, NAME, TITLE = 7, "scaling", "scaling: 1, 2 and 4 workers whose engine sleeps"
#: As long as a good core takes for an image, so that the queue is used as often as in earnest.
SLEEP_MS = 10
_COUNTS = (1, 2, 4)


def run(bench: Bench) -> Row:
    """Images per second of each number of workers; every worker has the same share of images."""
    share = bench.pick(500, 400)
    log = bench.folder / "sleepers.log"

    def measure(count: int) -> float:
        with ExitStack() as stack:
            arguments = ("sleep", str(SLEEP_MS))
            stack.enter_context(fleet.worker(bench.settings, log, "bench.fake_worker", count, arguments))
            services = stack.enter_context(Services(bench.settings))
            job = submit(services, references(share * count), Request(model=MODEL))
            status = bench.finish(bench.client.job(job).wait())
        return status.total / elapsed_s([status])

    sides = {str(count): lambda count=count: measure(count) for count in _COUNTS}
    samples = timing.interleave(sides, bench.pick(2, 1))
    series = {f"{count} workers": Series("images/s", tuple(samples[str(count)])) for count in _COUNTS}
    for count in _COUNTS[1:]:
        series[f"{count} / 1"] = ratio(samples[str(count)], samples["1"])
    series["share of the engine's own rate, 1 worker"] = Series(
        "x", tuple(value * SLEEP_MS / 1000 for value in samples["1"])
    )
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"sleep": f"{SLEEP_MS} ms per image", "images": f"{share} per worker"},
        series=series,
        targets=(Target("4 sleeping workers / 1", series["4 / 1"].median, "≥", 3.8),),
        notes=("submission included: `created_at` to `finished_at`",),
    )
