"""The network in eight bits on a CPU: faster, and not quite the same answers (`CAMQ_PRECISION=int8`)."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from worker.core.engine.library import INPUT, Library
from worker.core.model.network import Network
from worker.core.types import UInt8Array

#: What runs in eight bits. Normalisation, the head and the activations that maps are made of stay float32, so that a
#: map and its bias still add up to their logit exactly.
_OPERATORS = ["Conv", "Add", "MaxPool", "Concat", "AveragePool"]


class Quantised(Library):
    """See `Runner`. Weights are int8 by output channel, activations uint8 within the range that each had on `examples`.

    Static quantisation as in Jacob et al. 2018 (arXiv:1712.05877), by ONNX Runtime's own quantiser. `examples` are
    network inputs, uint8 (S, S, 3); a picture that leaves their ranges is clipped there.
    """

    required = True
    #: Rounding to 8 bits moves single activations by some per cent of the largest; a wrong graph moves them by all.
    tolerance = 0.3

    def __init__(self, network: Network, examples: Sequence[UInt8Array]) -> None:
        super().__init__(network)
        self.name += " int8"
        self.examples = list(examples)

    def graph(self) -> bytes:
        """See `Library.graph`."""
        return quantised(super().graph(), self.examples)


def quantised(graph: bytes, examples: Sequence[UInt8Array]) -> bytes:
    """An exported network with its convolutions, sums and pools in eight bits."""
    # Half a second, and only for who asks.
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static

    with TemporaryDirectory() as folder, _without_advice():
        file = Path(folder) / "network.onnx"
        quantize_static(
            onnx.load_from_string(graph),
            file,
            _Examples(examples),
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return file.read_bytes()


@contextmanager
def _without_advice() -> Iterator[None]:
    """The quantiser asks in the log for a step that would fold batch normalisation, as the exporter has done."""

    def wanted(record: logging.LogRecord) -> bool:
        return Path(record.pathname).parent.name != "quantization"

    root = logging.getLogger()
    root.addFilter(wanted)
    try:
        yield
    finally:
        root.removeFilter(wanted)


class _Examples:
    """What ONNX Runtime's quantiser reads its examples from: one picture at a time, then None."""

    def __init__(self, examples: Sequence[UInt8Array]) -> None:
        self._left: Iterator[UInt8Array] = iter(examples)

    def get_next(self) -> dict[str, UInt8Array] | None:
        picture = next(self._left, None)
        return None if picture is None else {INPUT: picture[np.newaxis]}
