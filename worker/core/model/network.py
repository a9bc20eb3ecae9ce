"""A network, ready to explain: weights in it, head found and proven, target layer known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from shared.contract import LAYER_METHODS, METHODS, InputTable, ModelFile, Options, Outputs, layers_in
from shared.errors import ModelError, UsageError
from worker.core.checkpoint.checkpoint import Checkpoint, open_checkpoint
from worker.core.checkpoint.files import read_index
from worker.core.checkpoint.index import Index
from worker.core.checkpoint.misfit import misfit
from worker.core.model import architectures, published
from worker.core.model.assemble import assemble, two_sided
from worker.core.model.checkpoints import Assembled, channels_of, fingerprint, restored
from worker.core.model.gradients import Tape
from worker.core.model.head import Head
from worker.core.model.hooks import ActivationHook
from worker.core.model.labels import USUAL, find_labels
from worker.core.model.layout import Layout, layout_of
from worker.core.model.observed import AsMap, read_logits
from worker.core.model.proof import find, is_fixed
from worker.core.sources.architecture import Architecture
from worker.core.sources.timm import Timm
from worker.core.types import InputSpec, truth_in

#: Those that need no more than a gradient, which autograd has of every network.
AUTOGRAD_METHODS = ("gradcam", "hirescam", "layercam", "finercam")


@dataclass(frozen=True, eq=False)
class Network:
    """One architecture with its weights on one device. Holds nothing of any call, so threads may share it.

    `model` is `name@` and the fingerprint of weights and labels. `module` is the network as published; `hookable` is
    the same, if need be with a layer put in, and its layer `target_layer` puts out what `head` turns into logits;
    `graph` is the same, traced, with that output as its second. All three share their parameters. `head` and `graph`
    are None, and `reason` says why, where maps have no closed form. `identity_error` is what the check at load
    measured.
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
    hookable: nn.Module
    graph: nn.Module | None = None
    head: Head | None = None
    identity_error: float | None = None
    reason: str = ""
    #: What was made of the checkpoint: tensors that were not needed, names that changed, sentences for people.
    ignored: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    #: Keys of a model file that nobody said, for which what is usual was taken.
    assumed: tuple[str, ...] = ()
    #: How probabilities are made of its logits.
    outputs: Outputs = "softmax"
    #: Where the labels are from, for people.
    labels_from: str = ""
    architecture: str = ""
    #: How outputs lie over the picture, where the architecture's family does not say it.
    layout: Layout | None = None
    #: Whether its weights allow no other size of input than their own.
    fixed_size: bool = False

    @property
    def input_sizes(self) -> tuple[int, int]:
        """The smallest and the largest height that its input may have."""
        if self.fixed_size:
            return self.spec.size, self.spec.size
        return architectures.input_sizes(self.architecture or self.name, self.spec.size)

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
        with torch.inference_mode(), ActivationHook(self.hookable.get_submodule(self.target_layer)) as hook:
            logits = self.hookable(inputs)
            if hook.activations is None:
                raise ModelError(f"layer {self.target_layer} did not run")
            return self._in_float32(logits, hook.activations)

    def _in_float32(self, logits: Tensor, activations: Tensor) -> tuple[Tensor, Tensor]:
        activations = self.as_map(self.target_layer, activations)
        if self.head is not None and self.dtype != torch.float32:
            logits = self.head.logits(activations.double())
        return logits.float(), activations

    def classify(self, inputs: Tensor) -> Tensor:
        """The logits of `forward` alone."""
        if self.head is not None:
            return self.forward(inputs)[0]
        with torch.inference_mode():
            logits: Tensor = self.module(inputs)
            return logits.float()

    def tape(self, inputs: Tensor, layers: Sequence[str]) -> Tape:
        """One forward that can be differentiated back to `layers`."""
        return Tape(self.module, layers, inputs)

    def as_map(self, layer: str, output: Tensor) -> Tensor:
        """What `layer` put out, or its gradient, as (N, K, h, w) in float32."""
        if self.layout is not None:
            return self.layout.as_map(layer, output).float()
        return architectures.as_map(self.architecture or self.name, layer, output, self.spec.sides()).float()

    def autograd_layers(self, options: Options) -> tuple[str, ...]:
        """The layers to differentiate back to; none where these options have a closed form or ask for no map."""
        if options.classes == ():
            return ()
        asked = layers_in(options.target_layer) or (self.target_layer,)
        return () if self.head is not None and asked == (self.target_layer,) else asked

    def check(self, options: Options) -> None:
        """Raise UsageError, with the reason and the alternatives, unless this network can do as asked."""
        if options.method not in self.methods:
            raise UsageError(
                f"{self.name} does not support the method {options.method}: {self.reason}. "
                f"Use {', '.join(self.methods[:-1])} or {self.methods[-1]}, or a network such as resnet18"
            )
        classes = len(self.labels)
        asked = (*(options.classes or ()), *(truth_in(options) or ()))
        outside = [index for index in asked if not 0 <= index < classes]
        if outside:
            raise UsageError(f"no class {outside[0]}: {self.name} has the classes 0 to {classes - 1}")
        layers = self.autograd_layers(options)
        for layer in layers:
            _check_layer(self.module, layer)
        if layers and layers != (self.target_layer,) and options.method not in LAYER_METHODS:
            raise UsageError(
                f"the method {options.method} maps the layer {self.target_layer} only; for {options.target_layer} use "
                f"the method {' or '.join(LAYER_METHODS)}"
            )
        if len(layers) > 1 and options.method != "layercam":
            raise UsageError(
                f"the method {options.method} maps one layer; for several ({options.target_layer}) use the "
                "method layercam"
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
    read: Callable[[Path], Index] = read_index,
    given: ModelFile | None = None,
) -> Network:
    """Build `name`, load its weights, find its head and prove it; in eval mode, without gradients, on `device`.

    `weights` is a checkpoint, as `FILE#KEY` what lies under a key of it, None the published ImageNet weights (packaged,
    cached or downloaded); `labels` a file of class names; `read` finds out what is in a checkpoint. Maps
    come from the input of the global average pool or, on architectures that have none, from the layer that suits
    Grad-CAM. `given` is what a model file says beyond these: name, outputs, target layer, preprocessing.

    Raises UsageError for an unknown name, and ModelError when the weights cannot be had, do not
    fit, or do not compute. Not for threads: torch.fx patches nn.Module while it traces.
    """
    given = given or ModelFile(architecture=name)
    source = published.architecture(name, weights)
    path = weights or source.published()
    checkpoint = open_checkpoint(path, read) if path else None
    assembled = _assembled(source, checkpoint, given.activation)
    module = assembled.module.to(device).eval().requires_grad_(requires_grad=False)
    mean, std = assembled.normalised or (None, None)
    told = msgspec.structs.replace(given.input, mean=given.input.mean or mean, std=given.input.std or std)
    spec = published.specified(source.spec(module, checkpoint.path if checkpoint else None), told, assembled.channels)
    # One picture of noise proves the head or, without one, that the layer puts out a map.
    noise = torch.randn(1, spec.channels, *spec.sides(), generator=torch.Generator().manual_seed(0)).to(device)
    known = isinstance(source, published.Torchvision)
    classes = assembled.classes if known else read_logits(module, noise)
    facts = {**(checkpoint.index.facts if checkpoint else {}), **source.facts}
    class_names, labels_from = find_labels(labels, given.labels, facts, classes)
    if classes < len(class_names):
        two_sided(module, noise)
    layout = None if known else layout_of(module, noise)
    lay: AsMap = layout.as_map if layout else partial(architectures.as_map, name, picture=spec.sides())
    found = find(name if known else "", module, noise, lay)
    hookable, layer, graph, head = found.hookable, found.layer, found.graph, found.head
    error, reason = found.error, found.reason
    if given.target_layer is not None and given.target_layer != layer:
        _check_layer(module, given.target_layer)
        reason = f"its model file asks for {given.target_layer}, and closed forms are those of {layer}"
        hookable, layer, graph, head, error = module, given.target_layer, None, None, None
        lay(layer, Tape(module, [layer], noise).activations[0])
    for each in (module, hookable, *([graph] if graph else [])):
        # Pictures lie in memory with their channels last, and convolutions on a CPU run faster so.
        each.to(dtype=dtype).to(memory_format=torch.channels_last)
    outputs = given.outputs or source.outputs or ("sigmoid" if classes == 1 else "softmax")
    known_input = source.knows_input(weights)
    trained_here = weights is not None or path is None  # else by those who publish them, as they say
    assumed = () if known_input else _assumed(told, spec)
    if trained_here and not (known and known_input):
        unsaid = given.outputs is None and source.outputs is None and classes > 1
        assumed = (*["outputs"] * unsaid, *["labels"] * (labels_from in USUAL), *assumed)
    served = given.name or name
    return Network(
        name=served,
        model=f"{served}@{fingerprint(module, class_names, f'{name} {outputs} {layer} {spec} {source.described}')}",
        labels=class_names,
        spec=spec,
        methods=AUTOGRAD_METHODS if head is None else METHODS,
        target_layer=layer,
        device=device,
        dtype=dtype,
        module=module,
        hookable=hookable,
        graph=graph,
        head=head,
        identity_error=error,
        reason=reason,
        ignored=assembled.ignored,
        renamed=assembled.renamed,
        notes=tuple(dict.fromkeys((*assembled.notes, *source.notes))),
        outputs=outputs,
        assumed=assumed,
        labels_from=labels_from,
        architecture=name,
        layout=layout,
        fixed_size=layout is not None and is_fixed(module, layer, layout, noise),
    )


def _assumed(given: InputTable, spec: InputSpec) -> tuple[str, ...]:
    """The keys of [input] that are not given and matter for this preprocessing."""
    names = ["size", "mean", "std", "resize", "interpolation", "exif", "antialias"]
    names += ["resize_size"] * spec.resize.endswith("crop") + ["fill"] * spec.resize.startswith("letterbox")
    return tuple(f"input.{name}" for name in names if getattr(given, name) is None)


def _assembled(source: Architecture, checkpoint: Checkpoint | None, activation: str | None) -> Assembled:
    """The network with its weights. Raises ModelError where they do not fit."""
    if isinstance(source, published.Torchvision):
        assert checkpoint is not None  # noqa: S101 -- there are published weights
        return assemble(source.name, checkpoint, activation)
    if checkpoint is None:
        module = source.build({})
        return Assembled(module, classes=0, channels=channels_of(module))
    found = restored(source, checkpoint)
    if isinstance(found, Assembled):
        return found
    if isinstance(source, Timm):  # its own head may have been replaced
        return assemble(source.name, checkpoint, activation, source)
    raise ModelError(misfit(source.name, checkpoint, checkpoint.shapes, found))


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
