"""Row 1: the bare forward pass, which everything else is measured against."""

import torch

from bench import network, timing
from bench.context import Bench
from bench.results import Row, Series
from worker.core.model.network import load_network

NUMBER, NAME, TITLE = 1, "forward", "bare forward of resnet18, float32, channels_last: the limit"


def run(bench: Bench) -> Row:
    """Images per second at each batch, of the published network and of what camq makes of it."""
    ours = load_network("resnet18", weights=bench.weights, device=torch.device(bench.device))
    batches = network.batches(bench.device)
    inputs = {batch: network.noise(batch, bench.device) for batch in batches}

    def our_rate(batch: int) -> float:
        def work() -> int:
            logits, _ = ours.forward(inputs[batch])
            logits.cpu()  # nothing is done before the answer is here
            return batch

        work()
        return timing.rate(work, 1.0)

    sides = {}
    for batch in batches:
        sides[f"batch {batch}"] = lambda batch=batch: bench.forward(batch, 1.0)
        sides[f"batch {batch}, camq"] = lambda batch=batch: our_rate(batch)
    samples = timing.interleave(sides, 2)
    series = {name: Series("images/s", tuple(values)) for name, values in samples.items()}
    best = max(batches, key=lambda batch: series[f"batch {batch}"].median)
    bench.__dict__["best_batch"] = best  # the other rows need not look again
    return Row(
        number=NUMBER,
        name=NAME,
        title=TITLE,
        settings={"best batch": best, "torch threads": torch.get_num_threads()},
        series=series,
        notes=(
            "the limit of every ratio is torchvision's network as published, at its best batch; camq runs it in another"
            " library on a CPU, so a ratio above 1 is possible",
        ),
    )
