"""Row 4 continued: a script that loops over pytorch-grad-cam, files in, overlays out, against camq end to end."""

from bench import timing
from bench.context import Bench
from bench.jobs import EndToEnd
from bench.pictures import folder
from bench.results import Row, Series, Target, ratio

NUMBER, NAME, TITLE = 4, "loop", "a loop over grad-cam: one picture after the other, no queue, no storage"
_BOUNDS = {1: 2.8, 5: 8.0}


def run(bench: Bench) -> Row:
    """Images per second of both, overlays of 224 pixels."""
    from bench import peers  # a machine without them can still run the other rows

    out = bench.new_folder()
    out.mkdir()
    sides = {}
    for k, images in ((1, bench.pick(40, 12)), (5, bench.pick(16, 6))):
        files = sorted(folder(bench.new_folder(), images).iterdir())
        sides[f"camq k={k}"] = EndToEnd(bench, bench.pick(100, 96), {"top_k": k, "overlay": "input"})
        sides[f"loop k={k}"] = peers.loop(bench.published, files, out, k)
    bench.worker  # noqa: B018 - started and warm before the first sample
    samples = timing.interleave(sides, bench.pick(2, 1))
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    targets = []
    for k, bound in _BOUNDS.items():
        times = series[f"camq / loop, k={k}"] = ratio(samples[f"camq k={k}"], samples[f"loop k={k}"])
        targets.append(Target(f"end to end k={k} / loop over grad-cam", times.median, "≥", bound))
    return Row(number=NUMBER, name=NAME, title=TITLE, settings={}, series=series, targets=tuple(targets))
