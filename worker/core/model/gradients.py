"""Gradients by autograd, for networks without a closed form. Only what lies behind the layer is differentiated."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from shared.errors import UsageError
from worker.core.model.hooks import ActivationHook


def _leaf(output: Tensor) -> tuple[Tensor, Tensor]:
    # The layers before see no gradient, since the leaf is cut off from them; what flows on is a copy, since
    # a layer that works in place (VGG's ReLU) may not touch a leaf, and must not change what was caught.
    # Behind another layer that is asked for, the output is no leaf: the gradient goes on to that one.
    caught = output if output.requires_grad else output.detach().requires_grad_()
    return caught, caught.clone()


@contextmanager
def _recording() -> Iterator[None]:
    """Autograd works, whatever mode the caller is in."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


class Tape:
    """One forward with the layers' outputs recorded; then gradients of as many scores as wanted.

    `module`'s parameters must not require gradients; neither they nor their `.grad` are touched. `activations` are in
    the order of `layers`. Raises UsageError for a layer that did not run exactly once.
    """

    def __init__(self, module: nn.Module, layers: Sequence[str], inputs: Tensor) -> None:
        with _recording(), ExitStack() as stack:
            hooks = [stack.enter_context(ActivationHook(module.get_submodule(layer), _leaf)) for layer in layers]
            self.logits: Tensor = module(inputs).float()
        self._caught: list[Tensor] = []
        for layer, hook in zip(layers, hooks, strict=True):
            if hook.activations is None or hook.calls != 1:
                raise UsageError(f"layer {layer} ran {hook.calls} times in one forward; its map needs exactly one")
            self._caught.append(hook.activations)
        self.activations = [each.detach() for each in self._caught]

    def gradients(self, scores: Callable[[Tensor], Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """∂ score / ∂ activations of each layer, one class after the other, so that only one is in memory.

        `scores` maps logits (N, C) to (N, k); yields k times a gradient of the shape of each layer's activations.
        """
        with _recording():
            columns = scores(self.logits).sum(dim=0).unbind()  # images do not mix, so a sum keeps each one's gradient
        for column in columns:
            # Not around the yield, where whoever uses the gradient would find the mode switched.
            with _recording():
                found = torch.autograd.grad(column, self._caught, retain_graph=True)
            yield found
            del found
