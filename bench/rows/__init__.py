"""The rows of the benchmark, one file each."""

from types import ModuleType

from bench.rows import (
    api,
    core,
    end_to_end,
    engine,
    evaluate,
    growth,
    host,
    latency,
    loop,
    no_storage,
    plain_worker,
    raising,
    scaling,
)

ROWS: dict[str, ModuleType] = {
    row.NAME: row
    for row in (
        engine,
        core,
        end_to_end,
        no_storage,
        plain_worker,
        loop,
        latency,
        growth,
        scaling,
        raising,
        host,
        evaluate,
        api,
    )
}
#: What `python -m bench` runs without names: what says how fast camq is, as far as it takes eight minutes.
USUAL = tuple(name for name in ROWS if name not in ("growth", "raising", "host", "evaluate", "api"))
#: With `--device cuda`: what the device changes.
USUAL_CUDA = ("engine", "core", "no-storage", "end-to-end")
