"""A folder of Hugging Face's or timm's: `config.json` beside the weights says which network they are of.

Nothing here imports either library, and no code that the folder names or holds is ever run.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import ModelError

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
#: A configuration has some kilobytes; with the names of 21,000 classes two megabytes.
MOST_BYTES = 16 << 20
#: Sides, widths and class numbers are smaller in every network that a device can hold; so are numbers of layers.
MOST_NUMBER, MOST_LAYERS = 1_000_000, 1_000
_LAYERS = re.compile(r"layers|depth|blocks", re.IGNORECASE)
#: A name that stands where nobody gave one.
_PLACEHOLDER = re.compile(r"LABEL_\d+")

TIMM, TRANSFORMERS = "timm:", "transformers:"


def architecture_in(folder: Path) -> str | None:
    """`timm:NAME` or `transformers:CLASS` where the folder says so; None where there is no config.json.

    Raises ModelError for one that says neither.
    """
    if not (folder / CONFIG).is_file():
        return None
    config = read(folder / CONFIG)
    named = config.get("architecture")
    if isinstance(named, str) and config.get("model_type") in (None, "timm_wrapper"):
        return TIMM + named
    classes = config.get("architectures")
    if isinstance(classes, list) and len(classes) == 1 and isinstance(config.get("model_type"), str):
        return f"{TRANSFORMERS}{classes[0]}"
    raise ModelError(
        f"{folder / CONFIG} names no network: expected timm's `architecture`, or `model_type` and one class in "
        "`architectures` as Hugging Face writes them"
    )


def read(path: Path) -> dict[str, Any]:
    """A configuration. Raises ModelError where it is none, or has numbers that no network has."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path} has more than {MOST_BYTES:,} bytes; a configuration has a few thousand")
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        _check_numbers(found, str(path))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ModelError(f"{path} is not a JSON object: {error}") from None
    return found


def _check_numbers(value: object, path: str, key: str = "") -> None:
    most = MOST_LAYERS if _LAYERS.search(key) else MOST_NUMBER
    if isinstance(value, int) and abs(value) > most:
        raise ModelError(f"{path}: {key} is {value}, and no network has more than {most:,}")
    inner = (
        value.items() if isinstance(value, dict) else [(key, each) for each in value] if isinstance(value, list) else []
    )
    for name, each in inner:
        _check_numbers(each, path, str(name))


def class_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """The names of its classes, by the keys that `labels.find_labels` knows."""
    facts: dict[str, Any] = {}
    for key in ("id2label", "label_names"):
        trained = config.get("pretrained_cfg")
        value = config.get(key) or (trained.get(key) if isinstance(trained, dict) else None)
        names = list(value.values()) if isinstance(value, dict) else value
        if isinstance(names, list) and not all(isinstance(n, str) and _PLACEHOLDER.fullmatch(n) for n in names):
            facts[f"config.{key}"] = value
    return facts
