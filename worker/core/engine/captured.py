"""The engine for a device that replays captured forwards: one micro-batch is staged while another one runs.

Only what every device has in common is here; what is CUDA's own is behind `Graphs`, in `worker/core/engine/cuda.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from torch import Tensor, bfloat16, dtype, float16, float32

from shared.contract import Options
from shared.errors import ModelError
from worker.core.engine.engine import Engine, Finish, is_fatal, is_out_of_memory, to_input
from worker.core.maps.explain import Outcome, answer, closed_form, read, to_send
from worker.core.model.network import Network
from worker.core.types import Explanation, FloatArray, UInt8Array

#: How far a replayed forward may be from the hooked one, relative to the largest value: well above what another
#: choice of kernels changes, well below any mistake.
TOLERANCE: dict[dtype, float] = {float32: 1e-4, float16: 1e-2, bfloat16: 5e-2}
#: Classes whose maps are compared: each looks at all channels and places of the activations.
_COMPARED = 5


class Graphs(Protocol):
    """What a device must offer. None of it waits for the device, except `capture` and the call that `fetch` gives."""

    def capture(self, size: int) -> None:
        """Prepare for micro-batches of up to `size` pictures of the network's own size."""

    def forward(self, pixels: Sequence[UInt8Array]) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures → the network's inputs, logits and activations (as `Network.forward`), until the next call."""

    def fetch(self, values: Tensor) -> Callable[[], FloatArray]:
        """Begin to bring a vector to the host."""

    def release(self) -> None:
        """Give all memory back; nothing is captured any more."""


def buckets(largest: int) -> list[int]:
    """The sizes that are captured, ascending: 1, 2, 4, … and `largest` itself, so that padding at most doubles."""
    return [1 << power for power in range((largest - 1).bit_length())] + [largest]


class CapturedEngine(Engine):
    """An `Engine` whose usual micro-batches replay a captured forward. The others run eagerly, as on a CPU.

    Usual are pictures of the network's own size that ask for closed forms, Score-CAM not among them. Whatever
    raises there is run again eagerly, which halves, and finds the guilty picture; a forward that cannot be captured,
    or does not compute what the hooked one does, is not replayed at all. `warn` is told of both, with the reason.
    """

    def __init__(self, network: Network, max_batch_size: int, graphs: Graphs, warn: Callable[[str], None]) -> None:
        super().__init__(network, max_batch_size)
        self.graphs = graphs
        self._warn = warn
        #: The sizes that were captured and checked.
        self.captured: list[int] = []
        self._why_eager = "not warmed up"

    @property
    def overlaps(self) -> bool:
        """Staging costs the device nothing, where it replays."""
        return bool(self.captured)

    @property
    def mode(self) -> str:
        """Which sizes are replayed, or why none is."""
        if self.captured:
            return f"graphs of {', '.join(map(str, self.captured))} pictures"
        return f"eager: {self._why_eager}"

    def warm_up(self) -> None:
        """Captures and checks, then as every engine does. Raises ModelError when not even an eager run is possible."""
        try:
            captured = self._capture()
            for size in captured:
                self._check(size)
        except Exception as error:  # noqa: BLE001 -- a driver can raise anything; if the device is lost, the next line raises
            self.graphs.release()
            self._why_eager = f"{type(error).__name__}: {error}".splitlines()[0]
            self._warn(f"{self.network.name} runs without captured graphs: {self._why_eager}")
        else:
            self.captured = captured
        super().warm_up()

    def begin(self, pixels: Sequence[UInt8Array], options: Sequence[Options]) -> Finish:
        """Stages the pictures and starts the device, and waits for neither, if they are usual ones."""
        eagerly = partial(super().run, pixels, options)
        if not self._is_usual(pixels, options):
            return eagerly
        try:
            finish = self._launch(pixels, options)
        except Exception as error:  # noqa: BLE001 -- raised again if it is fatal, otherwise the eager run answers
            self._give_up(error, len(pixels))
            return eagerly

        def finish_or_run_again() -> list[Outcome]:
            try:
                return finish()
            except Exception as error:  # noqa: BLE001 -- as above
                self._give_up(error, len(pixels))
                return eagerly()

        return finish_or_run_again

    def run(self, pixels: Sequence[UInt8Array], options: Sequence[Options]) -> list[Outcome]:
        """See `Engine.run`."""
        return self.begin(pixels, options)()

    def _is_usual(self, pixels: Sequence[UInt8Array], options: Sequence[Options]) -> bool:
        side = self.network.spec.size
        return (
            0 < len(pixels) == len(options)
            and len(pixels) <= max(self.captured, default=0)
            and all(picture.shape == (side, side, 3) for picture in pixels)
            and not any(self._is_unusual(wish) for wish in set(options))
        )

    def _is_unusual(self, wish: Options) -> bool:
        # Score-CAM waits for the device between its forwards, so nothing is won by replaying the first of them.
        return wish.method == "scorecam" or bool(self._refusal(wish) or self.network.autograd_layer(wish))

    def _launch(self, pixels: Sequence[UInt8Array], options: Sequence[Options]) -> Finish:
        inputs, logits, activations = self.graphs.forward(pixels)
        mapper = closed_form(self.network, inputs, logits, activations, self.max_batch_size)
        answers = answer(logits, mapper, options)
        fetched = self.graphs.fetch(to_send(answers))
        return lambda: read(answers, fetched())

    def _give_up(self, error: Exception, count: int) -> None:
        if is_fatal(error):
            raise error
        self._warn(f"a micro-batch of {count} runs again, eagerly: {type(error).__name__}: {error}")

    def _capture(self) -> list[int]:
        """The largest first, since the smaller ones then share its memory."""
        captured: list[int] = []
        for size in reversed(buckets(self.max_batch_size)):
            try:
                self.graphs.capture(size)
                captured.insert(0, size)
            except Exception as error:
                if captured or size == 1 or not is_out_of_memory(error):
                    raise
                self.max_batch_size = buckets(size)[-2]
                self._warn(f"no memory for micro-batches of {size}: {self.max_batch_size} from now on")
        return captured

    def _check(self, size: int) -> None:
        """Two micro-batches, the second staged while the first runs, against the hooked eager forward.

        Raises ModelError with the difference when it is more than `TOLERANCE`.
        """
        wishes = [Options(classes=tuple(range(min(_COMPARED, len(self.network.labels)))))] * size
        noise = [_noise(size, self.network.spec.size, seed) for seed in (0, 1)]
        begun = [self._launch(pixels, wishes) for pixels in noise]
        for pixels, finish in zip(noise, begun, strict=True):
            found = finish()
            inputs = to_input(pixels, self.network)
            logits, activations = self.network.hooked(inputs)
            answers = answer(logits, closed_form(self.network, inputs, logits, activations, size), wishes)
            error = difference(found, read(answers, to_send(answers).cpu().numpy()))
            allowed = TOLERANCE[self.network.dtype]
            if not error <= allowed:
                raise ModelError(
                    f"{size} pictures through a captured forward differ from the hooked one by {error:.1g} of the "
                    f"largest value (allowed {allowed:g})"
                )


def difference(found: Sequence[Outcome], expected: Sequence[Outcome]) -> float:
    """The largest difference of any map or logit, relative to the largest map value or logit expected.

    Infinite where one of the two is an error. Both name the same classes in the same order.
    """
    errors, scales = [], []
    for ours, theirs in zip(found, expected, strict=True):
        if not (isinstance(ours, Explanation) and isinstance(theirs, Explanation)):
            return float("inf")
        for own, other in zip(ours.classes, theirs.classes, strict=True):
            errors.append([np.abs(own.values - other.values).max(), abs(own.logit - other.logit)])
            scales.append([np.abs(other.values).max(), abs(other.logit)])
    scale = np.max(scales, axis=0)
    return float((np.max(errors, axis=0) / np.where(scale > 0, scale, 1)).max())


def _noise(count: int, side: int, seed: int) -> list[UInt8Array]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8))
