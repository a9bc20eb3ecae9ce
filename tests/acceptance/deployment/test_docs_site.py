"""The documentation site."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.cli.leaves import LEAVES
from tests.support.deployment.pages import ROOT


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_site_builds_without_a_warning_and_has_what_the_code_has(tmp_path: Path) -> None:
    """Links between pages hold, and the reference lists every command."""
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "-d", tmp_path / "cache", ROOT / "docs", tmp_path],
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "reference" / "commands.html").read_text("utf-8")
    assert [name for name in LEAVES if f'id="camq-{name.replace(" ", "-")}"' not in reference] == []
    assert "CAMQ_REDIS_URL" in (tmp_path / "reference" / "settings.html").read_text("utf-8")
    assert "{{" not in reference
