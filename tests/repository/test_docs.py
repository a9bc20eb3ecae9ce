"""The documentation tells the truth: every command, option, variable and Python name on its pages exists."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import click
import msgspec
import pytest

from docs.generate import REFERENCE, filled
from producer import Client, ImageResult, Job, Prediction
from producer.cli.main import cli
from shared.config import PREFIX, SECRET, Settings
from shared.contract import JobStatus, Options
from tests.support.deployment.pages import PAGES, ROOT, blocks, commands

VARIABLES = {PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)}
VARIABLES |= {f"{PREFIX}{name.upper()}_FILE" for name in SECRET}
#: Names that the snippets give to objects of ours.
KNOWN: dict[str, type] = {
    "client": Client,
    "job": Job,
    "image": ImageResult,
    "result": ImageResult,
    "best": Prediction,
    "prediction": Prediction,
    "status": JobStatus,
}
SNIPPETS = [block for page in PAGES for block in blocks(page, "python")]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_on_a_page_would_be_understood(page: Path) -> None:
    """Its options exist and take these values; one in a block has all its arguments. Files need not exist."""
    for arguments, complete in commands(page):
        if arguments and not arguments[0].startswith("-"):
            understand(arguments, complete=complete)


def understand(arguments: list[str], *, complete: bool) -> None:
    name, *rest = arguments
    assert name in cli.commands, f"there is no command camq {name}"
    command = cli.commands[name]
    context = click.Context(cli, info_name="camq", **cli.context_settings)
    context = click.Context(command, info_name=name, parent=context)
    while isinstance(command, click.Group):
        if not rest:
            assert not complete, f"camq {name} needs a command of its own"
            return
        name, *rest = rest
        assert name in command.commands, f"there is no command {context.command_path} {name}"
        command = command.commands[name]
        context = click.Context(command, info_name=name, parent=context)
    try:
        values, left, _ = command.make_parser(context).parse_args([word for word in rest if word != "…"])
        assert not left, f"camq {name} does not take {left}"
        for parameter in command.params:
            value = values.get(parameter.name or "")
            if value is None or parameter.value_is_missing(value):
                assert not (parameter.required and complete), f"camq {name} needs {parameter.name}"
            elif not isinstance(parameter.type, click.Path):
                parameter.type_cast_value(context, value)
    except click.UsageError as error:
        if complete or isinstance(error, click.NoSuchOption):
            raise AssertionError(f"camq {' '.join(arguments)}: {error.message}") from error


@pytest.mark.parametrize(
    "wrong", [["sbumit"], ["submit", "x", "--tpo-k", "3"], ["submit", "x", "--scale", "eahc"], ["show"]]
)
def test_a_wrong_command_is_noticed(wrong: list[str]) -> None:
    """The check itself is worth something."""
    with pytest.raises(AssertionError):
        understand(wrong, complete=True)


def test_commands_are_found_wherever_they_stand_in_a_line(tmp_path: Path) -> None:
    """Behind a path, after a pipe, inside a substitution, in running text."""
    page = tmp_path / "page.md"
    shell = '.venv/bin/camq up --workers 2   # ready\nJOB="$(camq submit a.png)"\nls | camq run - > x\n'
    page.write_text(f"```sh\n{shell}```\nRun `camq watch JOB`.")

    assert list(commands(page)) == [
        (["up", "--workers", "2"], True),
        (["submit", "a.png"], True),
        (["run", "-"], True),
        (["watch", "JOB"], False),
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_variable_on_a_page_exists(page: Path) -> None:
    """It is a setting, or one that the deployment's own files read."""
    deployment = "".join(path.read_text("utf-8") for path in (ROOT / "docker-compose.yml", ROOT / "Dockerfile"))
    named = set(re.findall(r"\bCAMQ_[A-Z0-9_]*[A-Z0-9]\b(?!_?\*)", page.read_text("utf-8")))

    assert [name for name in named - VARIABLES if not re.search(rf"\b{name}\b", deployment)] == []


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_every_python_snippet_names_what_exists(number: int) -> None:
    """It compiles, its imports are found, and what it asks of our objects is there, arguments included."""
    snippet = SNIPPETS[number]
    tree = ast.parse(snippet.text, name_of(snippet.page))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(module, alias.name):  # a module that nothing has imported yet
                    importlib.import_module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in KNOWN:
            owner = KNOWN[node.value.id]
            assert node.attr == "id" or hasattr(owner, node.attr), f"{owner.__name__} has no {node.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            check_arguments(node)


def check_arguments(call: ast.Call) -> None:
    assert isinstance(call.func, ast.Attribute)
    owner = KNOWN.get(call.func.value.id) if isinstance(call.func.value, ast.Name) else None
    if owner is None:
        return
    taken = set(inspect.signature(getattr(owner, call.func.attr)).parameters)
    if "options" in taken:
        taken |= {field.name for field in msgspec.structs.fields(Options)} | {"model", "priority", "job_id", "name"}
    assert {keyword.arg for keyword in call.keywords} <= taken, ast.unparse(call)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    """Between pages and into the code."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    dead = [t for t in targets if not t.startswith(("http://", "https://")) and not (page.parent / t).exists()]

    assert dead == []


@pytest.mark.parametrize("page", sorted(REFERENCE.glob("*.md")), ids=name_of)
def test_a_reference_page_is_what_the_code_says(page: Path) -> None:
    """After a change of a command, a setting or a result: `make reference`."""
    assert page.read_text("utf-8") == filled(page.read_text("utf-8")), "run `make reference`"


def test_every_file_that_the_architecture_page_names_exists() -> None:
    """A picture's way is followed from file to file."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:shared|producer|worker|tests)/[\w./]+)`", page))

    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()
