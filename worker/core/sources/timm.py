"""`timm:NAME`: the architectures of timm, with the data configuration that it keeps of each."""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from shared.errors import ModelError, UsageError
from worker.core.sources import folder
from worker.core.sources.architecture import Shape
from worker.core.sources.preprocessing import of_timm
from worker.core.sources.reach import reach
from worker.core.types import InputSpec

#: A worker that cannot reach the hub should say so soon.
_HUB_S = 5.0


class Timm:
    """An architecture by timm's name, `NAME` or `NAME.TAG`. `config` is the config.json of the folder it comes in."""

    outputs = None
    notes: tuple[str, ...] = ()

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        """Raises ModelError where timm is not installed, UsageError for a name that it does not have."""
        self.name = name
        self._config = config or {}
        self._own = name.removeprefix(folder.TIMM)
        known = self._timm.list_models()
        # timm itself would also take addresses of hubs and folders.
        if self._own.partition(".")[0] not in known:
            close = get_close_matches(self._own, known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "`timm.list_models()` lists the names"
            raise UsageError(f"unknown architecture {name!r}: {hint}")

    @property
    def facts(self) -> Mapping[str, Any]:
        """The names of its classes, from the folder."""
        return folder.class_facts(self._config)

    @property
    def described(self) -> str:
        """What it is built with."""
        return str(sorted(self._arguments.items()))

    def build(self, shapes: Mapping[str, Shape]) -> nn.Module:
        """With as many classes, and for pictures of the size, as the checkpoint's tensors say."""
        module: Any = self._created()
        own = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
        needed = {"img_size": _picture_size(module, own, shapes), "in_chans": _channels(module, own, shapes)}
        if any(needed.values()):
            module = self._created(**{name: value for name, value in needed.items() if value})
        classifiers = module.pretrained_cfg["classifier"]
        first = classifiers if isinstance(classifiers, str) else next(iter(classifiers or ()), "")
        classes = next((shape[0] for shape in _found(f"{first}.weight", shapes)), None)
        if first and classes and classes != next(iter(own.get(f"{first}.weight", ())), None):
            module.reset_classifier(classes)
        built: nn.Module = module
        return built

    def published(self) -> Path:
        """timm's weights of that name: in the hub's cache on this machine, or downloaded into it.

        Raises ModelError, with the remedy, when neither can be had.
        """
        from huggingface_hub import constants, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        settings = self._timm.get_pretrained_cfg(self._own)
        remedy = f"give your own with --weights FILE, or put them into a folder with a {folder.CONFIG}"
        if settings is None or not settings.hf_hub_id:
            raise ModelError(f"timm publishes no weights for {self.name}: {remedy}")
        repository, name = settings.hf_hub_id, settings.hf_hub_filename or "model.safetensors"
        with suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(repository, name, local_files_only=True))
        try:
            if constants.HF_HUB_OFFLINE:
                raise ModelError("they are not in the hub's cache on this machine, and HF_HUB_OFFLINE is set")
            reach(hf_hub_url(repository, name), _HUB_S, refusals=False)  # the library itself tries for half a minute
            return Path(hf_hub_download(repository, name, etag_timeout=_HUB_S))
        except (ModelError, OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"cannot download weights of {self.name}, {repository} ({reason}): {remedy}") from error

    def knows_input(self, weights: Path | None) -> bool:
        """Of published weights, and where the folder has the configuration."""
        return weights is None or bool(self._config.get("pretrained_cfg"))

    def spec(self, module: nn.Module, weights: Path | None) -> InputSpec:  # noqa: ARG002 -- named by tag or folder
        """timm's own data configuration for evaluation."""
        given: Any = self._config.get("pretrained_cfg") or module.pretrained_cfg
        if not isinstance(given, Mapping):
            raise ModelError(f"{folder.CONFIG}: pretrained_cfg is {given!r:.80}; expected a table")
        config = self._timm.data.resolve_data_config({}, pretrained_cfg=dict(given))
        size = getattr(getattr(module, "patch_embed", None), "img_size", None)
        if size and tuple(size) != tuple(config["input_size"][1:]):
            config["input_size"] = (config["input_size"][0], *size)
        return of_timm(config, f"timm's data configuration of {self._own}")

    @cached_property
    def _timm(self) -> Any:
        try:
            import timm
            import timm.data
        except ImportError as error:
            raise ModelError(f"{self.name} needs the package timm ({error}): pip install 'camq[timm]'") from error
        return timm

    @cached_property
    def _arguments(self) -> dict[str, Any]:
        """What the folder says of the architecture. Not what would have timm read or fetch something else."""
        create = set(inspect.signature(self._timm.create_model).parameters)
        given = self._config.get("model_args") or {}
        if not isinstance(given, dict):
            raise ModelError(f"{folder.CONFIG}: model_args is {given!r}; expected a table")
        refused = [key for key in given if key in create or key.startswith("pretrained") or key == "features_only"]
        if refused:
            raise ModelError(f"{folder.CONFIG}: model_args holds {refused[0]}, which says nothing of the architecture")
        return given

    def _created(self, **more: Any) -> nn.Module:
        try:
            module: nn.Module = self._timm.create_model(self._own, pretrained=False, **{**self._arguments, **more})
        except Exception as error:  # its factories raise whatever their arguments lead to
            raise ModelError(f"timm cannot build {self._own}: {type(error).__name__}: {error}") from error
        return module


def _found(name: str, shapes: Mapping[str, Shape]) -> list[Shape]:
    """The shapes of tensors of this name, under whatever prefix."""
    return [shape for key, shape in shapes.items() if key == name or key.endswith(f".{name}")]


def _channels(module: Any, own: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> int | None:
    """How many channels its pictures have, where that is another number than the architecture's own."""
    stems = module.pretrained_cfg["first_conv"]
    name = f"{stems if isinstance(stems, str) else next(iter(stems or ()), '')}.weight"
    given = next((shape[1] for shape in _found(name, shapes) if len(shape) == 4), None)
    return given if name in own and given != own[name][1] else None


def _picture_size(module: nn.Module, own: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> int | None:
    """The side that a vision transformer's positions are for, where it is not the architecture's own."""
    patches = getattr(module, "patch_embed", None)
    mine, given = own.get("pos_embed"), next(iter(_found("pos_embed", shapes)), None)
    if patches is None or mine is None or given is None or len(given) != 3 or given[1] == mine[1]:
        return None
    side: float = (given[1] - (mine[1] - patches.num_patches)) ** 0.5
    return round(side) * int(patches.patch_size[0]) if side == round(side) else None
