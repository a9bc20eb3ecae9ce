"""docs/operations.md and docs/reliability.md name nothing that does not exist."""

import re
from pathlib import Path

import pytest

from shared.config import PREFIX, Settings
from tests.support.deployment.dashboards import QUERIES, RULES
from tests.support.deployment.metric_names import named

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text()
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()
DECISION = (ROOT / "docs/decisions/0003-one-process-per-model.md").read_text()
#: Of the compose file's `.env` and of the build, not of camq.
FOREIGN = {"CAMQ_PUBLISH", "CAMQ_TAG"}


@pytest.mark.parametrize("text", [TEXT, DECISION], ids=["operations", "decision"])
def test_every_variable_is_a_setting(text: str) -> None:
    """A renamed setting is renamed here as well."""
    names = set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b(?!\*)", text)) - FOREIGN - {"CAMQ_S3"}
    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.__struct_fields__)


def test_every_metric_and_alert_exists() -> None:
    """Those of the dashboard and the rules, which are checked against the code, and the autoscaler's."""
    known = {name for query in [*QUERIES, *(rule["expr"] for rule in RULES)] for name in named(query)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known} | {"camq_backlog_worker_seconds"}
    assert named(TEXT.replace("camq_up", "")) <= families | known
    alerts = set(re.findall(r"`(Camq\w+)`", TEXT))
    assert alerts <= {rule["alert"] for rule in RULES}


def test_every_file_and_module_named_exists() -> None:
    """Paths in backticks, links, and `python -m` programs."""
    paths = re.findall(r"`((?:deploy|tests|docs|bench)/[\w./]+)`", TEXT) + [
        f"docs/{link}" for link in re.findall(r"\]\(([\w./-]+\.md)\)", TEXT)
    ]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for module in re.findall(r"python -m ([\w.]+)", TEXT):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@pytest.mark.parametrize("text", [TEXT, RELIABILITY], ids=["operations", "reliability"])
def test_every_promise_names_a_test_that_exists(text: str) -> None:
    """Each row of a table with the column `held by`, and whatever else a page names; a renamed test is noticed."""
    tests = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    tables = re.findall(r"^\|.*\| held by \|\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row.strip("| \n").rpartition("|")[2] for table in tables for row in table.splitlines()]

    assert rows
    assert [row for row in rows if not re.search(r"`test_\w+`", row)] == []
    assert set(re.findall(r"`(test_\w+)`", text)) - tests == set()


def test_nothing_was_left_to_fill_in() -> None:
    """Measured numbers stand where they belong."""
    assert "@@" not in TEXT
