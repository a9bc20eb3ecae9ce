"""Where a network's global average pool is, read from its traced graph, and the layer that feeds it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from worker.core.model.head import Head, LinearHead, PooledConvHead

#: What the layer is called that we put in where the pool's input is no module's output.
POOL_INPUT = "pool_input"

# Between pool and linear layer these only reshape, or do nothing in eval mode.
_PASSIVE_MODULES = (nn.Dropout, nn.Flatten, nn.Identity)
_PASSIVE_CALLS = (torch.flatten, torch.squeeze, F.dropout)
_PASSIVE_METHODS = ("flatten", "squeeze", "view", "reshape", "contiguous")


class UnqualifiedError(Exception):
    """The network does not end in global average pooling and one linear layer; the text says what stands there."""


class Tracer(fx.Tracer):
    """Also notes which module put out which node: `outputs`, outermost module last, and how often it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, list[fx.Node | None]] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Subclasses of these stay whole as well, to be named as what stands in the way."""
        return isinstance(m, nn.Conv2d | nn.LayerNorm) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As fx does, and take the note."""
        result = super().call_module(m, forward, args, kwargs)
        node = result.node if isinstance(result, fx.Proxy) else None
        self.outputs.setdefault(self.path_of_module(m), []).append(node)
        return result


@dataclass(frozen=True, eq=False)
class Structure:
    """A qualified network: `module` runs it, the output of its layer `layer` is the input of the pool.

    `graph` is the same network, sharing its parameters, and puts out both: logits and activations.
    """

    module: nn.Module
    layer: str
    graph: fx.GraphModule
    head: Head


def trace(module: nn.Module) -> tuple[Tracer, fx.Graph]:
    """The graph of a module in eval mode. Raises UnqualifiedError when its code cannot be traced."""
    tracer = Tracer()
    try:
        return tracer, tracer.trace(module)
    except Exception as error:  # a foreign forward can raise anything under tracing
        raise UnqualifiedError(f"its forward cannot be traced ({type(error).__name__})") from error


def find_structure(module: nn.Module) -> Structure:
    """The pool's input and the head of `module`, found by walking back from its output.

    Qualified are `A → pool → linear` and SqueezeNet's `A → 1x1 convolution → ReLU → pool`; dropout and
    reshaping may stand between. Raises UnqualifiedError otherwise.
    """
    tracer, graph = trace(module)
    modules = dict(module.named_modules())
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    last = _skip_passive(output.args[0], modules)
    called = _module(last, modules)
    if isinstance(called, nn.Linear):
        pool = _skip_passive(last.args[0], modules)
        if not _is_global_pool(pool, modules):
            raise UnqualifiedError(
                f"{_describe(pool, modules)} stands before its last linear layer, where the global average pool must be"
            )
        head: Head = LinearHead(*weights_of(called))
        caught = pool.args[0]
    elif _is_global_pool(last, modules):
        convolution, caught = _pooled_convolution(last, modules)
        head = PooledConvHead(*weights_of(convolution))
    else:
        raise UnqualifiedError(f"it ends in {_describe(last, modules)}, not in one linear layer")
    if not isinstance(caught, fx.Node):
        raise UnqualifiedError("the input of its global average pool is not one tensor")
    both = _with_second_output(module, graph, caught)
    layer = _layer_of(caught, tracer)
    if layer is None:
        return Structure(_with_probe(module, graph, caught), POOL_INPUT, both, head)
    return Structure(module, layer, both, head)


def _layer_of(node: fx.Node, tracer: Tracer) -> str | None:
    """The outermost module that ran once and put out this node: `layer4` rather than its last ReLU."""
    owners = [path for path, nodes in tracer.outputs.items() if path and nodes == [node]]
    return min(owners, key=lambda path: path.count("."), default=None)


def _with_second_output(module: nn.Module, graph: fx.Graph, caught: fx.Node) -> fx.GraphModule:
    """The same network as a graph, sharing its parameters, that returns its logits and what `caught` puts out."""
    copied: dict[fx.Node, fx.Node] = {}
    both = fx.Graph()
    logits = both.graph_copy(graph, copied)
    both.output((logits, copied[caught]))
    return fx.GraphModule(module, both).eval()


def _with_probe(module: nn.Module, graph: fx.Graph, caught: fx.Node) -> nn.Module:
    """The same network as a graph, sharing its parameters, with an identity layer after `caught`.

    DenseNet pools the output of a function, and EfficientNet-Lite that of an activation which it runs
    twice; a hook needs a module whose one output it is.
    """
    probed = fx.GraphModule(module, graph)
    probed.add_submodule(POOL_INPUT, nn.Identity())
    users = list(caught.users)
    with graph.inserting_after(caught):
        probe = graph.call_module(POOL_INPUT, (caught,))
    for user in users:
        user.replace_input_with(caught, probe)
    probed.recompile()
    return probed.eval()


def _pooled_convolution(pool: fx.Node, modules: dict[str, nn.Module]) -> tuple[nn.Conv2d, Any]:
    relu = pool.args[0]
    if not isinstance(relu, fx.Node) or not isinstance(_module(relu, modules), nn.ReLU):
        raise UnqualifiedError("its last pool is not fed by a ReLU")
    node: Any = relu.args[0]
    convolution = _module(node, modules)
    if not isinstance(convolution, nn.Conv2d) or (*convolution.kernel_size, convolution.groups) != (1, 1, 1):
        raise UnqualifiedError(f"{_describe(node, modules)} stands where its 1x1 convolution must be")
    return convolution, _skip_passive(node.args[0], modules)


def _is_global_pool(node: Any, modules: dict[str, nn.Module]) -> bool:
    if not isinstance(node, fx.Node):
        return False
    called = _module(node, modules)
    if isinstance(called, nn.AdaptiveAvgPool2d):
        return called.output_size in (1, (1, 1))
    if isinstance(called, nn.AvgPool2d):
        return True  # the identity check tells whether its window covers the whole map
    arguments: list[Any] = [*node.args[1:], *node.kwargs.values()]
    if node.op == "call_function" and node.target is F.adaptive_avg_pool2d:
        return arguments[0] in (1, (1, 1), [1, 1])
    if node.target in ("mean", torch.mean):
        return sorted(dimension % 4 for dimension in arguments[0]) == [2, 3]
    return node.op == "call_function" and node.target is F.avg_pool2d


def _skip_passive(node: Any, modules: dict[str, nn.Module]) -> Any:
    while isinstance(node, fx.Node) and (
        isinstance(_module(node, modules), _PASSIVE_MODULES)
        or (node.op == "call_function" and node.target in _PASSIVE_CALLS)
        or (node.op == "call_method" and node.target in _PASSIVE_METHODS)
    ):
        node = node.args[0]
    return node


def _module(node: Any, modules: dict[str, nn.Module]) -> nn.Module | None:
    is_module = isinstance(node, fx.Node) and node.op == "call_module"
    return modules.get(str(node.target)) if is_module else None


def _describe(node: Any, modules: dict[str, nn.Module]) -> str:
    called = _module(node, modules)
    if called is not None:
        return f"{node.target} ({type(called).__name__})"
    target = getattr(node, "target", node)
    return f"the call {getattr(target, '__name__', target)}"


def weights_of(layer: nn.Linear | nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight (C, K) and bias (C,) of a linear layer or 1x1 convolution, in float64."""
    weight = layer.weight.detach().flatten(1).double()  # a 1x1 convolution's weight is (C, K, 1, 1)
    return weight, weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double()
