"""A checkpoint's tensors in the network that they were trained in: the architecture, with their stem and their head."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from shared.errors import ModelError
from worker.core.checkpoint import trained_head
from worker.core.checkpoint.checkpoint import Checkpoint
from worker.core.checkpoint.fit import AVERAGED, Fit, Matcher, Shape, grouped, other_copies
from worker.core.checkpoint.misfit import misfit, nothing, some
from worker.core.checkpoint.normalisation import normalisation
from worker.core.checkpoint.trained_head import BESIDE, Layer
from worker.core.model import architectures
from worker.core.model.checkpoints import NORMALISED, Assembled, load_strictly
from worker.core.sources.architecture import Architecture

#: Left in every module by tools that count operations.
_COUNTERS = re.compile(r"(^|\.)(total_ops|total_params|num_batches_tracked)$")


@dataclass(frozen=True)
class _Head:
    """Where the head goes, and its layers."""

    path: str
    layers: list[Layer]
    fit: Fit
    concatenated: bool = False
    #: Whether its last layers take the architecture's own classes, and no number says what stands between.
    on_top: bool = False


def assemble(
    name: str, checkpoint: Checkpoint, activation: str | None = None, source: Architecture | None = None
) -> Assembled:
    """Build `name` and put `checkpoint` into it. Raises ModelError, saying what is there, where it does not fit.

    The class count is that of the checkpoint's last layer. `activation` stands between two linear layers of a head
    that its trainer built: a state dict does not tell which it was. None assumes what is usual there.
    """
    checkpoint = checkpoint.folded()
    sources = architectures.modern_names(name, checkpoint.shapes)
    shapes = {modern: checkpoint.shapes[source] for modern, source in sources.items()}
    if not shapes:
        raise ModelError(nothing(checkpoint))
    module = source.build(shapes) if source else architectures.construct(name, **architectures.options(name, shapes))
    own = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    stem = _first(module)
    matcher = Matcher(shapes, loose=[f"{stem}.weight"])
    last = _last(module)
    found = _find_head(module, matcher, own, shapes, last)
    if isinstance(found, str):
        raise ModelError(misfit(name, checkpoint, shapes, found))
    fit, notes = found.fit, []
    kept = {key: checkpoint.read(sources[source]) for key, source in fit.names.items()}
    if note := _adapt_stem(module, stem, shapes[fit.names[f"{stem}.weight"]]):
        notes.append(note)
    classes = _attach(module, found, lambda key: checkpoint.read(sources[key]), activation, notes)
    state = {**{key: t for key, t in module.state_dict().items() if _within(key, found.path)}, **kept}
    load_strictly(module, state, name)
    used = {*fit.names.values(), *(tensor for layer in found.layers for tensor in layer.tensors.values())}
    ignored = [key for key in shapes if key not in used and not key.endswith("num_batches_tracked")]
    notes += other_copies(ignored, fit, fit.root)
    channels = shapes[fit.names[f"{stem}.weight"]][1]
    mean, normalised = normalisation(
        [key for key in ignored if not BESIDE.search(key)], shapes, lambda key: checkpoint.read(sources[key]), channels
    )
    if normalised:
        notes.append(NORMALISED.format(mean))
    return Assembled(
        module=module,
        classes=classes,
        channels=channels,
        ignored=tuple(grouped(ignored)),
        renamed=_renamed(fit, found),
        notes=tuple(notes),
        normalised=normalised,
    )


def _find_head(
    module: nn.Module, matcher: Matcher, own: Mapping[str, Shape], shapes: Mapping[str, Shape], last: str
) -> _Head | str:
    """Where trunk and head lie in the checkpoint, or what is missing there.

    The architecture's last layer may have been replaced, or the whole module that it lies in.
    """
    problem = ""
    for path in dict.fromkeys([last, last.partition(".")[0]]):
        fit = matcher.fit({key: shape for key, shape in own.items() if not _within(key, path)})
        if fit.missing:
            problem = problem or f"missing: {some(fit.missing)}"
            continue
        layer = module.get_submodule(last)
        width = _width(module, path, layer)
        root = fit.root
        for candidates, near in _nearest(fit, root, path, shapes):
            found = _convolution(candidates, shapes, layer) or trained_head.layers(candidates, shapes)
            for wide in (1, 2):
                chain = trained_head.chain(found, wide * width)
                if not chain or (wide == 2 and not hasattr(module, "avgpool")):
                    continue
                if rivals := trained_head.rivals(found, chain):
                    return (
                        f"more than one head: {', '.join(each.path for each in (chain[0], *rivals))}; keep one of them"
                    )
                above = _above(chain[-1], root, shapes) if near else []
                on_top = bool(above) and trained_head.gap(chain[-1], above[0]) is None
                head = _Head(path, [*chain, *above], fit, concatenated=wide == 2, on_top=on_top)
                strays = _strays(head, root, shapes)
                if not strays:
                    return head
                problem = f"unexpected: {some(strays)}"
        problem = problem or f"no head: the trunk is there, but no linear layer that takes its {width} channels"
    return problem


def _nearest(fit: Fit, root: str, path: str, shapes: Mapping[str, Shape]) -> Iterable[tuple[list[str], bool]]:
    """Names in which the head may be, nearest first: where the architecture has it, then ever further outside."""
    used = set(fit.names.values())
    free = [key for key in shapes if key not in used and not key.endswith("num_batches_tracked")]
    if own := [key for key in free if _within(key, f"{root}{path}")]:
        yield own, True
    parts = root.split(".")[:-1]
    for depth in range(len(parts), -1, -1):
        around = "".join(f"{part}." for part in parts[:depth])
        inside = [key for key in free if key.startswith(around)]
        yield [key for key in inside if bool(AVERAGED.search(key)) == bool(AVERAGED.search(root))], False


def _above(last: Layer, root: str, shapes: Mapping[str, Shape]) -> list[Layer]:
    """Layers beside the whole architecture that take its classes: `nn.Sequential(resnet18(), nn.Linear(1000, 5))`."""
    averaged = bool(AVERAGED.search(root))
    outside = [key for key in shapes if not key.startswith(root) and bool(AVERAGED.search(key)) == averaged]
    found = trained_head.chain(trained_head.layers(outside, shapes), last.outputs)
    return [replace(layer, around=True) for layer in found]


def _strays(head: _Head, root: str, shapes: Mapping[str, Shape]) -> list[str]:
    """Tensors that the trainer's network computes with and this one would not: it would answer otherwise."""
    trunk = set(head.fit.names.values())
    used = {*trunk, *(name for layer in head.layers for name in layer.tensors.values())}
    modules = {key[: len(root)] + key[len(root) :].partition(".")[0] for key in trunk}
    own = {_outermost(layer.path, trunk) for layer in head.layers}
    strays = []
    for key, shape in shapes.items():
        if key in used or _COUNTERS.search(key):
            continue
        top = root + key[len(root) :].partition(".")[0]
        parameter = key.rpartition(".")[2] in ("weight", "bias") or len(shape) > 1
        inside = key.startswith(root) and top in modules and parameter
        beside = key.startswith(root) and (len(shape) > 2 or (len(shape) == 2 and key.endswith(".weight")))
        if inside or ((beside or any(_within(key, path) for path in own)) and not BESIDE.search(key)):
            strays.append(key)
    return [key for key in strays if root or not AVERAGED.search(key)]


def _outermost(path: str, trunk: set[str]) -> str:
    """The outermost module around a layer of the head that holds nothing of the trunk."""
    while (parent := path.rpartition(".")[0]) and not any(_within(name, parent) for name in trunk):
        path = parent
    return path


def _convolution(candidates: list[str], shapes: Mapping[str, Shape], layer: nn.Module) -> list[Layer]:
    """SqueezeNet's last layer, which is a 1x1 convolution."""
    if not isinstance(layer, nn.Conv2d):
        return []
    kernels = [key for key in candidates if len(shapes[key]) == 4 and shapes[key][1:] == tuple(layer.weight.shape[1:])]
    if len(kernels) != 1:
        return []
    path = kernels[0].rpartition(".")[0]
    tensors = {key.rpartition(".")[2]: key for key in candidates if key.rpartition(".")[0] == path}
    return [Layer(path, "linear", tensors, shapes[kernels[0]][1], shapes[kernels[0]][0])]


def _attach(
    module: nn.Module, head: _Head, read: Callable[[str], Tensor], activation: str | None, notes: list[str]
) -> int:
    """Put the head in its place; the number of its classes."""
    last = module.get_submodule(_last(module))
    classes = head.layers[-1].outputs
    if isinstance(last, nn.Conv2d) and len(read(head.layers[0].tensors["weight"]).shape) == 4:
        made: nn.Module = nn.Conv2d(last.in_channels, classes, 1, bias="bias" in head.layers[0].tensors)
        made.load_state_dict({name: read(source) for name, source in head.layers[0].tensors.items()})
    else:
        between = activation or (trained_head.NO_ACTIVATION if head.on_top else "relu")
        made = trained_head.build(head.layers, read, between)
        linear = sum(layer.kind == "linear" for layer in head.layers)
        if activation is None and (head.on_top or any(trained_head.activated(head.layers))):
            notes.append(
                f"the head has {linear} linear layers; between them {'no activation' if head.on_top else between} is "
                "assumed, since a checkpoint does not say it: `activation` in a model file does"
            )
    if len(head.layers) == 1 and "bias" not in head.layers[0].tensors:
        notes.append(
            "its last layer has no bias and is taken as a plain linear one: a cosine head (ArcFace, CosFace), which "
            "normalises features and weights first, answers differently"
        )
    if head.concatenated:
        module.avgpool = _MaxAndMean()
        notes.append("the head takes the maximum and the mean of each channel, in this order, as fastai's does")
    if head.path != _last(module):
        made = nn.Sequential(nn.Flatten(1), made)
    module.set_submodule(head.path, made)
    return classes


def two_sided(module: nn.Module, noise: Tensor) -> None:
    """Give a network of one output z two, -z and z: of the negative and of the positive answer.

    Raises ModelError where its last layer is not the one that puts out z.
    """
    with torch.inference_mode():
        before = module(noise)
    path = _last(module)
    old = module.get_submodule(path)
    assert isinstance(old, nn.Linear | nn.Conv2d)  # noqa: S101 -- `_last` finds no others
    made = nn.Linear(old.weight.shape[1], 2) if isinstance(old, nn.Linear) else nn.Conv2d(old.in_channels, 2, 1)
    with torch.no_grad():
        made.weight.copy_(torch.cat([-old.weight, old.weight]))
        bias = torch.zeros(1) if old.bias is None else old.bias
        made.bias.copy_(torch.cat([-bias, bias]))  # type: ignore[union-attr]
    module.set_submodule(path, made.to(noise.device).requires_grad_(requires_grad=False))
    with torch.inference_mode():
        after = module(noise)
    if after.shape[1:] != (2,) or not torch.allclose(after, torch.cat([-before, before], 1), rtol=1e-4, atol=1e-5):
        raise ModelError(
            "its single output does not come straight from its last linear layer, so that it cannot become two classes:"
            " leave out the two labels"
        )


class _MaxAndMean(nn.Module):
    """Each channel's maximum, then each one's mean: (N, K, h, w) → (N, 2K, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """fastai's AdaptiveConcatPool2d."""
        return torch.cat([x.amax((2, 3), keepdim=True), x.mean((2, 3), keepdim=True)], dim=1)


def _adapt_stem(module: nn.Module, path: str, shape: Shape) -> str:
    """Make the first convolution that of the checkpoint. What there is to say of it."""
    old = module.get_submodule(path)
    if type(old) is not nn.Conv2d or tuple(old.weight.shape) == shape:
        return ""
    kernel = shape[2:]
    stride, padding, note = old.stride, old.padding, ""
    if kernel != old.kernel_size:
        stride, padding = ((1, 1), (1, 1)) if kernel == (3, 3) else (old.stride, tuple(side // 2 for side in kernel))
        note = f"its first kernel is {kernel[0]}x{kernel[1]}, so it is run with stride {stride[0]}"
        if kernel == (3, 3) and isinstance(getattr(module, "maxpool", None), nn.MaxPool2d):
            module.maxpool = nn.Identity()
            note += " and without the first pool, as networks for small pictures are"
    made = nn.Conv2d(shape[1], shape[0], kernel, stride, padding, bias=old.bias is not None)  # type: ignore[arg-type]
    module.set_submodule(path, made)
    return note


def _first(module: nn.Module) -> str:
    paths: list[str] = [path for path, layer in module.named_modules() if isinstance(layer, nn.Conv2d)]
    return paths[0]


def _last(module: nn.Module) -> str:
    paths: list[str] = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return paths[-1]


def _width(module: nn.Module, path: str, last: nn.Module) -> int:
    """How many numbers the layer at `path` takes."""
    for layer in module.get_submodule(path).modules():
        if isinstance(layer, nn.Linear):
            return layer.in_features
        if isinstance(layer, nn.Conv2d):
            return layer.in_channels
    return int(last.weight.shape[1])  # type: ignore[index]


def _within(key: str, path: str) -> bool:
    return key == path or key.startswith(f"{path}.")


def _renamed(fit: Fit, head: _Head) -> tuple[str, ...]:
    """How names changed, a line for each change and not for each tensor."""
    pairs: dict[str, None] = {}
    for ours, theirs in [*fit.names.items(), (f"{head.path}.weight", head.layers[-1].tensors["weight"])]:
        a, b = ours.split("."), theirs.split(".")
        while a and b and a[-1] == b[-1]:
            a.pop()
            b.pop()
        if a or b:
            pairs[f"{'.'.join(b)}{'' if a else '.*'} → {'.'.join(a) or '*'}"] = None
    return tuple(pairs)
