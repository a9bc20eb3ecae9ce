"""`python -m bench`: measure, and say which targets are met.

Exit status 0 whatever the outcome: a ratio is a fact, not an error. Only a device that is not there is one.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import torch

from bench import machine
from bench.context import Bench
from bench.results import Report, Row, plain, render
from bench.rows import ROWS, USUAL, USUAL_CUDA


def main(arguments: list[str]) -> None:
    """Runs the rows in their order; progress on stderr, the report on stdout."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="few and small samples: a check that the rows run")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32", help="of the workers; int8 on a CPU")
    parser.add_argument("--workers", type=int, metavar="N", help="with --device cuda: processes that share the card")
    parser.add_argument("--producers", type=int, metavar="N", help="with --device cuda: processes that submit at once")
    parser.add_argument("--json", action="store_true", help="print the whole report as one JSON object")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("python -m bench: no CUDA device is visible to torch here; run --device cuda on a machine with one")
    for name in [name for name in os.environ if name.startswith("CAMQ_")]:
        del os.environ[name]  # a developer's own settings are not what is being measured
    names = asked.rows or (USUAL if asked.device == "cpu" else USUAL_CUDA)
    names = [name for name in ROWS if name in names]
    for report in measure(
        names,
        quick=asked.quick,
        device=asked.device,
        precision=asked.precision,
        workers=asked.workers,
        producers=asked.producers,
    ):
        text = json.dumps(plain(report), indent=1, ensure_ascii=False)
        if asked.out:
            asked.out.write_text(text + "\n", "utf-8")
    print(text if asked.json else render(report))


def measure(
    names: list[str],
    *,
    quick: bool,
    device: str,
    precision: str = "fp32",
    workers: int | None = None,
    producers: int | None = None,
) -> Iterator[Report]:
    """The report so far after each of these rows: what was measured outlives a row that fails.

    `workers` and `producers` are for CUDA; None: one per core, and four.
    """
    began = datetime.now(UTC).isoformat(timespec="seconds")
    facts = machine.describe(device)
    settings = {"rows": names, "quick": quick, "device": device, "precision": precision}
    settings["pictures"] = "500x375 JPEG, quality 90"
    rows: tuple[Row, ...] = ()
    asked = {"asked_workers": workers, "asked_producers": producers}
    with Bench(quick=quick, device=device, precision=precision, say=_say, **asked) as bench:
        for name in names:
            _say(f"{ROWS[name].NUMBER}. {ROWS[name].TITLE} …")
            started = time.monotonic()
            row: Row = ROWS[name].run(bench)
            rows += (msgspec.structs.replace(row, seconds=time.monotonic() - started),)
            yield Report(started_at=began, settings=settings, machine=facts, rows=rows)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
