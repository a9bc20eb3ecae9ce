"""The model card: what a worker publishes of a model that it serves."""

from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)
Resize = Literal["squash", "center-crop", "letterbox", "squash-crop", "letterbox-crop"]
Outputs = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a network was trained to see: how a picture becomes its input, said once, in the model's card.

    `size` is the height of its input, and the width too unless there is a `width`; `resize` how a picture becomes that
    where a job asks for no other way. `resize_size` is the shorter side before a centre crop, and the square's side
    before the crop of a squash-crop or a letterbox-crop; with a `resize_width` it is the height of a rectangle, which a
    picture covers before a centre crop. `interpolation` is that of the training's own transforms, used by all but a
    squash; `squash_interpolation` that of a squash. `fill` is the colour beside a letterbox. `mean` and `std` normalise
    values in 0..1, one number for each of the `channels`. `exif`: whether pictures are turned upright first;
    `antialias`: whether a smaller picture is averaged, as Pillow does, or sampled, as torch resizes tensors by default.
    `floor_crop`: whether a crop that cannot lie in the middle lies further left and up, as Hugging Face's do, or where
    torchvision rounds it to.
    """

    size: int = 224
    resize_size: int = 256
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    resize: Resize = "squash"
    squash_interpolation: Interpolation = "bilinear"
    fill: tuple[int, int, int] = (114, 114, 114)
    channels: int = 3
    width: int | None = None
    exif: bool = True
    antialias: bool = True
    resize_width: int | None = None
    floor_crop: bool = False

    def sides(self, height: int | None = None) -> tuple[int, int]:
        """Height and width of the input; of another height than its own, in the same proportions."""
        height = height or self.size
        return height, height if self.width is None else round(self.width * height / self.size)

    def before_crop(self, height: int | None = None) -> tuple[int, int | None]:
        """`resize_size` and `resize_width` for an input of another height, which then shows the same part."""
        height, width = height or self.size, self.resize_width
        shorter = round(self.resize_size * height / self.size)
        return shorter, None if width is None else round(width * height / self.size)


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker publishes of a model it serves, so that a producer can check a request before any upload."""

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
    #: How probabilities are made of its logits; those of older workers are a softmax.
    outputs: Outputs = "softmax"
    #: How pictures become its input; older workers do not tell.
    preprocessing: Preprocessing | None = None

    @property
    def name(self) -> str:
        """The model's name without the digest of its weights and labels."""
        return self.model.partition("@")[0]
