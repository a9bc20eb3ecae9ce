"""The engine whose usual micro-batches run faster than the hooked network, after a proof that the answers are the same.

Only what every device has in common is here; how one runs the forward is behind `Runner`: an inference library on a CPU
(`library.py`), captured graphs on CUDA (`cuda.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Protocol

import numpy as np
from torch import Tensor

from shared.contract import Options
from shared.errors import ModelError
from worker.core.engine.engine import Engine, Finish, is_fatal, is_out_of_memory, signed, to_input
from worker.core.maps.explain import Outcome, answer, closed_form, read, to_send
from worker.core.model.network import Network
from worker.core.types import FloatArray, InputSpec, UInt8Array, randomised_in

#: Of one micro-batch in a thousand, one picture runs through the hooked network as well: in a busy worker one forward
#: more for 16,000 pictures.
SAMPLE_EVERY = 1000


class Runner(Protocol):
    """A fast forward. None of it waits for the device, except `prepare` and the call that `fetch` gives."""

    #: What results say made them, such as `onnxruntime 1.32.0`.
    name: str
    #: Whether a second micro-batch may be staged while one runs.
    overlaps: bool
    #: Whether the worker must not start without it, because the network as it is would answer otherwise.
    required: bool
    #: How far its logits and activations may be from the hooked network's, relative to the largest of them.
    tolerance: float
    #: Pictures that it is proven on; none: noise.
    examples: Sequence[UInt8Array]

    def sizes(self, largest: int) -> list[int]:
        """The sizes of micro-batches to prepare and to prove, ascending; the last is `largest`."""

    def prepare(self, size: int) -> None:
        """Be ready for micro-batches of up to `size` pictures of the network's own size. The largest comes first."""

    def forward(self, pixels: Sequence[UInt8Array]) -> tuple[Tensor, Tensor]:
        """Pictures → the network's logits and activations (as `Network.forward`), until the next call."""

    def fetch(self, values: Tensor) -> Callable[[], FloatArray]:
        """Begin to bring a vector to the host."""

    def release(self) -> None:
        """Give all memory back; nothing is prepared any more."""


class DifferenceError(ModelError):
    """A runner's answer is not the hooked network's."""


@dataclass(frozen=True)
class _Reference:
    """Pictures of noise, and what the hooked network says of them."""

    pixels: list[UInt8Array]
    logits: FloatArray
    activations: FloatArray


class ProvenEngine(Engine):
    """An `Engine` whose usual micro-batches go through a `Runner`. The others run eagerly: the torch network itself.

    Usual are pictures of the network's own size that ask for closed forms, but not for Score-CAM or a randomisation
    test. Whatever raises there is run again eagerly, which halves, and finds the guilty picture. A runner that cannot
    be prepared, or whose answers are not the hooked network's at the start or later in a sample, is not used any more.
    `warn` is called for all this, with the reason.
    """

    def __init__(self, network: Network, max_batch_size: int, runner: Runner, warn: Callable[[str], None]) -> None:
        super().__init__(network, max_batch_size)
        self.runner = runner
        self._warn = warn
        #: The sizes that were prepared and proven.
        self.proven: list[int] = []
        self._why_eager = "not warmed up"
        self._begun = 0

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return self.runner.name if self.proven else super().name

    @property
    def overlaps(self) -> bool:
        """Where it does not run eagerly, as the runner."""
        return bool(self.proven) and self.runner.overlaps

    @property
    def mode(self) -> str:
        """The runner, or why it is not used."""
        return self.name if self.proven else f"{self.name} instead of {self.runner.name}: {self._why_eager}"

    def warm_up(self) -> None:
        """Prepares and proves, then as every engine does. Raises ModelError when not even an eager run is possible."""
        try:
            sizes = self._prepare()
            for seed in range(2 if self.runner.overlaps else 1):
                self._prove(sizes, seed)
        except Exception as error:  # a driver can raise anything; if the device is lost, the eager run below raises
            if self.runner.required:
                raise ModelError(
                    f"{self.network.name} cannot run as {self.runner.name}, which was asked for: "
                    f"{type(error).__name__}: {error}"
                ) from error
            self._abandon(error)
        else:
            self.proven = sizes
        # The proof of a library has run a full micro-batch already; on a device the maps' kernels are not loaded yet.
        self._try((1,) if self.proven and not self.runner.overlaps else (1, self.max_batch_size))

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
        spec = self.network.spec
        return (
            0 < len(pixels) == len(options)
            and len(pixels) <= max(self.proven, default=0)
            and all(picture.shape == (*spec.sides(), spec.channels) for picture in pixels)
            and not any(self._is_unusual(wish) for wish in set(options))
        )

    def _is_unusual(self, wish: Options) -> bool:
        # Score-CAM's masked pictures are not bytes, and it waits for the device between its forwards.
        return (
            wish.method == "scorecam"
            or bool(randomised_in(wish))
            or bool(self._refusal(wish) or self.network.autograd_layers(wish))
        )

    def _launch(self, pixels: Sequence[UInt8Array], options: Sequence[Options]) -> Finish:
        logits, activations = self.runner.forward(pixels)
        self._begun += 1
        if self._begun % SAMPLE_EVERY == 0:
            sample = self._hooked(pixels[:1])
            self._compare(sample, logits[:1].cpu().numpy(), activations[:1].cpu().numpy())
        mapper = closed_form(self.network, None, logits, activations, self.max_batch_size)
        answers = answer(logits, mapper, options, self.network.outputs)
        fetched, name = self.runner.fetch(to_send(answers)), self.name
        return lambda: signed(read(answers, fetched()), name)

    def _give_up(self, error: Exception, count: int) -> None:
        if is_fatal(error):
            raise error
        self._warn(f"a micro-batch of {count} runs again, eagerly: {type(error).__name__}: {error}")
        # What was asked for stays: its answers may be further away for a picture that is unlike the others.
        if isinstance(error, DifferenceError) and not self.runner.required:
            self._abandon(error)

    def _abandon(self, error: Exception) -> None:
        """From now on everything runs eagerly."""
        self.proven = []
        self.runner.release()
        self._why_eager = f"{type(error).__name__}: {error}".splitlines()[0]
        self._warn(f"{self.network.name} runs on {self.mode}")

    def _prepare(self) -> list[int]:
        """The largest first, since the smaller ones then share its memory."""
        prepared: list[int] = []
        for size in reversed(self.runner.sizes(self.max_batch_size)):
            try:
                self.runner.prepare(size)
                prepared.insert(0, size)
            except Exception as error:
                if prepared or size == 1 or not is_out_of_memory(error):
                    raise
                self.max_batch_size = self.runner.sizes(size)[-2]
                self._warn(f"no memory for micro-batches of {size}: {self.max_batch_size} from now on")
        return prepared

    def _prove(self, sizes: Sequence[int], seed: int) -> None:
        """Pictures in micro-batches of every size, all begun before the first is looked at, against the hooked network.

        Raises DifferenceError when one differs by more than the runner's tolerance.
        """
        pictures = self.runner.examples or _noise(sizes[-1], self.network.spec, seed)
        reference = self._hooked(list(islice(cycle(pictures), sizes[-1])))
        begun = []
        for size in sizes:
            outputs = self.runner.forward(reference.pixels[:size])
            begun.append([self.runner.fetch(values.flatten()) for values in outputs])
        for fetched in begun:
            logits, activations = (fetch() for fetch in fetched)
            self._compare(reference, logits, activations)

    def _hooked(self, pixels: Sequence[UInt8Array]) -> _Reference:
        logits, activations = self.network.hooked(to_input(pixels, self.network))
        return _Reference(list(pixels), logits.cpu().numpy(), activations.cpu().numpy())

    def _compare(self, reference: _Reference, logits: FloatArray, activations: FloatArray) -> None:
        """Of as many of the reference's pictures as the outputs, of any shape, are for."""
        allowed = self.runner.tolerance
        for what, found, whole in (
            ("logits", logits, reference.logits),
            ("activations", activations, reference.activations),
        ):
            count = found.size * len(whole) // whole.size
            expected = whole[:count]
            error = _relative(found.reshape(expected.shape), expected)
            if not error <= allowed:
                raise DifferenceError(
                    f"of {count} pictures the {what} differ from the hooked network's by {error:.1g} of the largest "
                    f"value (allowed {allowed:g})"
                )


def _relative(found: FloatArray, expected: FloatArray) -> float:
    """The largest difference, relative to the largest value expected."""
    scale = float(np.abs(expected).max())
    return float(np.abs(found - expected).max()) / (scale or 1.0)


def _noise(count: int, spec: InputSpec, seed: int) -> list[UInt8Array]:
    shape = (count, *spec.sides(), spec.channels)
    return list(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))
