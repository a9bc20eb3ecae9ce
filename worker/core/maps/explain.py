"""One micro-batch: a forward, then classes, ranks, probabilities and maps for every picture.

`answer` works on the device and never waits for it; `read` makes outcomes of what was brought to the host.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from shared.contract import Options, Outputs
from shared.errors import ImageError
from worker.core.maps.evidence import Evidence, probabilities, target_scores
from worker.core.maps.methods import FROM_GRADIENT, METHODS
from worker.core.model.network import Network
from worker.core.types import ClassMap, Explanation, FloatArray

Outcome: TypeAlias = Explanation | ImageError
#: Rows (n,) of the micro-batch, their classes (n, k), how to map them → raw maps (n, k, h, w).
Mapper: TypeAlias = Callable[[Tensor, Tensor, Options], Tensor]
#: Before a map's values: rank, class index, logit, probability, and whether the picture's output is finite.
_NUMBERS = 5


@dataclass(frozen=True, eq=False)
class Answers:
    """Pictures of a micro-batch that asked for the same; `rows` are their places in it.

    `table` (n, k, 5 + h·w) is all that is known of them in float32, which holds a class index exactly up to
    2²⁴, so that one transfer brings it to the host.
    """

    rows: list[int]
    wish: Options
    table: Tensor
    side: tuple[int, int]


def no_step() -> None:
    """Nobody wants to know."""


def explain(
    network: Network,
    inputs: Tensor,
    options: Sequence[Options],
    batch_size: int,
    on_step: Callable[[], None] = no_step,
) -> list[Outcome]:
    """Explain normalised pictures (N, 3, S, S) that share one `autograd_layer`, each by its own options.

    One forward serves all of them, whatever their methods and classes; Score-CAM adds forwards of at most
    `batch_size` pictures, and calls `on_step` before each of them. A picture whose logits or maps are not finite gets
    an ImageError.
    """
    layer = network.autograd_layer(options[0])
    if layer is None:
        logits, activations = network.forward(inputs)
        mapper = closed_form(network, inputs, logits, activations, batch_size, on_step=on_step)
    else:
        logits, mapper = _taped(network, inputs, layer)
    answers = answer(logits, mapper, options, network.outputs)
    return read(answers, to_send(answers).cpu().numpy())


def answer(logits: Tensor, mapper: Mapper, options: Sequence[Options], outputs: Outputs = "softmax") -> list[Answers]:
    """Logits (N, C) and N pictures' options → their answers, on the logits' device."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for row, wish in enumerate(options):
        groups[wish.method, wish.target, wish.classes or wish.top_k, wish.min_probability].append(row)
    return [_answer_alike(logits, rows, options[rows[0]], mapper, outputs) for rows in groups.values()]


def to_send(answers: Sequence[Answers]) -> Tensor:
    """All tables as one vector: everything to the host at once, since each transfer costs more than many maps."""
    return torch.cat([each.table.flatten() for each in answers])


def read(answers: Sequence[Answers], sent: FloatArray) -> list[Outcome]:
    """`to_send`'s vector, on the host → one outcome per picture of the micro-batch, in order."""
    ends = np.cumsum([each.table.numel() for each in answers])
    outcomes: dict[int, Outcome] = {}
    for each, values in zip(answers, np.split(sent, ends[:-1]), strict=True):
        outcomes |= zip(each.rows, _read_alike(each, values.reshape(each.table.shape)), strict=True)
    return [outcomes[row] for row in range(len(outcomes))]


def closed_form(
    network: Network,
    inputs: Tensor | None,
    logits: Tensor,
    activations: Tensor,
    batch_size: int,
    *,
    on_step: Callable[[], None] = no_step,
) -> Mapper:
    """Maps from what `network.forward` says of `inputs`, which Score-CAM alone needs. The network must have a head."""
    head = network.head
    assert head is not None  # noqa: S101 -- `autograd_layer` is None only where there is one

    def classify(masked: Tensor) -> Tensor:
        # Other pictures may run in `on_step`, and tensors made in inference mode would break their backward pass.
        with torch.inference_mode(mode=False):
            on_step()
        return network.classify(masked)

    def mapper(rows: Tensor, classes: Tensor, wish: Options) -> Tensor:
        evidence = Evidence(
            head=head,
            activations=activations[rows].double(),
            logits=logits[rows].double(),
            classes=classes,
            target=wish.target,
            # Only Score-CAM looks at the pictures again, and copying them would cost more than the maps.
            inputs=inputs[rows] if inputs is not None and wish.method == "scorecam" else None,
            classify=classify,
            batch_size=batch_size,
            outputs=network.outputs,
        )
        with torch.inference_mode():
            return METHODS[wish.method](evidence)

    return mapper


def _taped(network: Network, inputs: Tensor, layer: str) -> tuple[Tensor, Mapper]:
    tape = network.tape(inputs, layer)
    activations = network.as_map(layer, tape.activations)

    def mapper(rows: Tensor, classes: Tensor, wish: Options) -> Tensor:
        gradients = tape.gradients(lambda logits: target_scores(logits[rows], classes, wish.target, network.outputs))
        columns = (network.as_map(layer, gradient)[rows].unsqueeze(1) for gradient in gradients)
        of_gradient = FROM_GRADIENT[wish.method]
        return torch.cat([of_gradient(column, activations[rows]) for column in columns], dim=1)

    return tape.logits.detach(), mapper


def _answer_alike(logits: Tensor, rows: list[int], wish: Options, mapper: Mapper, outputs: Outputs) -> Answers:
    """Logits (N, C) of the whole micro-batch."""
    index = _sent(rows, logits.device)
    own = logits[index]
    if wish.classes is None:
        classes = top_k(own, _most(wish, outputs, own.shape[1]))
        places = torch.arange(1, classes.shape[1] + 1, device=own.device).expand_as(classes)
    else:
        classes = _sent(wish.classes, own.device).expand(len(own), -1)
        places = ranks(own, classes)
    maps = mapper(index, classes, wish)
    finite = own.isfinite().all(1) & maps.isfinite().flatten(1).all(1)
    numbers = (places, classes, own.gather(1, classes), probabilities(own, outputs).gather(1, classes), finite[:, None])
    columns = [each.expand_as(classes).unsqueeze(2).float() for each in numbers]
    return Answers(rows, wish, torch.cat([*columns, maps.flatten(2).float()], dim=2), (maps.shape[2], maps.shape[3]))


def _most(wish: Options, outputs: Outputs, classes: int) -> int:
    """How many classes are looked at. Shares of one whole above P can be no more than 1/P."""
    if not wish.min_probability:
        return min(wish.top_k, classes)
    return min(classes, int(1 / wish.min_probability)) if outputs == "softmax" else classes


def _read_alike(answers: Answers, table: FloatArray) -> list[Outcome]:
    numbers = table[..., :_NUMBERS].tolist()
    least = answers.wish.min_probability or 0.0
    maps = table[..., _NUMBERS:].reshape(*table.shape[:2], *answers.side)
    return [
        Explanation(
            tuple(
                ClassMap(int(rank), int(index), logit, probability, values)
                for (rank, index, logit, probability, _), values in zip(classes, image, strict=True)
                if probability >= least
            ),
            answers.wish.method,
        )
        if classes[0][-1]
        else ImageError("inference", "the network's output for this picture is not finite")
        for classes, image in zip(numbers, maps, strict=True)
    ]


def _sent(numbers: Sequence[int], device: torch.device) -> Tensor:
    """On the device, without waiting for what it is doing."""
    made = torch.tensor(numbers)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made


def top_k(logits: Tensor, k: int) -> Tensor:
    """The k classes with the highest logits, best first: (N, C) → (N, k) int64.

    Equal logits are ordered by class index, which `torch.topk` does not promise.
    """
    return torch.sort(logits, dim=1, descending=True, stable=True).indices[:, :k]


def ranks(logits: Tensor, classes: Tensor) -> Tensor:
    """The true rank, from 1, of each asked-for class: logits (N, C), classes (N, k) → (N, k) int64.

    The same order as `top_k`: ahead of a class are those with a higher logit, and of the equal ones those
    with a lower index.
    """
    own = logits.gather(1, classes).unsqueeze(2)  # (N, k, 1)
    index = torch.arange(logits.shape[1], device=logits.device)
    others = logits.unsqueeze(1)  # (N, 1, C)
    ahead = (others > own) | ((others == own) & (index < classes.unsqueeze(2)))
    return ahead.sum(dim=2) + 1
