"""Class names: from a file in any of its usual forms, from the checkpoint, ImageNet's, or numbers."""

import ast
import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchvision.models import ResNet18_Weights

from shared.errors import UsageError

IMAGENET_CLASSES = 1000
#: Where the names are from if nobody gave any.
USUAL = ("ImageNet", "numbers")
#: A file of names is read whole, and each name goes into the model's card and every result.
MOST_BYTES, MOST_LETTERS = 64 << 20, 1_000
#: Index and name of a line, in either order; without a sign between them only where every index is there once.
_NUMBERED = re.compile(r"\s*(?P<index>\d+)\s*[,;:=\t]\s*(?P<name>.*?)\s*")
_COUNTED = re.compile(r"\s*(?P<name>.*?)\s*[,;:=\t]\s*(?P<index>\d+)\s*")
_SPACED = re.compile(r"\s*(?P<index>\d+)[.)]?\s+(?P<name>.*?)\s*"), re.compile(r"\s*(?P<name>\S.*?) (?P<index>\d+)\s*")
#: A list or dictionary as Python and YAML have it: `classes = (…)`, `names: […]`.
_ASSIGNED = re.compile(r"^(?:names|labels|class(?:es|_names))\s*[:=]\s*(?=[\[({])", re.IGNORECASE | re.MULTILINE)
_CLOSED = re.compile(r"[\])}]\s*$", re.MULTILINE)
#: The first line of a table, of a column, or of YAML.
_HEADER = re.compile(
    r"\s*(\"?(?!\d)\w*\"?\s*[,;\t]\s*\"?(?!\d)\w+\"?|class(es)?|labels?|names?|\w+:)\s*", re.IGNORECASE
)
#: The header of the column that numbers the classes.
_INDEX = re.compile(r"(class|label|target)?[ _-]?(id|idx|index|number|no)?", re.IGNORECASE)
#: ImageNet's lists have WordNet's number before each name.
_WORDNET = re.compile(r"n\d{8}\s+(\S.*)")
#: Under these keys most trainers keep the names; others have a word of theirs in it (`Index.facts`).
_KEYS = ("class_to_idx", "idx_to_class", "id2label", "label2id", "class_names", "classes", "categories", "label_names")


def find_labels(
    path: Path | None, given: object, facts: Mapping[str, Any], classes: int
) -> tuple[tuple[str, ...], str]:
    """The class names, and where they are from: a file, the model file (`given`), the checkpoint, or what is usual."""
    if path is not None:
        return read_labels(path, classes), str(path)
    if isinstance(given, tuple):
        return checked(given, classes, "the labels in the model file"), "model file"
    if found := given_labels(facts, classes):
        return found[0], f"checkpoint, {found[1]}"
    return default_labels(classes), USUAL[classes != IMAGENET_CLASSES]


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """The names of `classes` classes in a file, in index order. With one output there may be two: of the negative and
    of the positive answer.

    The file holds one name per line, with or without its index; or a list, `{name: index}` or `{index: name}`, in JSON
    or as Python prints it, also under a key such as `id2label`.
    Raises UsageError when it cannot be read or its count is another.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"the labels file {path} has more than {MOST_BYTES:,} bytes; it needs one name per line")
        text = _decoded(path.read_bytes())
    except UnicodeDecodeError as error:
        fault = f"is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8"
        raise UsageError(f"the labels file {path} {fault}") from error
    except OSError as error:
        raise UsageError(f"the labels file {path} cannot be read: {error}") from error
    what = f"the labels file {path}"
    if len(_ASSIGNED.findall(text)) > 1:
        raise UsageError(f"{what} holds several lists of names: keep the one of the classes")
    if assigned := _ASSIGNED.search(text):
        closed = _CLOSED.search(text, assigned.end())
        text = text[assigned.end() : closed.end() if closed else None]
    if assigned or re.match(r"\s*([\[{]|\(['\"])", text):
        value = _parsed(text, what)
        names = in_order(value)
        if names is None and isinstance(value, dict) and (found := given_labels(value, classes)):
            names = list(found[0])
        if names is None:
            raise UsageError(f"{what} is neither a list of names, nor {{name: index}}, nor {{index: name}}")
        return checked(names, classes, what)
    # Not `splitlines`, which also cuts at characters that a name may hold, U+2028 and vertical tabs among them.
    text = text.replace("\r\n", "\n")
    if "\n" not in text:  # lines may end as those of old Macs do
        text = text.replace("\r", "\n")
    lines = text.removesuffix("\n").split("\n")
    return checked(_of_lines(lines, classes, what), classes, what)


def given_labels(facts: Mapping[str, Any], classes: int) -> tuple[tuple[str, ...], str] | None:
    """The names that a checkpoint holds for so many classes, and the key they stand under."""
    last = {key: str(key).rpartition(".")[2].lower() for key in facts}
    for key in sorted(facts, key=lambda key: _KEYS.index(last[key]) if last[key] in _KEYS else len(_KEYS)):
        names = in_order(facts[key])
        if names is not None and fits(len(names), classes):
            return tuple(names), key
    return None


def default_labels(classes: int) -> tuple[str, ...]:
    """ImageNet's names, which ship inside torchvision, for 1000 classes; else "class 0", "class 1", …."""
    if classes == IMAGENET_CLASSES:
        return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    return tuple(f"class {index}" for index in range(classes))


def fits(names: int, classes: int) -> bool:
    """Whether so many names suit so many outputs."""
    return names == classes or (classes == 1 and names == 2)


def checked(names: Sequence[str], classes: int, what: str) -> tuple[str, ...]:
    """The names without surrounding space. UsageError, naming `what` holds them, for another count or endless names."""
    if not fits(len(names), classes):
        many = (
            f"{classes} classes" if classes > 1 else "1 class (or two names, of the negative and the positive answer)"
        )
        raise UsageError(
            f"{what}: {len(names)} names, but the weights are for {many}; expected one name per class, in index order"
        )
    stripped = tuple(name.strip() for name in names)
    if number := next((number for number, name in enumerate(stripped, 1) if len(name) > MOST_LETTERS), None):
        raise UsageError(f"{what}, name {number}: a name has at most {MOST_LETTERS:,} characters")
    return stripped


def in_order(value: Any) -> list[str] | None:
    """The names in a list, `{name: index}` or `{index: name}` with every index once from 0 on; None for all else."""
    if isinstance(value, list | tuple):
        if value and all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in value):
            return in_order({str(each.get("id", place)): each["name"] for place, each in enumerate(value)})
        return list(value) if all(isinstance(name, str) for name in value) else None
    if not isinstance(value, dict) or not value:
        return None
    by_index: dict[int, str] = {}
    for key, other in value.items():
        # ImageNet's own JSON has WordNet's number beside the name.
        name = other[-1] if isinstance(other, list) and other else other
        if isinstance(name, int) and not isinstance(name, bool):
            by_index[name] = str(key)
        elif isinstance(name, str) and str(key).isdecimal():
            by_index[int(key)] = name
        elif isinstance(name, str) and name.isdecimal():
            by_index[int(name)] = str(key)
    if len(by_index) != len(value) or set(by_index) != set(range(len(value))):
        return None
    return [by_index[index] for index in range(len(value))]


def _decoded(raw: bytes) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as Windows' editors write it
        return raw.decode("utf-16")
    return raw.decode("utf-8-sig")


def _parsed(text: str, what: str) -> Any:
    """JSON, or what Python prints of a list or a dictionary."""
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise UsageError(
                f"{what} looks like JSON, but cannot be read as JSON: {error}; each name needs quotes"
            ) from None


def _of_lines(lines: list[str], classes: int, what: str) -> list[str]:
    while len(lines) > classes and not lines[-1].strip():
        lines.pop()
    if len(lines) == 1 and fits(len(re.split("[,;\t]", lines[0])), classes):
        return re.split("[,;\t]", lines[0])
    rest = lines[1:]
    table = any(all(pattern.fullmatch(line) for line in rest) for pattern in (_NUMBERED, _COUNTED))
    if rest and _HEADER.fullmatch(lines[0]) and (table or fits(len(rest), classes)):
        lines = rest
    elif names := _in_columns(lines):
        return names
    for pattern in (_NUMBERED, _COUNTED, *_SPACED):
        numbered = [match for line in lines if (match := pattern.fullmatch(line))]
        if not lines or len(numbered) != len(lines):
            continue
        if pattern is not _NUMBERED and 2 * len({match["name"] for match in numbered}) <= len(lines) + 1:
            continue  # "0 stars", "1 star", "2 stars": the number tells them apart
        names = in_order({match["index"]: match["name"].strip("\"'") for match in numbered})
        if names is not None and len(names) == len(lines):
            return names
        # "1 star", "2 stars" are names; "1 Black_footed_Albatross" is counted from 1.
        counted = {int(match["index"]) for match in numbered} == set(range(1, len(lines) + 1))
        if pattern is _NUMBERED or counted:
            raise UsageError(f"{what} numbers its names: expected every number from 0 to {len(lines) - 1} exactly once")
    if all(_WORDNET.fullmatch(line.strip()) for line in lines):
        return [match[1] for line in lines if (match := _WORDNET.fullmatch(line.strip()))]
    for before, after in (("- ", ""), ('"', '"'), ("'", "'")):
        if all(len(line) > 2 and line.strip().startswith(before) and line.strip().endswith(after) for line in lines):
            return [line.strip().removeprefix(before).removesuffix(after) for line in lines]
    return lines


def _in_columns(lines: list[str]) -> list[str] | None:
    """The names in a table of three columns or more with a header, where one column alone can be that of the indices
    and one alone that of the names."""
    separator = next((each for each in "\t;" if each in lines[0]), ",")
    if lines[0].count(separator) < 2:
        return None
    try:
        header, *rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    except csv.Error:  # of endless cells
        return None
    if any(len(row) != len(header) for row in rows):
        return None
    numbers = {str(index) for index in range(len(rows))}
    columns = [(word.strip().lower(), column) for word, column in zip(header, zip(*rows, strict=True), strict=False)]
    indices = [column for word, column in columns if set(column) == numbers and _INDEX.fullmatch(word)]
    names = [column for word, column in columns if set(column) != numbers and re.search("name|label|class", word)]
    return in_order(dict(zip(indices[0], names[0], strict=True))) if len(indices) == len(names) == 1 else None
