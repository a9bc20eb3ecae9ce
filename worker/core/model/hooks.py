"""Hooks on a layer: what it puts out is caught, and the hook is gone afterwards whatever happened."""

from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn


class ActivationHook:
    """Catches the output of `layer` from its creation until `remove()` or the end of the `with` block.

    `activations` is what the latest forward put out, (N, C, h, w) on a convolutional layer, or None before
    one; `calls` counts the forwards of the layer. `replace`, when given, turns the output into what is
    caught and what flows on.

    Re-entrant: only forwards of the creating thread are caught, so several threads may hook one layer.
    """

    def __init__(self, layer: nn.Module, replace: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None) -> None:
        self.activations: Tensor | None = None
        self.calls = 0
        self._replace = replace
        self._thread = get_ident()
        self._handle = layer.register_forward_hook(self._catch)

    def _catch(self, _layer: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if get_ident() != self._thread or not isinstance(output, Tensor):
            return None
        self.calls += 1
        if self._replace is None:
            self.activations = output
            return None
        self.activations, flows_on = self._replace(output)
        return flows_on

    def remove(self) -> None:
        """Take the hook off its layer. A second call does nothing."""
        self._handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
