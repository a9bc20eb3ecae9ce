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

from shared.contract import PRESENT_FROM, Options, Outputs
from shared.errors import ImageError
from worker.core.maps.evidence import Evidence, probabilities, target_scores
from worker.core.maps.methods import FROM_GRADIENT, METHODS, contrasted, fused
from worker.core.model.network import Network
from worker.core.types import ClassMap, Explanation, FloatArray, Judgement, Standing, truth_in

Outcome: TypeAlias = Explanation | ImageError
#: Rows (n,) of the micro-batch, their classes (n, k), how to map them → raw maps (n, k, h, w).
Mapper: TypeAlias = Callable[[Tensor, Tensor, Options], Tensor]
#: Before a map's values: rank, class index, logit, probability, and whether the picture's output is finite.
_NUMBERS = 5


@dataclass(frozen=True, eq=False)
class Answers:
    """Pictures of a micro-batch that asked for the same; `rows` are their places in it, `wishes` what they asked.

    `table` (n, k, 5 + h·w) is all that is known of them in float32, which holds a class index exactly up to
    2²⁴, so that one transfer brings it to the host. `every` (n, 2, C) has the logits and probabilities of all classes,
    where the true ones are known, and else nothing (0).
    """

    rows: list[int]
    wishes: list[Options]
    table: Tensor
    side: tuple[int, int]
    every: Tensor
    outputs: Outputs


def no_step() -> None:
    """Nobody wants to know."""


def explain(
    network: Network,
    inputs: Tensor,
    options: Sequence[Options],
    batch_size: int,
    on_step: Callable[[], None] = no_step,
) -> list[Outcome]:
    """Explain normalised pictures (N, 3, S, S) that share their `autograd_layers`, each by its own options.

    One forward serves all of them, whatever their methods and classes; an image without a class to explain has no map.
    Score-CAM adds forwards of at most `batch_size` pictures, and calls `on_step` before each of them. A picture whose
    logits or maps are not finite gets an ImageError.
    """
    layers = network.autograd_layers(options[0])
    mapper: Mapper
    if layers:
        logits, mapper = taped(network, inputs, layers)
    elif network.head is None:
        logits, mapper = network.classify(inputs), _no_maps
    else:
        logits, activations = network.forward(inputs)
        mapper = closed_form(network, inputs, logits, activations, batch_size, on_step=on_step)
    answers = answer(logits, mapper, options, network.outputs)
    return read(answers, to_send(answers).cpu().numpy())


def answer(logits: Tensor, mapper: Mapper, options: Sequence[Options], outputs: Outputs = "softmax") -> list[Answers]:
    """Logits (N, C) and N pictures' options → their answers, on the logits' device."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for row, wish in enumerate(options):
        classes = wish.top_k if wish.classes is None else (len(wish.classes),)
        truth = truth_in(wish)
        known = truth is not None, bool(truth)
        groups[wish.method, wish.target, classes, wish.min_probability, wish.explain, known].append(row)
    return [_answer_alike(logits, rows, [options[r] for r in rows], mapper, outputs) for rows in groups.values()]


def to_send(answers: Sequence[Answers]) -> Tensor:
    """All tables as one vector: everything to the host at once, since each transfer costs more than many maps."""
    return torch.cat([part.flatten() for each in answers for part in (each.table, each.every)])


def read(answers: Sequence[Answers], sent: FloatArray) -> list[Outcome]:
    """`to_send`'s vector, on the host → one outcome per picture of the micro-batch, in order."""
    ends = np.cumsum([part.numel() for each in answers for part in (each.table, each.every)])
    parts = iter(np.split(sent, ends[:-1]))
    outcomes: dict[int, Outcome] = {}
    for each in answers:
        table, every = next(parts).reshape(each.table.shape), next(parts).reshape(each.every.shape)
        outcomes |= zip(each.rows, _read_alike(each, table, every), strict=True)
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
    assert head is not None  # noqa: S101 -- there are `autograd_layers` where there is none

    def classify(masked: Tensor) -> Tensor:
        # Other pictures may run in `on_step`, and tensors made in inference mode would break their backward pass.
        with torch.inference_mode(mode=False):
            on_step()
        return network.classify(masked)

    def mapper(rows: Tensor, classes: Tensor, wish: Options) -> Tensor:
        if not classes.shape[1]:
            return _no_maps(rows, classes, wish)
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


def _no_maps(rows: Tensor, classes: Tensor, wish: Options) -> Tensor:  # noqa: ARG001 - a `Mapper`, of no class at all
    return torch.zeros(len(rows), 0, 1, 1, device=rows.device)


def taped(network: Network, inputs: Tensor, layers: Sequence[str]) -> tuple[Tensor, Mapper]:
    """Logits (N, C), and maps by autograd back to `layers`, from one forward."""
    tape = network.tape(inputs, layers)
    activations = [network.as_map(layer, caught) for layer, caught in zip(layers, tape.activations, strict=True)]

    def mapper(rows: Tensor, classes: Tensor, wish: Options) -> Tensor:
        def scores(logits: Tensor) -> Tensor:
            own = logits[rows]

            def of(asked: Tensor) -> Tensor:
                return target_scores(own, asked, wish.target, network.outputs)

            return contrasted(of, own.detach(), classes) if wish.method == "finercam" else of(classes)

        def of_class(gradients: Sequence[Tensor]) -> Tensor:
            found = [network.as_map(layer, each)[rows] for layer, each in zip(layers, gradients, strict=True)]
            pairs = zip(found, activations, strict=True)
            maps = [FROM_GRADIENT[wish.method](gradient.unsqueeze(1), caught[rows]) for gradient, caught in pairs]
            return fused(maps) if len(maps) > 1 else maps[0]

        return torch.cat([of_class(gradients) for gradients in tape.gradients(scores)], dim=1)

    return tape.logits.detach(), mapper


def _answer_alike(logits: Tensor, rows: list[int], wishes: list[Options], mapper: Mapper, outputs: Outputs) -> Answers:
    """Logits (N, C) of the whole micro-batch; the wishes differ in classes and truth alone."""
    wish = wishes[0]
    own = logits[_sent(rows, logits.device)]
    if wish.classes is None:
        classes = top_k(own, _most(wish, outputs, own.shape[1]))
    else:
        classes = _sent([each.classes for each in wishes], own.device)
    if true := _true_classes(wishes):
        classes = torch.cat([classes, _sent(true, own.device)], dim=1)
    if wish.classes is None and not true:
        places = torch.arange(1, classes.shape[1] + 1, device=own.device).expand_as(classes)
    else:
        places = ranks(own, classes)
    maps = mapper(_sent(rows, logits.device), classes, wish)
    finite = own.isfinite().all(1) & maps.isfinite().flatten(1).all(1)
    shares = probabilities(own, outputs)
    numbers = (places, classes, own.gather(1, classes), shares.gather(1, classes), finite[:, None])
    columns = [each.expand_as(classes).unsqueeze(2).float() for each in numbers]
    table = torch.cat([*columns, maps.flatten(2).float()], dim=2)
    every = torch.stack([own, shares], dim=1).float() if truth_in(wish) is not None else own.new_empty(0).float()
    return Answers(rows, wishes, table, (maps.shape[2], maps.shape[3]), every, outputs)


def _true_classes(wishes: list[Options]) -> list[list[int]]:
    """Columns of true classes, one row for each picture that wants them explained; a picture that has fewer than others
    repeats its first, which is dropped when it is read."""
    if wishes[0].explain != "truth" or not truth_in(wishes[0]):
        return []
    given = [truth_in(wish) or () for wish in wishes]
    most = max(map(len, given))
    return [[*truth, *truth[:1] * (most - len(truth))] for truth in given]


def _most(wish: Options, outputs: Outputs, classes: int) -> int:
    """How many classes are looked at. Shares of one whole above P can be no more than 1/P."""
    if not wish.min_probability:
        return min(wish.top_k, classes)
    return min(classes, int(1 / wish.min_probability)) if outputs == "softmax" else classes


def _read_alike(answers: Answers, table: FloatArray, every: FloatArray) -> list[Outcome]:
    numbers = table[..., :_NUMBERS].tolist()
    maps = table[..., _NUMBERS:].reshape(*table.shape[:2], *answers.side)
    return [
        Explanation(
            _class_maps(wish, classes, image),
            wish.method,
            judged(truth, every[place], answers.outputs) if (truth := truth_in(wish)) is not None else None,
        )
        if (classes[0][-1] if classes else np.isfinite(every[place]).all())
        else ImageError("inference", "the network's output for this picture is not finite")
        for place, (wish, classes, image) in enumerate(zip(answers.wishes, numbers, maps, strict=True))
    ]


def _class_maps(wish: Options, classes: list[list[float]], maps: FloatArray) -> tuple[ClassMap, ...]:
    """Each class once; of the classes that nobody asked for by name, those that are probable enough."""
    least = wish.min_probability or 0.0
    wanted = set(truth_in(wish) or ()) if wish.explain == "truth" else set()
    found: dict[int, ClassMap] = {}
    for (rank, index, logit, probability, _), values in zip(classes, maps, strict=True):
        if probability >= least or int(index) in wanted:
            found.setdefault(int(index), ClassMap(int(rank), int(index), logit, probability, values))
    return tuple(found.values())


def judged(truth: tuple[int, ...], every: FloatArray, outputs: Outputs) -> Judgement:
    """From the logits and probabilities (2, C) of all classes of one picture; ranks as in `ranks`."""
    logits, shares = every
    order = np.argsort(-logits, kind="stable")
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(1, len(order) + 1)
    present = order[:1] if outputs == "softmax" else order[shares[order] >= PRESENT_FROM]
    true, predicted = (
        tuple(Standing(int(index), int(places[index]), float(shares[index])) for index in indices)
        for indices in (truth, present)
    )
    return Judgement(true, predicted)


def _sent(numbers: Sequence[object], device: torch.device) -> Tensor:
    """On the device, without waiting for what it is doing."""
    made = torch.tensor(numbers, dtype=torch.int64)
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
