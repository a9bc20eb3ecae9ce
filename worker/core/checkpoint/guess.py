"""Which architecture a checkpoint is of, from its shapes alone: whatever its layers are called."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files

import msgspec

from worker.core.checkpoint.fit import AVERAGED, Node, Shape, tree

#: A stem takes pictures of this many channels at most.
_PICTURE_CHANNELS = 4
#: Subtrees with fewer tensors are no network.
_FEWEST = 10
#: A convolutional network has more kernels than this; a transformer is recognised by its matrices.
_MANY_KERNELS = 4


def guess(shapes: Mapping[str, Shape]) -> str | None:
    """The architecture whose trunk has these shapes, wherever in the checkpoint it lies, if it is known."""
    return next((found for node in _subtrees(tree(shapes)) for found in _of(node)), None)


def signatures(shapes: Iterable[tuple[str, Shape]]) -> Iterator[str]:
    """What distinguishes networks: the shapes of all kernels, or of all matrices, without stem and without last layer.

    Which kernel is the stem cannot be told from a shape, so there is one signature for each that may be.
    """
    named = list(shapes)
    normalised = any(name.endswith("running_mean") for name, _ in named)
    weights = [shape for name, shape in named if name.endswith("weight")]
    kernels: Counter[Shape] = Counter(shape for shape in weights if len(shape) == 4)
    if kernels.total() > _MANY_KERNELS:
        for stem in [shape for shape in kernels if shape[1] <= _PICTURE_CHANNELS and shape[2] > 1]:
            rest = kernels.copy()
            rest[stem] -= 1
            yield _digest(+rest, normalised)
    else:
        yield _digest(Counter(shape for shape in weights if len(shape) in (2, 4)), normalised)


def _of(node: Node) -> Iterator[str]:
    tensors = [(each.name, each.shape or ()) for each in node.tensors()]
    heads = [last for last in tensors[::-1] if len(last[1]) in (2, 4)]
    # Where the last layer is, its name says only in part; without any of the last few it must fit.
    for left_out in [None, *heads[:3], *heads[-1:]]:
        for signature in signatures(each for each in tensors if each is not left_out):
            if found := _known().get(signature):
                yield found


def _subtrees(node: Node) -> Iterator[Node]:
    """Outermost first, averaged copies last."""
    level = [node]
    late: list[Node] = []
    while level:
        for each in level:
            if len(each.tensors()) >= _FEWEST:
                if AVERAGED.search(each.name):
                    late.append(each)
                else:
                    yield each
        level = [child for each in level for child in each.children.values() if child.children]
    yield from late


@cache
def _known() -> dict[str, str]:
    raw = files("worker.core.checkpoint").joinpath("architectures.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, str])


def _digest(shapes: Counter[Shape], normalised: bool) -> str:
    text = f"{sorted(shapes.items())} {normalised}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
