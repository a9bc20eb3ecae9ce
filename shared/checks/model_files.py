"""Model files, read and checked: a message names the file, the key, its line and what is allowed.

A folder of weights with a `config.json` says as much as a model file, and is taken as one.
"""

import os
import re
import tomllib
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from shared.contract import InputTable, ModelCard, ModelFile
from shared.errors import UsageError
from shared.text import did_you_mean

SUFFIX = ".toml"
#: What describes the network in a folder of Hugging Face's or timm's.
CONFIG = "config.json"
#: A file of this kind has a few dozen lines; a list of names may have thousands.
MOST_BYTES = 4 << 20


def is_model_file(model: str | None) -> bool:
    """Whether `--model` or CAMQ_MODEL names a model file, or a folder that is as good as one, and not a model.

    A folder is written with a slash, `./pets` or `pets/`: `resnet18` alone is the network.
    """
    if model is None:
        return False
    return model.lower().endswith(SUFFIX) or (os.sep in model and (Path(model) / CONFIG).is_file())


def check_remote(model: str | None) -> None:
    """UsageError for a model file or a folder in a request over HTTP: it would be one of this machine's.

    Nothing is looked at, so that the answer does not say what is there.
    """
    if model is not None and (os.sep in model or model.lower().endswith(SUFFIX)):
        raise UsageError(f"invalid model {model!r}: over HTTP a model goes by its name")


def served_name(model: str) -> str:
    """The name under which a model file's model is served. Raises UsageError as `read_model_file` does."""
    return read_model_file(Path(model)).name or Path(model).stem


def read_model_file(path: Path) -> ModelFile:
    """The file's content; of a folder its weights, under its name. Raises UsageError, naming key, line and the allowed
    values."""
    if path.is_dir():
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", path.resolve().name)[:64].lstrip("_.-")
        return ModelFile(name=name or "folder", weights=str(path.resolve()))
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"the model file {path} has more than {MOST_BYTES:,} bytes")
        return parse_model_file(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"the model file {path} cannot be read: {error.strerror or error}") from None


def parse_model_file(raw: bytes, path: str) -> ModelFile:
    """As `read_model_file`, of a file's bytes."""
    try:
        text = raw.decode("utf-8-sig")
        values = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the model file {path} is not valid TOML: {error}") from None
    _check_keys(values, ModelFile, text, path, "")
    try:
        found = msgspec.convert(values, ModelFile)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        key = re.sub(r"\[.*", "", where.rstrip("`"))
        field = next((f for f in _fields(key)), None)
        expected = f"; expected {_expected(field.type)}" if field else f": {reason}"
        raise UsageError(f"{_place(text, path, key)}: invalid {key} {_value(values, key)!r}{expected}") from None
    table = found.input
    for one in ("mean", "std"):
        given = getattr(table, one)
        # Without `channels` they are those of the weights, which are read later.
        if given is not None and len(given) not in ((table.channels,) if table.channels else (1, 3, 4)):
            raise UsageError(
                f"{_place(text, path, f'input.{one}')}: input.{one} has {len(given)} numbers; expected one for each of "
                f"the {table.channels or '1, 3 or 4'} channels"
            )
    if table.std is not None and 0 in table.std:
        raise UsageError(f"{_place(text, path, 'input.std')}: input.std holds a 0, by which nothing can be divided")
    return found


def check_there(path: Path, key: str, file: Path) -> None:
    """UsageError, with the line, where the file that a model file names under `key` is not there, with or without the
    `#` that takes a part of a checkpoint."""
    if not file.exists() and not (file.name.count("#") and file.with_name(file.name.rpartition("#")[0]).exists()):
        place = _place(path.read_text("utf-8-sig", "replace"), str(path), key)
        raise UsageError(f"{place}: {key}: there is no file {file}; expected a path relative to the model file")


def check_served(path: Path, card: ModelCard) -> None:
    """UsageError where the model that is served under the file's name is not what the file says."""
    file = read_model_file(path)
    told = card.preprocessing
    wrong = []
    if file.outputs is not None and file.outputs != card.outputs:
        wrong.append(f"outputs are {card.outputs}, not {file.outputs}")
    if isinstance(file.labels, tuple) and file.labels != card.labels:
        wrong.append("its labels differ")
    for name in ("mean", "std", "resize", "interpolation", "fill", "channels", "exif", "antialias"):
        wanted = getattr(file.input, name)
        if told is not None and wanted is not None and getattr(told, name) != wanted:
            wrong.append(f"input.{name} is {getattr(told, name)}, not {wanted}")
    if told is not None and file.input.sides is not None and told.sides() != file.input.sides:
        height, width = told.sides()
        wrong.append(f"input.size is {height if height == width else [height, width]}, not {file.input.size}")
    if told is not None and file.input.before_crop not in (None, told.before_crop()):
        wrong.append(f"input.resize_size is {told.resize_size}, not {file.input.resize_size}")
    if wrong:
        raise UsageError(
            f"{card.model} is served with other settings than {path} says: {'; '.join(wrong)}; "
            f"restart its worker with --model {path}, or correct the file"
        )


def _check_keys(values: dict[str, Any], kind: type[msgspec.Struct], text: str, path: str, prefix: str) -> None:
    known = [field.name for field in msgspec.structs.fields(kind)]
    for key, value in values.items():
        if key not in known:
            raise UsageError(
                f"{_place(text, path, prefix + key)}: unknown key {prefix + key!r}{did_you_mean(key, known)}; expected "
                f"{', '.join(known)}"
            )
        if key == "input" and isinstance(value, dict):
            _check_keys(value, InputTable, text, path, "input.")


def _fields(key: str) -> list[msgspec.structs.FieldInfo]:
    kind = InputTable if key.startswith("input.") else ModelFile
    return [field for field in msgspec.structs.fields(kind) if field.name == key.rpartition(".")[2]]


def _expected(kind: Any) -> str:
    """A type in words."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *metas = get_args(kind)
        bounds = next((meta for meta in metas if meta.ge is not None), None)
        return _expected(inner) + (f" from {bounds.ge} to {bounds.le}" if bounds else "")
    if origin in (Union, UnionType):
        return " or ".join(_expected(part) for part in get_args(kind) if part is not NoneType)
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if origin is tuple:
        return f"a list of {'texts' if get_args(kind)[0] is str else 'numbers'}"
    return {str: "a text", int: "a whole number", bool: "true or false"}.get(kind, "a table")


def _place(text: str, path: str, key: str) -> str:
    """Where a key stands in the file."""
    table, _, name = key.rpartition(".")
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w.\"-]+)\s*\]", line):
            section = header[1]
        if section == table and re.match(rf"\s*\"?{re.escape(name)}\"?\s*[=.]", line):
            return f"{path}, line {number}"
        if section == key:
            return f"{path}, line {number}"
    return path


def _value(values: dict[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
