"""A network's target layer and head: found in its graph or by what its layers do, and proven."""

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from shared.errors import ModelError
from worker.core.model import architectures
from worker.core.model.gradients import Tape
from worker.core.model.head import Head, identity_error
from worker.core.model.hooks import ActivationHook
from worker.core.model.layout import Layout
from worker.core.model.observed import AsMap, observe
from worker.core.model.structure import UnqualifiedError, find_structure

#: Relative, in float32: well above rounding (1e-6 measured), well below any mistake.
IDENTITY_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Found:
    """`hookable` is the network whose layer `layer` puts out what `head` turns into logits; `graph` puts out both.

    `head` and `error`, its identity error, are None where maps have no closed form; `reason` says why.
    """

    hookable: nn.Module
    layer: str
    graph: fx.GraphModule | None
    head: Head | None
    error: float | None
    reason: str


def find(name: str, module: nn.Module, noise: Tensor, lay: AsMap) -> Found:
    """`name` is torchvision's, or empty; `noise` one picture (1, K, H, W).

    Raises ModelError where maps do not add up to the logits, or no layer puts out a map.
    """
    try:
        structure = find_structure(module)
        if not name:
            _check_trace(structure.graph, module, noise)
        error: float | None = _prove(structure.graph, structure.layer, structure.head, noise, lay)
        return Found(structure.module, structure.layer, structure.graph, structure.head, error, "")
    except UnqualifiedError as unqualified:
        layer, head, reason = _observed(name, module, noise, str(unqualified), lay)
        error = None if head is None else _prove(module, layer, head, noise, lay)
        return Found(module, layer, None, head, error, reason)


def _observed(name: str, module: nn.Module, noise: Tensor, untraced: str, lay: AsMap) -> tuple[str, Head | None, str]:
    """Layer, head and reason where the graph does not show them. Raises ModelError where there is no map at all."""
    known = architectures.gradcam_layer(name, module)
    if known is None:
        try:
            found = observe(module, noise, lay)
        except UnqualifiedError as error:
            raise ModelError(f"no layer was found to make maps from: {error}") from error
        return found.layer, found.head, found.reason
    lay(known, Tape(module, [known], noise).activations[0])
    return known, None, untraced


def _check_trace(graph: nn.Module, module: nn.Module, noise: Tensor) -> None:
    """UnqualifiedError where a foreign network's graph computes something else than its code does."""
    with torch.inference_mode():
        try:
            traced, expected = graph(noise)[0], module(noise)
        except Exception as error:  # whatever the code behind the graph raises
            raise UnqualifiedError(f"its graph does not run ({type(error).__name__})") from error
    if traced.shape != expected.shape or not torch.allclose(traced, expected, rtol=1e-4, atol=1e-4):
        raise UnqualifiedError("its graph computes something else than its code")


def is_fixed(module: nn.Module, layer: str, layout: Layout, noise: Tensor) -> bool:
    """Whether its map is one of tokens, or it does not run on a larger picture."""
    height, width = noise.shape[2:]
    larger = noise.new_zeros(1, noise.shape[1], height + 64, round(width * (height + 64) / height))
    try:
        return layout.special(Tape(module, [layer], noise).activations[0]) is not None or not module(larger).numel()
    except Exception:  # noqa: BLE001 -- foreign code says in any way that it does not take this size
        return True


def _prove(module: nn.Module, layer: str, head: Head, noise: Tensor, lay: AsMap) -> float:
    """The error of `mean(map) + bias == logit`; raises ModelError when it is more than rounding.

    `module` is a graph that also puts out its activations, or has the layer itself.
    """
    with torch.inference_mode():
        if isinstance(module, fx.GraphModule):
            logits, activations = module.forward(noise)
        else:
            with ActivationHook(module.get_submodule(layer)) as hook:
                logits, activations = module(noise), hook.activations
        assert activations is not None  # noqa: S101 -- the layer was seen to run
        activations = lay(layer, activations)
    if not logits.isfinite().all():
        raise ModelError("the network's output is not finite with these weights")
    error = identity_error(head, activations.double(), logits)
    if error > IDENTITY_TOLERANCE:
        raise ModelError(
            f"the maps of {layer} do not add up to the logits (relative error {error:.1g}, allowed "
            f"{IDENTITY_TOLERANCE:g}), so they would not say where the network looked"
        )
    return error
