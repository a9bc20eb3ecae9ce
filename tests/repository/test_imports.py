"""Which room may import which. docs/architecture.md has the same table."""

import ast
import re
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "producer", "worker")
#: A room is a package, or one module, that has a row; packages inside it without a row belong to it. A room may import
#: itself and the rooms of its row; producer and worker may also import everything in shared.
ROOMS = {
    "shared": "",
    "shared.broker": "shared shared.contract shared.ledger",
    "shared.celery_app": "shared shared.broker",
    "shared.checks": "shared shared.contract shared.storage",
    "shared.contract": "shared",
    "shared.ledger": "shared shared.checks shared.contract shared.storage",
    "shared.processes": "shared",
    "shared.storage": "shared shared.contract",
    "shared.tokens": "shared shared.contract shared.ledger",
    "shared.tracing": "shared",
    "producer": "",
    "producer.__init__": "producer.api",
    "producer.__main__": "producer.cli",
    "producer.api": "producer producer.inputs producer.results producer.submission producer.web",
    "producer.cli": (
        "producer producer.inputs producer.local producer.local.embedded producer.results producer.retention "
        "producer.submission producer.web producer.web.http producer.web.live"
    ),
    "producer.inputs": "",
    "producer.local": "producer producer.inputs producer.local.embedded",
    "producer.local.embedded": "",
    "producer.results": "producer",
    "producer.retention": "producer",
    "producer.submission": "producer producer.inputs",
    "producer.web": "producer producer.results producer.web.kit",
    "producer.web.http": (
        "producer producer.inputs producer.results producer.retention producer.submission producer.web.kit "
        "producer.web.live"
    ),
    "producer.web.kit": "producer",
    "producer.web.live": "producer producer.inputs producer.results producer.submission producer.web.kit",
    "worker": "",
    "worker.__main__": (
        "worker.app worker.check worker.chunk worker.core worker.core.model worker.devices worker.models "
        "worker.observe worker.pictures"
    ),
    "worker.app": (
        "worker.chunk worker.core.model worker.devices worker.image worker.observe worker.timing worker.upkeep"
    ),
    "worker.check": "worker.core.engine worker.devices worker.image worker.models",
    "worker.chunk": "worker.errors worker.image worker.timing",
    "worker.core": "",
    "worker.core.checkpoint": "worker.core",
    "worker.core.engine": "worker.core worker.core.maps worker.core.model",
    "worker.core.drawing": "worker.core",
    "worker.core.faithfulness": "worker.core worker.core.drawing",
    "worker.core.maps": "worker.core worker.core.model",
    "worker.core.model": "worker.core worker.core.checkpoint worker.core.sources",
    "worker.core.picture": "worker.core",
    "worker.core.sources": "worker.core",
    "worker.devices": "worker.timing",
    "worker.errors": "",
    "worker.image": (
        "worker.core worker.core.engine worker.core.faithfulness worker.core.model worker.devices worker.errors "
        "worker.models worker.pictures worker.timing"
    ),
    "worker.models": "worker.core.checkpoint worker.core.model worker.core.sources",
    "worker.observe": "worker.chunk worker.devices worker.image worker.timing worker.upkeep",
    "worker.pictures": "worker.core worker.core.drawing worker.core.picture worker.errors worker.timing",
    "worker.timing": "",
    "worker.upkeep": "worker.chunk worker.core.model worker.devices worker.timing",
}
#: Programs that a room of another package starts by name, as processes of their own: no import, but an arrow as well.
STARTS = {
    "producer.local": {"worker"},
    "producer.web.kit": {"worker.pictures.preview"},
}
#: "About twelve": beyond that, a folder no longer shows at a glance what it holds.
MAX_MODULES = 13
#: One thing seen from two rooms: a command and what it runs, a page and its part.
SAME = {"doctor", "failures", "report", "submit", "summary"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def modules() -> dict[str, Path]:
    """Every module by its dotted name, packages as `package.__init__`."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


MODULES = modules()


def imports_of(module: str, *, types: bool = True) -> set[str]:
    """Our modules that `module` imports anywhere in its text, also inside functions; without `types` only those that it
    imports when it runs."""
    named: set[str] = set()
    left: list[ast.AST] = [parsed(MODULES[module])]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            named |= {name if found(name) else node.module for name in names}
        if types or not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            left += ast.iter_child_nodes(node)
    return {module for name in named if (module := found(name))}


def found(name: str) -> str | None:
    return name if name in MODULES else f"{name}.__init__" if f"{name}.__init__" in MODULES else None


@cache
def imports() -> dict[str, set[str]]:
    """Of every module."""
    return {module: imports_of(module) for module in MODULES}


def started_by(module: str) -> set[str]:
    """Our modules that `module` starts as `python -m`, wherever the words stand next to each other in its text."""
    lists = (node.elts for node in ast.walk(parsed(MODULES[module])) if isinstance(node, ast.List))
    words = [[word.value if isinstance(word, ast.Constant) else None for word in line] for line in lists]
    return {name for line in words for flag, name in pairwise(line) if flag == "-m" and found(str(name))}


def room_of(name: str) -> str:
    return name if name in ROOMS else room_of(name.rpartition(".")[0])


def test_every_row_is_a_room() -> None:
    """A row goes with its room."""
    assert set(ROOMS) - {room_of(module) for module in MODULES} == set()


def test_a_room_imports_only_the_rooms_of_its_row() -> None:
    """Also inside functions and for types."""
    strays = {
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if room_of(other) not in {room_of(module), *ROOMS[room_of(module)].split()}
        and (module.startswith("shared") or not other.startswith("shared."))
    }

    assert strays == set()


def test_a_package_starts_only_the_programs_of_its_row() -> None:
    """And the architecture page names each of them."""
    starts: dict[str, set[str]] = {}
    for module in MODULES:
        for name in started_by(module):
            if name.partition(".")[0] != module.partition(".")[0]:
                starts.setdefault(room_of(module), set()).add(name)
    page = " ".join((ROOT / "docs" / "architecture.md").read_text("utf-8").split())

    assert starts == STARTS
    assert set(re.findall(r"`([\w.]+)` starts `([\w.]+)`", page)) == {
        (room, name) for room, names in STARTS.items() for name in names
    }


def test_the_core_knows_the_contract_alone() -> None:
    """Of what both sides share it imports words and errors: no settings, keys or services."""
    shared = {
        other
        for module, others in imports().items()
        for other in others
        if module.startswith("worker.core.") and other.startswith("shared.")
    }

    assert shared <= {"shared.contract.__init__", "shared.errors", "shared.colormaps", "shared.pictures"}


def test_nothing_imports_in_a_circle() -> None:
    """Neither rooms nor, when they run, modules. CycleError names the circle."""
    TopologicalSorter({room: row.split() for room, row in ROOMS.items()}).prepare()
    TopologicalSorter({module: imports_of(module, types=False) for module in MODULES}).prepare()


def test_the_architecture_page_has_the_same_table() -> None:
    """It is what a reader sees first."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \|([`\w., ]*)\|$", page.partition("## Who may import whom")[2], re.MULTILINE)

    assert {room: set(re.findall(r"`([\w.]+)`", row)) for room, row in rows} == {
        room: set(row.split()) for room, row in ROOMS.items()
    }


def test_a_folder_shows_at_a_glance_what_it_holds() -> None:
    """At most about twelve modules."""
    folders = Counter(str(path.parent.relative_to(ROOT)) for path in MODULES.values() if path.stem != "__init__")

    assert {name: n for name, n in folders.items() if n > MAX_MODULES} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_is_given_once(package: str) -> None:
    """A module is found by its name alone."""
    stems = Counter(path.stem for module, path in MODULES.items() if module.startswith(f"{package}."))

    assert {stem for stem, n in stems.items() if n > 1} - {"__init__", "__main__"} - SAME == set()


@pytest.mark.parametrize("module", [name for name in MODULES if name.endswith(".__init__")])
def test_a_package_says_what_it_is_for(module: str) -> None:
    """In a docstring whose first line is a sentence of its own."""
    text = ast.get_docstring(parsed(MODULES[module])) or ""

    assert text.partition("\n")[0].endswith(".")
