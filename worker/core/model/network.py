"""A network, ready to explain: weights in it, head found and proven, target layer known."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from shared.contract import METHODS, Options
from shared.errors import ModelError, UsageError
from worker.core.model import architectures, published
from worker.core.model.checkpoints import fingerprint, load_strictly, read_state
from worker.core.model.fold import folded
from worker.core.model.fused import fused
from worker.core.model.gradients import Tape
from worker.core.model.head import Head, identity_error
from worker.core.model.hooks import ActivationHook
from worker.core.model.labels import read_labels
from worker.core.model.structure import Structure, UnqualifiedError, find_structure
from worker.core.types import InputSpec

#: Relative, in float32: well above rounding (1e-6 measured), well below any mistake.
IDENTITY_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Network:
    """One architecture with its weights on one device. Holds nothing of any call, so threads may share it.

    `model` is `name@` and the fingerprint of weights and labels. `module` is the network as published;
    `fast` computes the same with batch normalisation folded, and its layer `target_layer` puts out what
    `head` turns into logits; `graph` is `fast`, traced, and on a CPU fused, with that output as its second. `head`
    and `graph` are None, and `reason` says why, where maps have no closed form. `identity_error` is what the check at
    load measured.
    """

    name: str
    model: str
    labels: tuple[str, ...]
    spec: InputSpec
    methods: tuple[str, ...]
    target_layer: str
    device: torch.device
    dtype: torch.dtype
    module: nn.Module
    fast: nn.Module
    graph: nn.Module | None = None
    head: Head | None = None
    identity_error: float | None = None
    reason: str = ""
    #: Why a CPU runs its convolutions one by one, where it could run them fused.
    unfused: str = ""

    @property
    def input_sizes(self) -> tuple[int, int]:
        """The smallest and the largest side that its input may have."""
        return architectures.input_sizes(self.name, self.spec.size)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """One forward: normalised pictures (N, 3, S, S) → logits (N, C) and activations (N, K, h, w).

        Both float32. A network of lower precision keeps its activations' digits: its logits are computed from
        them in float32, so that `mean(map) + bias == logit` holds there as well.
        """
        if self.graph is None:
            return self.hooked(inputs)
        with torch.inference_mode():
            # Not `graph(inputs)`, with which fx prints an account of its own of every error.
            return self._in_float32(*self.graph.forward(inputs))

    def hooked(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The reference for `forward`: a hook on the target layer catches what `graph` puts out by itself."""
        with torch.inference_mode(), ActivationHook(self.fast.get_submodule(self.target_layer)) as hook:
            logits = self.fast(inputs)
            if hook.activations is None:
                raise ModelError(f"layer {self.target_layer} did not run")
            return self._in_float32(logits, hook.activations)

    def _in_float32(self, logits: Tensor, activations: Tensor) -> tuple[Tensor, Tensor]:
        activations = activations.float()
        if self.head is not None and self.dtype != torch.float32:
            logits = self.head.logits(activations.double())
        return logits.float(), activations

    def classify(self, inputs: Tensor) -> Tensor:
        """The logits of `forward` alone."""
        return self.forward(inputs)[0]

    def tape(self, inputs: Tensor, layer: str) -> Tape:
        """One forward that can be differentiated back to `layer`."""
        return Tape(self.module, layer, inputs)

    def as_map(self, layer: str, output: Tensor) -> Tensor:
        """What `layer` put out, or its gradient, as (N, K, h, w) in float32."""
        return architectures.as_map(self.name, layer, output).float()

    def autograd_layer(self, options: Options) -> str | None:
        """The layer to differentiate back to, or None where these options have a closed form."""
        asked = options.target_layer or self.target_layer
        return None if self.head is not None and asked == self.target_layer else asked

    def check(self, options: Options) -> None:
        """Raise UsageError, with the reason and the alternatives, unless this network can do as asked."""
        if options.method not in self.methods:
            raise UsageError(
                f"{self.name} does not support the method {options.method}: {self.reason}. "
                f"Use {' or '.join(self.methods)}, or a network such as resnet18"
            )
        classes = len(self.labels)
        if options.top_k > classes:
            raise UsageError(f"top {options.top_k} of {classes} classes: choose 1 to {classes}")
        outside = [index for index in options.classes or () if index >= classes]
        if outside:
            raise UsageError(f"no class {outside[0]}: {self.name} has the classes 0 to {classes - 1}")
        layer = self.autograd_layer(options)
        if layer is not None:
            _check_layer(self.module, layer)
            if options.method != "gradcam":
                raise UsageError(
                    f"{options.method} looks at {self.target_layer}, the input of the pool; "
                    f"another layer ({layer}) takes the method gradcam"
                )
        smallest, largest = self.input_sizes
        size = options.input_size or self.spec.size
        if not smallest <= size <= largest:
            takes = f"{smallest} pixels only" if smallest == largest else f"{smallest} to {largest} pixels"
            raise UsageError(f"{self.name} takes pictures of {takes}, not {size}")


def load_network(
    name: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Network:
    """Build `name`, load its weights, find its head and prove it; in eval mode, without gradients, on `device`.

    `weights` is a `.pth` or `.safetensors` state dict, None the published ImageNet weights (packaged, cached
    or downloaded); `labels` a file of class names. Maps come from the input of the
    global average pool or, on architectures that have none, from the layer that suits Grad-CAM.

    Raises UsageError for an unknown name, and ModelError when the weights cannot be had, do not
    fit, or do not compute. Not for threads: torch.fx patches nn.Module while it traces.
    """
    architectures.check_name(name)
    path = weights or published.find_weights(name)
    module, state, classes = architectures.build(name, read_state(path))
    load_strictly(module, state, name)
    module.to(device).eval().requires_grad_(requires_grad=False)
    class_names = read_labels(labels, classes)
    model = f"{name}@{fingerprint(module, class_names)}"
    spec = published.input_spec(name, module, path)
    # One picture of noise proves the head or, without one, that the layer puts out a map.
    noise = torch.randn(1, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        structure = find_structure(folded(module).to(device))
        fast, layer, graph, head = structure.module, structure.layer, structure.graph, structure.head
        error, reason = _prove(structure, noise), ""
    except UnqualifiedError as unqualified:
        fast, layer = module, architectures.gradcam_layer(name, module)
        graph, head, error, reason = None, None, None, str(unqualified)
        architectures.as_map(name, layer, Tape(module, layer, noise).activations)
    for each in (module, fast, *([graph] if graph else [])):
        # Pictures lie in memory with their channels last, and convolutions on a CPU run faster so.
        each.to(dtype=dtype).to(memory_format=torch.channels_last)
    unfused = ""
    if graph is not None and (device.type, dtype) == ("cpu", torch.float32):
        try:
            graph = fused(graph, noise.contiguous(memory_format=torch.channels_last))
        except UnqualifiedError as unqualified:
            unfused = str(unqualified)
    return Network(
        name=name,
        model=model,
        labels=class_names,
        spec=spec,
        methods=METHODS if head else ("gradcam",),
        target_layer=layer,
        device=device,
        dtype=dtype,
        module=module,
        fast=fast,
        graph=graph,
        head=head,
        identity_error=error,
        reason=reason,
        unfused=unfused,
    )


def _prove(structure: Structure, noise: Tensor) -> float:
    """The error of `mean(map) + bias == logit`; raises ModelError when it is more than rounding."""
    with torch.inference_mode():
        logits, activations = structure.graph.forward(noise)
    if not logits.isfinite().all():
        raise ModelError("the network's output is not finite with these weights")
    error = identity_error(structure.head, activations.double(), logits)
    if error > IDENTITY_TOLERANCE:
        raise ModelError(
            f"the maps of {structure.layer} do not add up to the logits (relative error {error:.1g}, allowed "
            f"{IDENTITY_TOLERANCE:g}), so they would not say where the network looked"
        )
    return error


def _check_layer(module: nn.Module, layer: str) -> None:
    names = [name for name, _ in module.named_modules() if name]
    if layer not in names:
        close = get_close_matches(layer, names, n=3)
        hint = (
            f"did you mean {' or '.join(close)}?"
            if close
            else f"its outermost layers are {', '.join(name for name in names if '.' not in name)}"
        )
        raise UsageError(f"no layer {layer!r}: {hint}")
