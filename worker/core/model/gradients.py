"""Gradients by autograd, for networks without a closed form. Only what lies behind the layer is differentiated."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from shared.errors import UsageError
from worker.core.model.hooks import ActivationHook


def _leaf(output: Tensor) -> tuple[Tensor, Tensor]:
    # The layers before see no gradient, since the leaf is cut off from them; what flows on is a copy, since
    # a layer that works in place (VGG's ReLU) may not touch a leaf, and must not change what was caught.
    leaf = output.detach().requires_grad_()
    return leaf, leaf.clone()


@contextmanager
def _recording() -> Iterator[None]:
    """Autograd works, whatever mode the caller is in."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


class Tape:
    """One forward with the layer's output as a leaf; then gradients of as many scores as wanted.

    `module`'s parameters must not require gradients; neither they nor their `.grad` are touched.
    """

    def __init__(self, module: nn.Module, layer: str, inputs: Tensor) -> None:
        with _recording(), ActivationHook(module.get_submodule(layer), _leaf) as hook:
            self.logits: Tensor = module(inputs).float()
        if hook.activations is None or hook.calls != 1:
            raise UsageError(f"layer {layer} ran {hook.calls} times in one forward; its map needs exactly one")
        self.activations = hook.activations.detach()
        self._leaf = hook.activations

    def gradients(self, scores: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """∂ score / ∂ activations, one class after the other, so that only one is in memory.

        `scores` maps logits (N, C) to (N, k); yields k gradients of the activations' shape (N, …).
        """
        with _recording():
            columns = scores(self.logits).sum(dim=0).unbind()  # images do not mix, so a sum keeps each one's gradient
        for column in columns:
            # Not around the yield, where whoever uses the gradient would find the mode switched.
            with _recording():
                [gradient] = torch.autograd.grad(column, self._leaf, retain_graph=True)
            yield gradient
            del gradient
