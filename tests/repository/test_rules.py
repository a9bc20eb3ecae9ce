"""The repository checks its own rules: what imports load, how long a file may be, what is documented."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for room in ("shared", "producer", "worker", "tests", "bench", "deploy")
    for path in (ROOT / room).rglob("*.py")
)
MAX_LINES = 300


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("producer", ("torch", "torchvision", "numpy", "celery")),
        ("producer.cli.main", ("torch", "torchvision", "numpy", "celery", "opentelemetry")),
        ("shared.ledger", ("structlog", "celery", "minio")),
        ("producer.cli", ("jinja2", "starlette", "uvicorn", "PIL", "cmap")),
        pytest.param(  # loads torch
            "worker.core.engine.engine", ("celery", "redis", "minio", "opentelemetry"), marks=pytest.mark.slow
        ),
        ("worker.chunk.traces", ("torch", "shared.tracing.otel")),
        ("worker.chunk.pipeline, worker.observe.metrics", ("torch",)),  # many quick tests import them
        ("shared.contract", ("torch", "numpy", "celery", "redis", "minio")),
    ],
)
def test_an_import_in_a_fresh_interpreter_loads_nothing_heavy(module: str, forbidden: tuple[str, ...]) -> None:
    """The producer starts instantly because torch is never behind it; the core stays pure."""
    code = f"import sys, {module}; print(*[m for m in {forbidden!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert found.stdout.split() == []


def test_no_file_outgrows_one_reader() -> None:
    """A file over the limit has more than one reason to change."""
    lines = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in SOURCES}

    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_every_import_is_a_declared_dependency() -> None:
    """A package that only another one brings, or only the development environment, is missing for a user one day."""
    pytest.importorskip("deptry", reason="needs PyPI's deptry")
    checked = subprocess.run(
        [sys.executable, "-m", "deptry", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr


def test_no_module_shadows_a_library() -> None:
    """A module named like a library of ours would be imported in its place."""
    assert not {path.stem for path in SOURCES} & {"celery", "queue", "redis", "minio"} - {"redis"}


def test_every_test_states_a_behaviour() -> None:
    """The docstring of a test is its specification."""
    silent = [
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "tests")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert not silent


def test_tests_share_helper_modules_and_ask_for_no_private_name() -> None:
    """A helper in a test's file is found by nobody, and a test of a private name ends with the next change inside."""
    found = []
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text("utf-8")
        found += re.findall(r"^from tests\S*\.test_\w+ import .*", text, re.MULTILINE)
        found += re.findall(r"^from (?:producer|shared|worker)\S* import .*\b_[a-z]\w*.*", text, re.MULTILINE)

    assert found == []


def test_the_suite_runs_every_folder_of_tests() -> None:
    """The Makefile lists the folders in the order in which they run, so it could miss a new one."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    listed = re.search(r"^SUITE := \$\(addprefix tests/,([\w ]+)\)$", makefile, re.MULTILINE)
    tests = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")]

    assert listed
    assert set(listed[1].split()) == {path.parts[0] for path in tests}


def test_every_picture_is_opened_with_a_list_of_formats() -> None:
    """Pillow by itself would hand EPS to Ghostscript and WMF to the system, whatever a file is called."""
    calls = [
        (path, node)
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] in {"shared", "producer", "worker"}
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
    ]
    bare = [f"{p.relative_to(ROOT)}:{n.lineno}" for p, n in calls if "formats" not in {k.arg for k in n.keywords}]

    assert len(calls) > 4
    assert not bare


def test_percents_are_written_one_way() -> None:
    """As 66.7%: in what people read, no space stands before the sign."""
    written = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    written += [path for kind in ("html", "js") for path in (ROOT / "producer").rglob(f"*.{kind}")]

    assert [
        str(path) for path in written if re.search(r"(\d|\$\{\w+\})( |&nbsp;)%(?!})", path.read_text("utf-8"))
    ] == []
