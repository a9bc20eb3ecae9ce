"""A thousand workers and a hundred million images, simulated: where does the design bend first, and what then?

    python -m bench.simulate [--images N] [--rate IMAGES_PER_SECOND] [--workers N] [--json]

The costs of Redis' thread are measured ones (`bench/simulation/measure.py`, `long_calls.py`); workers, deaths and
autoscaler are a model (`bench/simulation/model.py`). Not in it: the network between machines, an object store's
own limits, a Redis that is slower than the one measured or shares its core.
"""

import argparse
import json
from dataclasses import asdict, replace
from typing import Any

from bench.simulation.model import Costs, Outcome, Plan, most_images_per_second, redis_load, simulate
from producer.submission.chunks import LARGE

#: As it comes, and as docs/operations.md advises from a hundred workers on: larger chunks, signs of life and looks
#: for lost work as seldom as one can wait for them.
SETTINGS: dict[str, dict[str, Any]] = {
    "as it comes": {"chunk": LARGE},  # what nearly all chunks of so large a job are
    "for a large fleet": {"chunk": 256, "lease_s": 60.0, "reap_s": 10.0, "costs": Costs(worker_second=330.0)},
}
FLEETS = (10, 30, 100, 300, 1000, 3000)
#: Images per second: two cores, a small GPU, a data-centre GPU.
RATES = (20.0, 300.0, 1200.0)


def main() -> None:
    """Tables on stdout, or one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="images per second of one worker")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    plan = Plan(images=asked.images, rate=asked.rate, workers=asked.workers)
    outcomes = {name: simulate(replace(plan, **changes)) for name, changes in SETTINGS.items()}
    if asked.json:
        print(json.dumps({name: asdict(outcome) for name, outcome in outcomes.items()}))
        return
    print("Share of the workers' own speed that Redis' one thread leaves them (its load in brackets)\n")
    for name, changes in SETTINGS.items():
        print(bends(name, replace(plan, **changes)))
    print(f"One job of {plan.images:,} images, up to {plan.workers:,} workers of {plan.rate:g} images/s,")
    print("autoscaled from none, each dying every four hours\n")
    for name, outcome in outcomes.items():
        print(story(name, outcome))


def bends(name: str, plan: Plan) -> str:
    """A table: fleet sizes down, speeds of one worker across."""
    lines = [f"{name}: chunks of {plan.chunk}", f"{'workers':>9}" + "".join(f"{f'{rate:g}/s':>16}" for rate in RATES)]
    for workers in FLEETS:
        cells = []
        for rate in RATES:
            asked = replace(plan, rate=rate)
            got = most_images_per_second(asked, workers)
            load = min(1.0, redis_load(asked, workers, got))
            cells.append(f"{f'{got / workers / rate:.0%} ({load:.0%})':>16}")
        lines.append(f"{workers:>9}" + "".join(cells))
    return "\n".join([*lines, ""])


def story(name: str, outcome: Outcome) -> str:
    """What happened, in a few lines."""
    hours = outcome.seconds / 3600
    end = f"{outcome.left:,.0f} images not done after" if outcome.left else "done in"
    return "\n".join(
        [
            name,
            f"  {end} {hours:.2f} h, {outcome.efficiency:.1%} of the paid worker time counts; "
            f"at most {outcome.peak_workers:,} workers",
            f"  {outcome.deaths:,} deaths, {outcome.expired_leases:,} leases run out, "
            f"{outcome.redone_images:,.0f} images done twice",
            f"  Redis' thread: {outcome.redis_mean:.0%} on average, {outcome.redis_busiest:.0%} at most",
            "",
        ]
    )


if __name__ == "__main__":
    main()
