"""Writes the generated parts of the reference pages: `python -m docs.generate` (`make reference`).

A part lies between `<!-- generated: NAME -->` and `<!-- end -->`. A test compares the pages with the code.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import click
import msgspec

from producer import Client, Job
from producer.cli.main import cli
from producer.results.objects import ImageResult, Prediction
from producer.results.table import COLUMNS, URL
from shared.colormaps import NAMES
from shared.config import PREFIX, SECRET, Settings
from shared.contract import (
    Calibration,
    CalibrationBin,
    ClassAccuracy,
    ClassHeat,
    Cluster,
    Confusion,
    EvaluationRecord,
    JobStatus,
    JobSummary,
    Options,
    PredictedClass,
    Suspect,
    TruthRecord,
    WebhookStatus,
    WorkerInfo,
)
from shared.errors import CODES, WARNINGS, CamqError, ImageError, UnknownJobError, UnreachableError, UsageError

REFERENCE = Path(__file__).parent / "reference"
_PART = re.compile(r"(?<=<!-- generated: )(\w+) -->\n.*?(?=<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with every generated part as the code has it now."""
    return _PART.sub(lambda found: f"{found[1]} -->\n\n" + "\n".join(_PARTS[found[1]]()).strip() + "\n\n", page)


def main() -> None:
    """Writes the pages."""
    for path in REFERENCE.glob("*.md"):
        path.write_text(filled(path.read_text("utf-8")), "utf-8")


def commands() -> Iterator[str]:
    """A section for each command: its help, its examples, its options."""
    # As when it is called: click keeps the first help option that a command was asked for.
    camq = click.Context(cli, info_name="camq", **cli.context_settings)
    for context in _leaves(camq):
        command = context.command
        yield f"## {context.command_path}\n"
        yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
        yield from _help(f"{command.help or ''}\n{command.epilog or ''}")
        yield from _table(("option", "meaning"), _options(command, context))


def _leaves(context: click.Context) -> Iterator[click.Context]:
    """Every command, those of a group as well, by name."""
    if not isinstance(context.command, click.Group):
        yield context
        return
    for name, command in sorted(context.command.commands.items()):
        yield from _leaves(click.Context(command, info_name=name, parent=context))


def _help(text: str) -> Iterator[str]:
    """Paragraphs, and the examples (which click keeps as they are after a form feed) as shell."""
    for part in re.split(r"\n\s*\n", text.replace("\b\n", "").strip()):
        if part.lstrip().startswith("Example"):
            lines = [line.strip() for line in part.strip().splitlines()[1:]]
            yield "\n".join(["```sh", *lines, "```\n"])
        else:
            yield _escaped(" ".join(part.split())) + "\n"


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:
            yield f"`{record[0]}`".replace("|", "\\|"), _escaped(" ".join(record[1].split()))


def settings() -> Iterator[str]:
    """Every variable with its default and meaning."""
    return _table(("variable", "default", "meaning"), _fields(Settings, lambda name: PREFIX + name.upper(), SECRET))


def options() -> Iterator[str]:
    """What `Client.submit` takes by name, and what the ledger keeps of a job."""
    return _table(("option", "default", "values"), _fields(Options, str, frozenset()))


def _fields(
    struct: type[msgspec.Struct], spelled: Callable[[str], str], hidden: frozenset[str]
) -> Iterator[tuple[str, str, str]]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        default = "" if field.default in (None, "", msgspec.UNSET) else f"`{field.default}`".lower()
        meaning = [_said(hints[field.name]), "secret" if field.name in hidden else ""]
        yield f"`{spelled(field.name)}`", default, "; ".join(filter(None, meaning))


def _said(hint: Any) -> str:
    """The description in a field's type, then its allowed values or limits."""
    metas = [part for part in get_args(hint) if isinstance(part, msgspec.Meta)] if get_origin(hint) is Annotated else []
    schema = msgspec.json.schema(hint)
    found = [schema, *schema.get("anyOf", ()), *msgspec.json.schema(list[hint]).get("$defs", {}).values()]
    words = [_escaped(meta.description) for meta in metas if meta.description]
    for part in found:
        if "enum" in part:
            words.append(", ".join(f"`{value}`" for value in part["enum"]))
        limits = [f"{sign} {part[key]:g}" for key, sign in _LIMITS.items() if key in part]
        if limits:
            words.append(" and ".join(limits))
    kind = next((part["type"] for part in found if part.get("type", "null") != "null"), "")
    return "; ".join(words) or {"boolean": "yes or no", "integer": "a number", "array": "a list"}.get(kind, "text")


_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def errors() -> Iterator[str]:
    """The codes of images that failed."""
    return _table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in CODES.items()))


def warnings() -> Iterator[str]:
    """What the result of a picture may warn of."""
    return _table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in WARNINGS.items()))


def columns() -> Iterator[str]:
    """The columns of the flat table."""
    return _table(("column", "type"), ((f"`{name}`", kind) for name, kind in (COLUMNS | URL).items()))


def colormaps() -> Iterator[str]:
    """Their names, in one paragraph."""
    yield ", ".join(f"`{name}`" for name in NAMES) + "\n"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head)):
        yield f"| {' | '.join(row)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, apart from code in backquotes."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>|\[\]{}])", r"\\\1", part) for part in parts)


def _attributes(owner: type) -> Callable[[], Iterator[str]]:
    """The public fields of a result's class."""
    kinds = {name: kind for name, kind in owner.__annotations__.items() if not name.startswith("_")}
    return lambda: _table(("attribute", "type"), ((f"`{name}`", _kind(kind)) for name, kind in kinds.items()))


def _api(owner: type) -> Callable[[], Iterator[str]]:
    """The class and its public methods, each with its signature and docstring."""

    def parts() -> Iterator[str]:
        yield inspect.getdoc(owner) or ""
        for name, member in vars(owner).items():
            if not name.startswith("_") and inspect.isfunction(member):
                yield f"\n### {owner.__name__}.{name}\n\n```py\n{_signature(name, member)}\n```\n"
                yield inspect.getdoc(member) or ""

    return parts


def _signature(name: str, method: Callable[..., object]) -> str:
    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())[1:]
    text = str(signature.replace(parameters=parameters)).replace("'", "")
    if len(name + text) <= 88:
        return name + text
    lines: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "    *," not in lines:
            lines.append("    *,")
        lines.append("    " + str(parameter).replace("'", "") + ",")
    return "\n".join([f"{name}(", *lines, f") ->{text.rpartition('->')[2]}"])


def raised() -> Iterator[str]:
    """The errors that reach a caller."""
    found = (CamqError, UsageError, UnknownJobError, UnreachableError, ImageError)
    return _table(
        ("error", "meaning"), ((f"`{e.__name__}`", _escaped(" ".join((e.__doc__ or "").split()))) for e in found)
    )


def _kind(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return f"`{text}`".replace("|", "\\|")


def _described(*owners: type[msgspec.Struct]) -> Callable[[], Iterator[str]]:
    """The fields of JSON objects that the commands print, the outermost first."""

    def parts() -> Iterator[str]:
        for owner in owners:
            yield f"{_escaped(' '.join((owner.__doc__ or '').split()))}\n"
            fields = msgspec.structs.fields(owner)
            yield from _table(
                (f"`{owner.__name__}`", "type"), ((f"`{each.name}`", _kind(_plain(each.type))) for each in fields)
            )

    return parts


def _plain(kind: Any) -> str:
    """A type as text, without modules and limits."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", inspect.formatannotation(kind))


_PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "settings": settings,
    "options": options,
    "errors": errors,
    "warnings": warnings,
    "columns": columns,
    "colormaps": colormaps,
    "raised": raised,
    "Client": _api(Client),
    "Job": _api(Job),
    "Overlays": _api(Prediction),
    "Truth": _described(TruthRecord, PredictedClass),
    "Evaluation": _described(EvaluationRecord),
    "Summary": _described(
        JobSummary, ClassAccuracy, ClassHeat, Confusion, Calibration, CalibrationBin, Suspect, Cluster
    ),
    **{owner.__name__: _attributes(owner) for owner in (ImageResult, Prediction, JobStatus, WebhookStatus, WorkerInfo)},
}

if __name__ == "__main__":
    main()
