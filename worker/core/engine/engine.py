"""Micro-batches: pictures and options in, one explanation or error each out, in order."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from shared.contract import Options
from shared.errors import ImageError, ModelError, UsageError
from worker.core.engine.randomised import cascade
from worker.core.maps.explain import Outcome, explain, no_step
from worker.core.model.network import Network
from worker.core.types import Explanation, UInt8Array, randomised_in

#: What results say made them where the network ran as it is.
TORCH = f"torch {torch.__version__.partition('+')[0]}"
#: How far logits and activations may be from the hooked network's in the same precision, relative to the largest of
#: them: well above what another choice of kernels changes, well below any mistake.
TOLERANCE: dict[torch.dtype, float] = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
#: Waits for a micro-batch that has begun: one outcome per picture, in order.
Finish: TypeAlias = Callable[[], list[Outcome]]


class _Kind(NamedTuple):
    """Pictures that run together, and so whose memory is alike."""

    #: Of their squares: only pictures of one size stack.
    side: int
    #: That autograd goes back to: only what shares them shares a forward.
    layers: tuple[str, ...]
    #: Hundreds of masked forwards more for each picture.
    scorecam: bool
    #: A copy of the network for each picture.
    randomised: bool = False


class Engine:
    """Runs one network on its device, at most `max_batch_size` pictures at once.

    One image is one fate: an exception is traced to the guilty picture by halving the micro-batch, and that
    picture alone gets an `ImageError("inference", …)`. Running out of memory halves the micro-batch, and what fitted is
    remembered: in `max_batch_size`, or for larger inputs, other layers and Score-CAM beside it, each for its own kind.
    Options that are costly otherwise, such as very many classes, are not told apart from the usual ones. A picture
    that does not fit alone says nothing about the others, and what was halved on the way to it is taken back.
    For one thread at a time; the device would serialise several anyway.
    """

    def __init__(self, network: Network, max_batch_size: int) -> None:
        self.network = network
        self.max_batch_size = max_batch_size
        #: How many of the dearer kinds of pictures fit at once, where that is known to be fewer.
        self._fitting: dict[_Kind, int] = {}
        #: Called before each masked forward of a Score-CAM, which takes hundreds, and before each stage of a
        #: randomisation test. What it raises fails that picture.
        self.on_step: Callable[[], None] = no_step

    @property
    def overlaps(self) -> bool:
        """Whether a micro-batch gains by beginning while another one runs."""
        return False

    @property
    def name(self) -> str:
        """What the usual results say made them."""
        return TORCH

    @property
    def mode(self) -> str:
        """How micro-batches run here, for people."""
        return self.name

    def begin(self, pixels: Sequence[UInt8Array], options: Sequence[Options]) -> Finish:
        """`run` in two steps: what is returned has the outcomes. Here all of the work happens in that call."""
        return partial(self.run, pixels, options)

    def run(self, pixels: Sequence[UInt8Array], options: Sequence[Options]) -> list[Outcome]:
        """Explain pictures, uint8 RGB (S, S, 3) each, by their options: same length, same order.

        Raises ValueError when the two lengths differ, and what `is_fatal` names. Results agree to 1e-5
        whatever is in the batch.
        """
        outcomes: dict[int, Outcome] = {}
        refusals = {each: self._refusal(each) for each in set(options)}
        together: dict[_Kind, list[int]] = defaultdict(list)
        for index, (picture, wish) in enumerate(zip(pixels, options, strict=True)):
            if refusal := refusals[wish]:
                outcomes[index] = refusal
            else:
                layers, is_random = self.network.autograd_layers(wish), bool(randomised_in(wish))
                kind = _Kind(picture.shape[0], layers, wish.method == "scorecam", is_random)
                together[kind].append(index)
        for kind, indices in together.items():
            outcomes |= self._run_alike(kind, indices, pixels, options)
        return [outcomes[index] for index in range(len(pixels))]

    def warm_up(self) -> None:
        """One picture, then a full micro-batch, so that no image waits for the device to set itself up.

        Raises ModelError when the network cannot explain a plain picture.
        """
        self._try((1, self.max_batch_size))

    def _try(self, counts: Sequence[int]) -> None:
        """So many grey pictures at once."""
        spec = self.network.spec
        grey = np.full((*spec.sides(), spec.channels), 127, np.uint8)
        wish = Options(top_k=1, method="cam" if self.network.head else "gradcam")
        for count in counts:
            for outcome in self.run([grey] * count, [wish] * count):
                if isinstance(outcome, ImageError):
                    network, precision = self.network, str(self.network.dtype).removeprefix("torch.")
                    remedy = "" if precision == "float32" else "; float32 may"
                    raise ModelError(
                        f"{network.name} does not run on {network.device} in {precision}{remedy}: {outcome}"
                    )

    def _refusal(self, options: Options) -> ImageError | None:
        try:
            self.network.check(options)
        except UsageError as error:
            return ImageError("inference", str(error))
        return None

    def _most(self, kind: _Kind) -> int:
        """How many pictures of a kind run at once."""
        return 1 if kind.randomised else min(self.max_batch_size, self._fitting.get(kind, self.max_batch_size))

    def _remember(self, kind: _Kind, most: int) -> None:
        usual = kind.layers == self.network.autograd_layers(Options()) and not (kind.scorecam or kind.randomised)
        # What does not fit of usual pictures, or of smaller ones, fits of none.
        if usual and kind.side <= self.network.spec.size:
            self.max_batch_size = most
        else:
            self._fitting[kind] = most

    def _run_alike(
        self, kind: _Kind, indices: list[int], pixels: Sequence[UInt8Array], options: Sequence[Options]
    ) -> dict[int, Outcome]:
        """Pictures of one kind, in micro-batches that are halved until they run."""
        outcomes: dict[int, Outcome] = {}
        waiting = [indices]
        before = self._most(kind)
        while waiting:
            batch = waiting.pop()
            most = self._most(kind)
            size = min(len(batch), most)
            batch, rest = batch[:size], batch[size:]
            if rest:
                waiting.append(rest)
            wishes = [options[i] for i in batch]
            try:
                inputs = to_input([pixels[i] for i in batch], self.network)
                if methods := randomised_in(wishes[0]):
                    explained = [cascade(self.network, inputs, methods, wishes[0], self.on_step)]
                else:
                    explained = explain(self.network, inputs, wishes, most, self.on_step)
                outcomes |= zip(batch, signed(explained, TORCH), strict=True)
            except Exception as error:
                if is_fatal(error):
                    raise
                # Whatever else it is belongs to one picture, found by halving.
                lacks_memory = is_out_of_memory(error)
                if size > 1:
                    half = size // 2
                    if lacks_memory:
                        self._remember(kind, half)
                    waiting += [batch[half:], batch[:half]]
                elif lacks_memory and most > 1 and wishes[0].method == "scorecam":
                    # One picture, but as many of its masked ones at once as a micro-batch holds.
                    self._remember(kind, most // 2)
                    waiting.append(batch)
                else:
                    reason = f"{type(error).__name__}: {error}"
                    if lacks_memory:
                        self._remember(kind, before)
                        reason = (
                            f"this picture alone, at {kind.side} pixels, needs more memory than {self.network.device} "
                            f"has; a smaller input_size or fewer classes need less ({reason})"
                        )
                    outcomes[batch[0]] = ImageError("inference", reason)
        return outcomes


def signed(outcomes: Sequence[Outcome], engine: str) -> list[Outcome]:
    """The same, with what made them."""
    return [replace(each, engine=engine) if isinstance(each, Explanation) else each for each in outcomes]


def to_input(pixels: Sequence[UInt8Array], network: Network) -> Tensor:
    """uint8 RGB (S, S, 3) each → the network's input (N, 3, S, S), normalised, on its device, channels_last.

    The bytes travel to the device, and the permutation costs nothing: a channels_last tensor lies in memory
    as pictures do.
    """
    return Normalise(network)(torch.from_numpy(np.stack(pixels)).to(network.device))


class Normalise:
    """Bytes on the network's device, uint8 (N, S, S, 3) → its input (N, 3, S, S), without a transfer of its own."""

    def __init__(self, network: Network) -> None:
        both = (network.spec.mean, network.spec.std)
        self._mean, self._std = (torch.tensor(each, device=network.device).view(-1, 1, 1) * 255 for each in both)
        self._dtype = network.dtype

    def __call__(self, stacked: Tensor) -> Tensor:
        """Channels_last, as pictures lie in memory."""
        return ((stacked.permute(0, 3, 1, 2) - self._mean) / self._std).to(self._dtype)


#: In the words of torch's allocator and of ONNX Runtime's.
_NO_MEMORY = ("can't allocate memory", "Failed to allocate memory")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a smaller micro-batch may mend it. On a CPU both raise plain errors of their allocators."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in said for text in _NO_MEMORY)


def is_fatal(error: BaseException) -> bool:
    """Whether the device is lost to this process: a CUDA error other than a lack of memory repeats for ever."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or (isinstance(error, RuntimeError) and "CUDA error" in str(error))
