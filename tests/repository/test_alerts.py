"""The alert rules, played through by Prometheus' own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
SCENARIOS = ROOT / "tests" / "data" / "alerts.test.yml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool here (Debian package prometheus)")


def alerts() -> list[dict[str, object]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    """Whoever is woken up reads the description first."""
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")  # type: ignore[index]
        assert rule["annotations"].keys() == {"summary", "description"}  # type: ignore[attr-defined]


def test_every_alert_has_a_scenario() -> None:
    """An alert that was never seen firing may never fire."""
    text = SCENARIOS.read_text()
    assert [rule["alert"] for rule in alerts() if f'alertname="{rule["alert"]}"' not in text] == []


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """A healthy hour is silent; each scenario fires its own alert and no other."""
    for path in (RULES, SCENARIOS):
        shutil.copy(path, tmp_path)
    played = subprocess.run(
        [str(PROMTOOL), "test", "rules", SCENARIOS.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert played.returncode == 0, played.stdout + played.stderr


@needs_promtool
def test_the_configuration_is_valid() -> None:
    """Of the Prometheus in the compose file, rules included."""
    config = ROOT / "deploy" / "prometheus" / "prometheus.yml"
    checked = subprocess.run([str(PROMTOOL), "check", "config", str(config)], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
