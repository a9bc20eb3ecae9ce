"""A folder whose config.json names one of transformers' classes for image classification."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shared.contract import Outputs
from shared.errors import ModelError, UsageError
from worker.core.sources import folder
from worker.core.sources.architecture import Shape
from worker.core.sources.preprocessing import of_processor
from worker.core.types import InputSpec

#: Keys that would have transformers fetch something, or run code that is not its own.
_ELSEWHERE = ("auto_map", "quantization_config", "backbone", "use_pretrained_backbone", "use_timm_backbone")

_NAMES = ("_name_or_path", "id2label", "label2id", "transformers_version")


class TransformersClass:
    """The class that the folder names, built by transformers' own code from the folder's config.json."""

    notes: tuple[str, ...] = ()

    def __init__(self, name: str, where: Path | None) -> None:
        """Raises UsageError without a folder, ModelError where transformers is not installed or lacks the class."""
        if where is None or not (where / folder.CONFIG).is_file():
            raise UsageError(
                f"{name} takes as its weights a folder that holds {folder.CONFIG} beside them: --model FOLDER/, or "
                "`weights` in a model file"
            )
        self.name = name
        self._folder = where
        self._config = folder.read(where / folder.CONFIG)
        try:
            import transformers
        except ImportError as error:
            raise ModelError(
                f"{name} needs the package transformers ({error}): pip install 'camq[transformers]'"
            ) from error
        self._library: Any = transformers
        if folder.architecture_in(where) != name:
            raise UsageError(f"{where} is of {folder.architecture_in(where)}, not {name}")

    @property
    def facts(self) -> Mapping[str, Any]:
        """The names of its classes."""
        return folder.class_facts(self._config)

    @property
    def outputs(self) -> Outputs | None:
        """Sigmoid where it was trained with several labels for a picture."""
        return "sigmoid" if self._config.get("problem_type") == "multi_label_classification" else None

    @property
    def described(self) -> str:
        """The configuration: numbers of heads and activations are in no weight."""
        told = {key: value for key, value in _own(self._config).items() if key not in _NAMES}
        return str(sorted(told.items()))

    def build(self, shapes: Mapping[str, Shape]) -> nn.Module:  # noqa: ARG002 -- the configuration says it
        """With random weights. Raises ModelError where the configuration builds nothing."""
        kind = self._kind()
        try:
            built: nn.Module = kind._from_config(self._settings(), attn_implementation="eager")
        except Exception as error:  # its classes raise whatever their configuration leads to
            raise self._fault(error) from error
        return built

    def loaded(self, tensors: dict[str, Tensor]) -> tuple[nn.Module, list[str]]:
        """With these weights, by the names of whichever release wrote them; and the names that it does not need.

        Raises ModelError where one is missing or of another shape.
        """
        kind = self._kind()
        self._library.logging.set_verbosity_error()
        self._library.logging.disable_progress_bar()
        try:
            # Without a folder: what is read was read by camq, and nothing is looked for.
            module, told = kind.from_pretrained(
                None,
                config=self._settings(),
                state_dict=tensors,
                dtype=torch.float32,
                attn_implementation="eager",
                output_loading_info=True,
            )
        except Exception as error:  # as above
            raise self._fault(error) from error
        if missing := sorted(told["missing_keys"]):
            raise ModelError(f"the weights in {self._folder} do not fit {self.name}: missing: {', '.join(missing[:4])}")
        if self._processor().get("do_flip_channel_order"):
            module.register_forward_pre_hook(_flipped)
        return module, sorted(told["unexpected_keys"])

    def _kind(self) -> Any:
        """The class. Raises ModelError where transformers has none of that name for image classification."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as CLASSES

        kind, wanted = self._config["model_type"], self.name.removeprefix(folder.TRANSFORMERS)
        offered = CLASSES.get(kind, ())
        if wanted not in ((offered,) if isinstance(offered, str) else offered):
            raise ModelError(
                f"{self._folder / folder.CONFIG} names {wanted} of model_type {kind!r}, which transformers "
                f"{self._library.__version__} does not have for image classification; camq runs no code of a folder"
            )
        return getattr(self._library, wanted)

    def _settings(self) -> Any:
        return self._library.AutoConfig.for_model(**_own(self._config))

    def _fault(self, error: Exception) -> ModelError:
        return ModelError(f"transformers cannot build {self.name}: {type(error).__name__}: {error}")

    def published(self) -> Path:
        """The folder's own."""
        return self._folder

    def knows_input(self, weights: Path | None) -> bool:  # noqa: ARG002
        """Where the folder has an image processor."""
        return (self._folder / folder.PREPROCESSOR).is_file()

    def spec(self, module: nn.Module, weights: Path | None) -> InputSpec:  # noqa: ARG002
        """As the folder's image processor prepares pictures."""
        inner = self._config.get("vision_config")
        told = {**self._config, **(inner if isinstance(inner, dict) else {})}
        size, channels = told.get("image_size"), told.get("num_channels", 3)
        own = size if isinstance(size, int) else 224
        where = self._folder / folder.PREPROCESSOR
        if not where.is_file():
            self.notes = (f"there is no {where}: pictures are prepared as for ImageNet's networks, at {own} pixels",)
            return InputSpec(size=own, resize_size=round(own * 256 / 224))
        return of_processor(self._processor(), own, channels if isinstance(channels, int) else 3, str(where))

    def _processor(self) -> dict[str, Any]:
        """The image processor's settings, with the defaults of its class."""
        where = self._folder / folder.PREPROCESSOR
        if not where.is_file():
            return {}
        folder.read(where)
        try:
            made = self._library.AutoImageProcessor.from_pretrained(
                self._folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # as above
            raise ModelError(f"transformers cannot read {where}: {type(error).__name__}: {error}") from error
        settings: dict[str, Any] = made.to_dict()
        return settings


def _own(config: dict[str, Any]) -> dict[str, Any]:
    """What of a configuration describes the network, also in the tables inside."""
    return {
        key: _own(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _ELSEWHERE and "attn_implementation" not in key and "dtype" not in key
    }


def _flipped(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Blue, green, red: as MobileViT's pictures."""
    return (inputs[0].flip(1),)
