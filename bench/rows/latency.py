"""Row 5: one picture on an idle system, from submit to its overlay in the reader's hands."""

import time

import torch

from bench.context import Bench
from bench.network import noise
from bench.results import Row, Series, Target
from bench.timing import seconds

NUMBER, NAME, TITLE = 5, "latency", "latency of one picture through a warm Client, on an idle system"
#: Between two pictures, so that each finds the system idle.
_PAUSE_S = 0.05


def run(bench: Bench) -> Row:
    """Milliseconds, the bare batch-1 forward taken in turn."""
    bench.worker  # noqa: B018 - started and warm before the first sample
    client, network, one = bench.client, bench.published, noise(1, bench.device)
    bare, whole, parts = [], [], {"submit": [], "wait": [], "results": []}
    with torch.inference_mode():
        for picture in bench.pictures(bench.pick(150, 30) + 5):
            bare.append(1000 * seconds(lambda: network(one)))
            time.sleep(_PAUSE_S)
            times = [time.perf_counter()]
            job = client.submit([picture], top_k=1)
            times.append(time.perf_counter())
            bench.finish(job.wait())
            times.append(time.perf_counter())
            (result,) = job.results()
            result.predictions[0].overlay()
            times.append(time.perf_counter())
            whole.append(1000 * (times[-1] - times[0]))
            for name, begin, end in zip(parts, times, times[1:], strict=False):
                parts[name].append(1000 * (end - begin))
            time.sleep(_PAUSE_S)
    warm = slice(5, None)  # the first few meet cold connections
    series = {
        "bare batch-1 forward": Series("ms", tuple(bare[warm])),
        "submit → overlay read": Series("ms", tuple(whole[warm])),
        **{f"of it {name}": Series("ms", tuple(values[warm])) for name, values in parts.items()},
    }
    p50, p99 = (series["submit → overlay read"].quantile(share) for share in (0.5, 0.99))
    limit = series["bare batch-1 forward"].quantile(0.5) + 30
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"pictures": len(whole[warm])},
        series=series,
        targets=(
            Target("latency p50 (ms) against bare batch-1 forward + 30 ms", p50, "≤", round(limit, 1)),
            Target("latency p99 / p50", p99 / p50, "≤", 3.0),
        ),
    )
