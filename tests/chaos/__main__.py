"""`python -m tests.chaos`: real producers, workers and servers under random faults, and a check of every image.

Meanwhile users cancel, retry, remove and collect. The same pictures are then submitted again without faults, and the
two runs must agree. Exit status 1 if an image is lost or wrong, or something of a kept job was deleted.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.chaos.checker import differs_from, expected_of, problems_of
from tests.chaos.driver import Driver
from tests.chaos.environment import Environment
from tests.chaos.errands import Errand, cancelled_problems, input_problems, removed_problems
from tests.chaos.fleet import NETWORK, make_network, picture
from tests.chaos.plan import FaultCounts, schedule
from tests.chaos.recovery import percentile
from tests.support.waiting import wait_until

#: One file in a hundred is not a picture; its failure must be the same in both runs.
BROKEN_EVERY = 100
#: Pictures of a job that is cancelled or removed: half of them are pictures of kept jobs as well.
OTHERS = 120
OPTIONS = ["--top-k", "2", "--overlay-size", "160", "--json"]
SHOWN = 20


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)  # noqa: T201


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="faults under load, then a check of every image"
    )
    usual = FaultCounts()
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=3, help="producers that share the images")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--worker-kills", type=int, default=usual.worker_kills)
    parser.add_argument("--worker-stops", type=int, default=usual.worker_stops, help="SIGSTOP past the lease")
    parser.add_argument("--picture-kills", type=int, default=usual.picture_kills, help="of what decodes and draws")
    parser.add_argument("--redis-kills", type=int, default=usual.redis_kills)
    parser.add_argument("--storage-outages", type=int, default=usual.storage_outages, help="30 s each")
    parser.add_argument("--storage-refusals", type=int, default=usual.storage_refusals, help="403, 507, region; 15 s")
    parser.add_argument("--cuts", type=int, default=usual.cuts, help="every connection reset once")
    parser.add_argument("--producer-kills", type=int, default=usual.producer_kills)
    parser.add_argument("--cancels", type=int, default=usual.cancels, help="jobs submitted and cancelled at once")
    parser.add_argument("--retries", type=int, default=usual.retries, help="of a kept job's failed pictures")
    parser.add_argument("--removals", type=int, default=usual.removals, help="jobs submitted and removed at once")
    parser.add_argument("--collections", type=int, default=usual.collections, help="`camq gc --now`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default=NETWORK, help="a network of torchvision, with random weights")
    parser.add_argument("--json", type=Path, help="write the table there as well")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    asked = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="camq-chaos-") as folder:
        table, wrong = run(Path(folder), asked)
    for name, value in table.items():
        print(f"{name:48} {value}")  # noqa: T201
    for line in wrong[:SHOWN]:
        print(f"WRONG  {line}")  # noqa: T201
    if asked.json:
        asked.json.write_text(json.dumps({**table, "wrong": wrong}, indent=2) + "\n")
    return 1 if wrong else 0


def run(folder: Path, asked: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The table of figures, and a sentence for each thing that is wrong."""
    parts = [folder / f"pictures-{n}" for n in range(asked.jobs)]
    for number in range(asked.images):
        part = parts[number % asked.jobs]
        part.mkdir(exist_ok=True)
        data = b"no picture" if number % BROKEN_EVERY == BROKEN_EVERY - 1 else picture(number)
        (part / f"{number:06}.jpg").write_bytes(data)
    others = folder / "others"
    others.mkdir()
    for number in range(OTHERS):
        shared = number % 2 and number < asked.images
        (others / f"{number:06}.jpg").write_bytes(picture(number if shared else asked.images + number))
    counts = {name: getattr(asked, name) for name in FaultCounts.__dataclass_fields__}
    faults = schedule(FaultCounts(**counts), asked.seed)
    with Environment(folder, asked.workers, make_network(folder, asked.model)) as environment:
        say(f"{asked.images} images in {asked.jobs} jobs, {len(faults)} faults, seed {asked.seed}")
        jobs = {f"chaos-{n}": part for n, part in enumerate(parts)}
        chaos = Driver(environment, jobs, OPTIONS, faults, asked.seed, say, others)
        chaos.run()
        collect_now(environment)
        wrong = list(input_problems(environment.store, [*jobs, *chaos.ended["cancel job"]]))
        say(f"the jobs ended after {chaos.seconds:.0f} s; the same again without faults")
        reference = {f"calm-{n}": part for n, part in enumerate([*parts, others])}
        calm = Driver(environment, reference, OPTIONS, [], asked.seed, say)
        calm.run()
        say("checking every image")
        ledger, store = environment.ledger, environment.store
        wrong += problems_of(ledger, store, dict(zip(jobs, reference, strict=False)))
        differs = differs_from(expected_of(ledger, store, [f"calm-{len(parts)}"]))
        for job in chaos.ended["cancel job"]:
            wrong += (f"{job}: {fault}" for fault in cancelled_problems(ledger, store, job, differs))
        for job in chaos.ended["remove job"]:
            wrong += (f"{job}: {fault}" for fault in removed_problems(ledger, store, job))
        statuses = [environment.ledger.status(job) for job in jobs]
        again = chaos.recovery.sent_again(list(jobs))
    wanted = {fault.kind for fault in faults}
    missing = {kind: sum(f.kind == kind for f in faults) - chaos.happened[kind] for kind in wanted}
    wrong += [f"{count} times there was no work left for '{kind}'" for kind, count in missing.items() if count > 0]
    if chaos.recovery.unfinished:
        wrong.append(f"{chaos.recovery.unfinished} chunks of killed workers were never taken up")
    table = {
        "images submitted": asked.images,
        "succeeded": sum(status.succeeded for status in statuses),
        "failed (no pictures, as expected)": sum(status.failed for status in statuses),
        "cancelled": sum(status.cancelled for status in statuses),
        **{f"{kind}, times": count for kind, count in chaos.happened.items()},
        "submissions resumed": chaos.resumed,
        "commands repeated": chaos.repeated,
        "images sent again (at most)": again,
        "chunks of killed workers": len(chaos.recovery.seconds) + len(chaos.recovery.disturbed),
        "of these with all else in order": len(chaos.recovery.seconds),
        "taken up again after, p50 (s)": _rounded(percentile(chaos.recovery.seconds, 0.5)),
        "taken up again after, p99 (s)": _rounded(percentile(chaos.recovery.seconds, 0.99)),
        "with a service or all workers away, slowest (s)": _rounded(max(chaos.recovery.disturbed, default=None)),
        "most messages in the broker": chaos.most_messages,
        "seconds with faults": round(chaos.seconds),
        "seconds without": round(calm.seconds),
        "seed": asked.seed,
        "lost or wrong": len(wrong),
    }
    return table, wrong


def collect_now(environment: Environment) -> None:
    """The last collection, after which nothing unused is left."""
    errand = Errand("gc-last", [["gc", "--now"]])
    wait_until(lambda: errand.tend(environment), "the last collection is done", 120)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


if __name__ == "__main__":
    sys.exit(main())
