"""The rows of the benchmark, one file each."""

from types import ModuleType

from bench.rows import core, end_to_end, forward, growth, latency, loop, no_storage, plain_worker, scaling

ROWS: dict[str, ModuleType] = {
    row.NAME: row for row in (forward, core, end_to_end, no_storage, plain_worker, loop, latency, growth, scaling)
}
#: What `python -m bench` runs without names; `growth` takes longer than all of them together.
USUAL = tuple(name for name in ROWS if name != "growth")
#: With `--device cuda`: what the device changes.
USUAL_CUDA = ("forward", "core", "no-storage", "end-to-end")
