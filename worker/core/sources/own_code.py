"""`python:package.module:callable`: a network in the user's own code, which the worker imports and calls.

It runs code, so only a worker's own settings and model files on its own disk may name it; see `worker.models.asked`.
"""

import hashlib
import importlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from shared.errors import ModelError, UsageError
from worker.core.sources.architecture import Shape
from worker.core.types import InputSpec

PREFIX = "python:"


class OwnCode:
    """The module that a callable without arguments returns. Its weights may be in it already."""

    facts: Mapping[str, Any] = {}
    outputs = None
    notes: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self._module, separator, self._callable = name.removeprefix(PREFIX).partition(":")
        parts = [*self._module.split("."), *self._callable.split(".")]
        if not separator or not all(part.isidentifier() for part in parts):
            raise UsageError(f"invalid architecture {name!r}: expected python:package.module:callable")
        self._digest = ""

    @property
    def described(self) -> str:
        """The digest of the file that holds the callable: other code is another model."""
        return self._digest

    def build(self, shapes: Mapping[str, Shape]) -> nn.Module:  # noqa: ARG002 -- its code says what it is
        """Import it, call it. Raises ModelError with what the code raised, and where."""
        try:
            found: Any = importlib.import_module(self._module)
            if file := getattr(found, "__file__", None):
                self._digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
            for part in self._callable.split("."):
                found = getattr(found, part)
        except Exception as error:  # whatever the user's code raises while it is imported
            raise ModelError(f"{self.name} cannot be imported: {_told(error)}") from error
        try:
            built = found()
        except Exception as error:
            raise ModelError(f"{self.name} cannot be called without arguments: {_told(error)}") from error
        if not isinstance(built, nn.Module):
            raise ModelError(f"{self.name} returned {type(built).__name__}; expected a torch.nn.Module")
        return built

    def published(self) -> Path | None:
        """None: its code may load what it wants."""
        return None

    def knows_input(self, weights: Path | None) -> bool:  # noqa: ARG002
        """Its code does not say it."""
        return False

    def spec(self, module: nn.Module, weights: Path | None) -> InputSpec:  # noqa: ARG002
        """As ImageNet's networks; a model file says what it was."""
        return InputSpec()


def _told(error: Exception) -> str:
    """The error's own words, and the line that raised it."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = (
        "" if where.filename.startswith("<") or where.filename == __file__ else f" ({where.filename}:{where.lineno})"
    )
    return f"{type(error).__name__}: {error}{place}"
