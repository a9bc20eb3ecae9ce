"""Batch normalisation folded into the convolution before it: the same function in fewer passes over memory.

Measured on two cores at batch 16, channels_last: ResNet18 1.3 times, MobileNetV2 2 times as fast.
"""

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from worker.core.model.structure import trace


def folded(module: nn.Module) -> nn.Module:
    """A copy of `module`, which is in eval mode, with its convolution-normalisation pairs folded.

    The module tree keeps its names (the normalisation becomes an identity), so hooks find their layers.
    What was not folded shares its parameters with `module`. Raises UnqualifiedError when the module cannot
    be traced.
    """
    tracer, graph = trace(module)
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    result = copy.deepcopy(module, shared)
    modules = dict(module.named_modules())
    for normalised in graph.nodes:
        source = normalised.args[0] if normalised.args else None
        if not (isinstance(source, fx.Node) and source.op == normalised.op == "call_module"):
            continue
        names = str(source.target), str(normalised.target)
        convolution, normalisation = (modules[name] for name in names)
        if not (isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d)):
            continue
        # Somebody else reads the raw convolution, or one of the two runs at several places.
        if len(source.users) > 1 or any(len(tracer.outputs[name]) > 1 for name in names):
            continue
        # Products of float32 weights and scales are rounded once this way, not twice.
        exact = copy.deepcopy(convolution).double(), copy.deepcopy(normalisation).double()
        result.set_submodule(names[0], fuse_conv_bn_eval(*exact).to(convolution.weight.dtype))
        result.set_submodule(names[1], nn.Identity())
    return result.eval()
