"""The model card: what a worker publishes of a model that it serves."""

import msgspec


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker tells of a model it serves, so that a producer can check a request before any upload."""

    model: str
    labels: tuple[str, ...]
    input_size: int
    methods: tuple[str, ...]
    #: Every layer that may be hooked, and the one that is when nobody asks for another; older workers tell neither.
    layers: tuple[str, ...] = ()
    target_layer: str | None = None
    #: Why it has none of the other methods; older workers do not tell.
    reason: str = ""
    #: The smallest and the largest side that its input may have, the same where its weights allow no other than
    #: `input_size`; older workers do not tell.
    input_sizes: tuple[int, int] | None = None
    #: What runs it on the worker that published this last, such as `onnxruntime 1.32.0`; older workers do not tell.
    engine: str = ""

    @property
    def name(self) -> str:
        """The model's name without the digest of its weights and labels."""
        return self.model.partition("@")[0]
