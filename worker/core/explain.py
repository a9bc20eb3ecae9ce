"""One micro-batch: a forward, then classes, ranks, probabilities and maps for every picture."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from shared.contract import Options
from shared.errors import ImageError
from worker.core.cam import Evidence, target_scores
from worker.core.methods import METHODS, from_gradient
from worker.core.network import Network
from worker.core.topk import ranks, top_k
from worker.core.types import ClassMap, Explanation

Outcome: TypeAlias = Explanation | ImageError
#: Rows (n,) of the micro-batch, their classes (n, k), how to map them → raw maps (n, k, h, w).
_Mapper: TypeAlias = Callable[[Tensor, Tensor, Options], Tensor]


def explain(network: Network, inputs: Tensor, options: Sequence[Options], batch_size: int) -> list[Outcome]:
    """Explain normalised pictures (N, 3, S, S) that share one `autograd_layer`, each by its own options.

    One forward serves all of them, whatever their methods and classes; Score-CAM adds forwards of at most
    `batch_size` pictures. A picture whose logits or maps are not finite gets an ImageError.
    """
    layer = network.autograd_layer(options[0])
    logits, mapper = _taped(network, inputs, layer) if layer else _closed_form(network, inputs, batch_size)
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for row, wish in enumerate(options):
        groups[wish.method, wish.target, wish.classes or wish.top_k].append(row)
    outcomes: dict[int, Outcome] = {}
    for rows in groups.values():
        index = torch.tensor(rows, device=logits.device)
        outcomes |= zip(rows, _explain_alike(logits[index], index, options[rows[0]], mapper), strict=True)
    return [outcomes[row] for row in range(len(options))]


def _closed_form(network: Network, inputs: Tensor, batch_size: int) -> tuple[Tensor, _Mapper]:
    logits, activations = network.forward(inputs)
    head = network.head
    assert head is not None  # noqa: S101 -- `autograd_layer` is None only where there is one

    def mapper(rows: Tensor, classes: Tensor, wish: Options) -> Tensor:
        evidence = Evidence(
            head=head,
            activations=activations[rows].double(),
            logits=logits[rows].double(),
            classes=classes,
            target=wish.target,
            # Only Score-CAM looks at the pictures again, and copying them would cost more than the maps.
            inputs=inputs[rows] if wish.method == "scorecam" else inputs,
            classify=network.classify,
            batch_size=batch_size,
        )
        with torch.inference_mode():
            return METHODS[wish.method](evidence)

    return logits, mapper


def _taped(network: Network, inputs: Tensor, layer: str) -> tuple[Tensor, _Mapper]:
    tape = network.tape(inputs, layer)
    activations = network.as_map(layer, tape.activations)

    def mapper(rows: Tensor, classes: Tensor, wish: Options) -> Tensor:
        gradient = tape.gradients(lambda logits: target_scores(logits[rows], classes, wish.target))
        columns = [network.as_map(layer, column).unsqueeze(1) for column in gradient.unbind(dim=1)]
        maps = [from_gradient(column, activations)[rows] for column in columns]
        return torch.cat(maps, dim=1)

    return tape.logits.detach(), mapper


def _explain_alike(logits: Tensor, rows: Tensor, wish: Options, mapper: _Mapper) -> list[Outcome]:
    """Pictures that ask for the same: logits (n, C)."""
    if wish.classes is None:
        classes = top_k(logits, wish.top_k)
        places = torch.arange(1, wish.top_k + 1).expand_as(classes)
    else:
        classes = torch.tensor(wish.classes, device=logits.device).expand(len(logits), -1)
        places = ranks(logits, classes)
    maps = mapper(rows, classes, wish)
    finite = (logits.isfinite().all(1) & maps.isfinite().flatten(1).all(1)).tolist()
    # Everything to the host at once: a transfer per picture would cost more than the maps.
    values = maps.float().cpu().numpy()
    probabilities = logits.softmax(dim=1).gather(1, classes).tolist()
    table = zip(places.tolist(), classes.tolist(), logits.gather(1, classes).tolist(), probabilities, strict=True)
    return [
        Explanation(tuple(ClassMap(*each) for each in zip(*columns, image, strict=True)), wish.method)
        if is_finite
        else ImageError("inference", "the network's output for this picture is not finite")
        for columns, image, is_finite in zip(table, values, finite, strict=True)
    ]
