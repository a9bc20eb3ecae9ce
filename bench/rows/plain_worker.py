"""Row 4: a plain Celery worker, one task per picture, against camq on the same servers."""

from bench import timing
from bench.context import Bench
from bench.jobs import EndToEnd
from bench.plain_side import Plain
from bench.results import Row, Series, Target, ratio

NUMBER, NAME, TITLE = 4, "plain", "a plain worker: one Celery task per picture, prefork, batch 1"


def run(bench: Bench) -> Row:
    """Images per second of both, k = 1, overlays of 224 pixels."""
    camq = EndToEnd(bench, bench.pick(200, 96), {"top_k": 1, "overlay": "input"})
    with Plain(bench, bench.pick(100, 48)) as plain:
        samples = timing.interleave({"camq": camq, "plain": plain, "forward": bench.forward}, bench.pick(2, 1))
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    series["camq / plain"] = ratio(samples["camq"], samples["plain"])
    series["plain / forward"] = ratio(samples["plain"], samples["forward"])
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"camq": f"{camq.images} images", "plain": f"{plain.images} images", "processes": plain.processes},
        series=series,
        targets=(Target("end to end k=1 / plain worker", series["camq / plain"].median, "≥", 1.6),),
    )
