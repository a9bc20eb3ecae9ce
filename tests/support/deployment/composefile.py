"""The compose files as compose itself would see them, without a Docker engine."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy import compose_env

ROOT = Path(__file__).parents[3]
BASE = ROOT / "docker-compose.yml"
GPU = ROOT / "compose.gpu.yaml"


def fresh_env() -> dict[str, str]:
    """The variables of a fresh `.env`."""
    lines = [line for line in compose_env.text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def load(path: Path, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A compose file; with `env` its variables are replaced."""
    text = path.read_text()
    loaded: dict[str, Any] = yaml.safe_load(text if env is None else interpolated(text, env))
    return loaded


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """Compose's own substitution, as far as these files use it. KeyError for a required one that is missing."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if env.get(name):
            return env[name]
        if kind == ":?":
            raise KeyError(rest)
        return rest

    return re.sub(r"\$\{(\w+)(:-|:\?)([^}]*)\}", value, text)
