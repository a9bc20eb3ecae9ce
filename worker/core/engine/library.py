"""The network in an inference library on a CPU: ONNX Runtime, with a graph exported from the hooked torch network."""

import io
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from worker.core.engine.engine import TOLERANCE, Normalise
from worker.core.model.network import Network
from worker.core.types import FloatArray, UInt8Array

INPUT, _OUTPUTS = "pictures", ["logits", "activations"]
#: What the exporter looks at: more than one picture, so that it cannot take their number for a constant 1.
_EXAMPLES = 2


class Library:
    """See `Runner`. From uint8 (N, S, S, 3) to logits and activations in one call, whatever N.

    Its threads are as many as torch's, and sleep while they have nothing to do: spinning, they would take the cores
    from what decodes and draws.
    """

    overlaps = required = False
    tolerance: float = TOLERANCE[torch.float32]
    examples: Sequence[UInt8Array] = ()

    def __init__(self, network: Network) -> None:
        import onnxruntime  # takes a fifth of a second, which a worker with a GPU need not spend

        self._library = onnxruntime
        self.name = f"onnxruntime {onnxruntime.__version__}"
        self._network = network
        self._session: onnxruntime.InferenceSession | None = None

    def sizes(self, largest: int) -> list[int]:
        """See `Runner.sizes`. One graph serves all of them; several are proven."""
        return sorted({1, min(3, largest), largest})

    def prepare(self, size: int) -> None:  # noqa: ARG002 -- any size
        """See `Runner.prepare`."""
        if self._session is None:
            options = self._library.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.inter_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            # It keeps what the largest micro-batch took (75 MB for ResNet18). Asking the system for it each time, page
            # by page, takes a tenth of the processor time. A plan of that memory for each size would double it.
            options.enable_cpu_mem_arena, options.enable_mem_pattern = True, False
            # In eight bits, a processor without VNNI would cut off sums of products at 16 bits. Exact sums take it
            # 1.4 times as long.
            options.add_session_config_entry("session.x64quantprecision", "1")
            options.log_severity_level = 3  # errors alone; they are raised as well
            providers = ["CPUExecutionProvider"]
            self._session = self._library.InferenceSession(self.graph(), options, providers=providers)

    def graph(self) -> bytes:
        """What it runs, as an ONNX file."""
        return exported(self._network)

    def forward(self, pixels: Sequence[UInt8Array]) -> tuple[Tensor, Tensor]:
        """See `Runner.forward`."""
        assert self._session is not None  # noqa: S101 -- prepared
        logits, activations = self._session.run(_OUTPUTS, {INPUT: np.stack(pixels)})
        return torch.from_numpy(logits), torch.from_numpy(activations)

    def fetch(self, values: Tensor) -> Callable[[], FloatArray]:
        """See `Runner.fetch`: it is there."""
        return values.numpy

    def release(self) -> None:
        """See `Runner.release`."""
        self._session = None


class _Hooked(nn.Module):
    """What is exported: bytes (N, S, S, 3) → what the hooked network says of them."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.hookable = network.hookable
        self._hooked = network.hooked
        self._normalise = Normalise(network)

    def forward(self, stacked: Tensor) -> tuple[Tensor, Tensor]:
        return self._hooked(self._normalise(stacked))


def exported(network: Network) -> bytes:
    """The hooked network as an ONNX graph. Raises whatever the exporter does where it cannot.

    By tracing: the other exporter that torch has takes ten times as long, and the packages of two more projects.
    """
    example = torch.full((_EXAMPLES, *network.spec.sides(), network.spec.channels), 127, dtype=torch.uint8)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of its age, and of what tracing takes for constant; the proof finds what is not
        torch.onnx.export(
            _Hooked(network).eval(),
            (example,),
            file,  # type: ignore[arg-type]  # this exporter writes into any file
            dynamo=False,
            input_names=[INPUT],
            output_names=_OUTPUTS,
            dynamic_axes={each: {0: "count"} for each in (INPUT, *_OUTPUTS)},
        )
    return file.getvalue()
