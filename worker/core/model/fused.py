"""On a CPU: a convolution, the addition and the ReLU behind it in one call of oneDNN.

The plain way writes the result of each of the three to memory and reads it again. The answers are equal to rounding,
and `fused` makes sure of that before it gives a network away. The calls are those that torch's own compiler makes,
which would need a C++ compiler on the worker's machine.
"""

import operator

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from worker.core.model.structure import UnqualifiedError

#: What another order of adding may change, relative to the largest value; 1e-6 was measured.
_TOLERANCE = 1e-5
_ADDITIONS = {operator.add, operator.iadd, torch.add}
_RELUS = {F.relu, torch.relu}


def fused(graph: fx.GraphModule, example: Tensor) -> fx.GraphModule:
    """`graph` in fewer calls, for inference in float32; fastest for one picture like `example`, (1, 3, S, S).

    Raises UnqualifiedError with the reason where this build of torch, or this processor, does not do it or does not
    give the same answers, to one picture and to two.
    """
    two = torch.cat([example, example.flip(3)]).contiguous(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            rewritten = _rewritten(graph, example)
            pairs = [(rewritten.forward(inputs), graph.forward(inputs)) for inputs in (example, two)]
            alike = all(
                _alike(ours, theirs) for found, wanted in pairs for ours, theirs in zip(found, wanted, strict=True)
            )
    except Exception as error:  # the calls are torch's own affair, and may change with any release
        raise UnqualifiedError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    if not alike:
        raise UnqualifiedError("fused convolutions give other answers here")
    return rewritten


def _alike(found: Tensor, wanted: Tensor) -> bool:
    return bool((found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max())


class FusedConvolution(nn.Module):
    """A convolution, plus another tensor if one is given to `forward`, and a ReLU if asked.

    oneDNN lays weights out for the very shape of the input, and is up to three times as slow with those of another
    shape. So they are kept as they are, and packed for one picture of this `shape` (1, K, h, w): there putting them
    in order takes an eighth of the forward, among sixteen pictures a hundredth.
    """

    def __init__(self, convolution: nn.Conv2d, shape: torch.Size, *, relu: bool) -> None:
        super().__init__()
        one = convolution
        self._weight, self._bias = one.weight, one.bias
        self._how = (one.padding, one.stride, one.dilation, one.groups)
        self._shape = shape
        with torch.no_grad():
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(one.weight, *self._how, list(shape))
        self._relu = relu

    def forward(self, inputs: Tensor, other: Tensor | None = None) -> Tensor:
        """(N, K, h, w) → (N, L, h', w'), with `other`, of the result's shape, added before the ReLU."""
        weight = self._packed if inputs.shape == self._shape else self._weight
        operands = (weight, self._bias, *self._how)
        call = torch.ops.mkldnn._convolution_pointwise
        if other is None:
            result: Tensor = call(inputs, *operands, "relu" if self._relu else "none", [], "")
        else:
            result = call.binary(inputs, other, *operands, "add", 1.0, "relu" if self._relu else None, [], None)
        return result


def _rewritten(graph: fx.GraphModule, example: Tensor) -> fx.GraphModule:
    nodes = fx.Graph()
    nodes.output(nodes.graph_copy(graph.graph, {}))
    result = fx.GraphModule(graph, nodes)
    modules = dict(graph.named_modules())
    for node in list(nodes.nodes):
        if isinstance(_called(node, modules), nn.Identity):  # what is left of a folded normalisation
            node.replace_all_uses_with(node.args[0])
            nodes.erase_node(node)
    ShapeProp(result).propagate(example)
    told = ((node, node.meta.get("tensor_meta")) for node in nodes.nodes)
    shapes = {node: tensor.shape for node, tensor in told if isinstance(tensor, TensorMetadata)}
    for node in list(nodes.nodes):
        convolution = _called(node, modules)
        if type(convolution) is nn.Conv2d and convolution.padding_mode == "zeros":
            _fuse(result, node, convolution, shapes, modules)
    nodes.lint()
    result.delete_all_unused_submodules()
    result.recompile()
    return result.eval()


def _fuse(
    result: fx.GraphModule,
    node: fx.Node,
    convolution: nn.Conv2d,
    shapes: dict[fx.Node, torch.Size],
    modules: dict[str, nn.Module],
) -> None:
    """Replaces the convolution, and an addition and a ReLU that follow at once and alone read what is before them.

    At once: then nothing between them can change in place what the one call reads.
    """
    end, operands = node, [node.args[0]]
    following = _only_reader(end)
    if following and following.target in _ADDITIONS and len(following.args) == 2 and not following.kwargs:
        (other,) = [each for each in following.args if each is not node] or [None]
        if isinstance(other, fx.Node) and shapes.get(other) == shapes[node]:
            end, operands = following, [*operands, other]
            following = _only_reader(end)
    relu = following is not None and (following.target in _RELUS or isinstance(_called(following, modules), nn.ReLU))
    if relu and following:
        end = following
    name = f"fused_{str(node.target).replace('.', '_')}_{node.name}"
    result.add_submodule(name, FusedConvolution(convolution, shapes[node.all_input_nodes[0]], relu=relu))
    with result.graph.inserting_after(end):
        call = result.graph.call_module(name, tuple(operands))
    shapes[call] = shapes[end]
    end.replace_all_uses_with(call)
    while end is not node:
        before, end = end, end.prev
        result.graph.erase_node(before)
    result.graph.erase_node(node)


def _only_reader(node: fx.Node) -> fx.Node | None:
    """The node right behind this one, if it reads it and no other does."""
    return node.next if list(node.users) == [node.next] else None


def _called(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None
