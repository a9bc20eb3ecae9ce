"""Row 5: one picture on an idle system, from submit to its overlay in the reader's hands."""

import time

from bench import network
from bench.context import Bench
from bench.results import Row, Series, Target
from bench.timing import seconds
from shared.contract import Options
from worker.core.engine.choice import engine_for

NUMBER, NAME, TITLE = 5, "latency", "latency of one picture through a warm Client, on an idle system"
#: Between two pictures, so that each finds the system idle.
_PAUSE_S = 0.05


def run(bench: Bench) -> Row:
    """Milliseconds, the engine's own work on one picture taken in turn."""
    bench.worker  # noqa: B018 - started and warm before the first sample
    client, one, wishes = bench.client, network.pictures(1), [Options(top_k=1)]
    engine = engine_for(bench.network, 1, bench.say)
    engine.warm_up()
    alone, whole, parts = [], [], {"submit": [], "wait": [], "results": []}
    for picture in bench.pictures(bench.pick(100, 30) + 5):
        alone.append(1000 * seconds(lambda: engine.run(one, wishes)))
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
        "engine alone, one picture": Series("ms", tuple(alone[warm])),
        "submit → overlay read": Series("ms", tuple(whole[warm])),
        **{f"of it {name}": Series("ms", tuple(values[warm])) for name, values in parts.items()},
    }
    p50, p99 = (series["submit → overlay read"].quantile(share) for share in (0.5, 0.99))
    own = series["engine alone, one picture"].quantile(0.5)
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"pictures": len(whole[warm])},
        series=series,
        targets=(
            Target("latency p50 (ms) less the engine's own of one picture", p50 - own, "≤", 20.0),
            Target("latency p99 / p50", p99 / p50, "≤", 3.0),
        ),
    )
