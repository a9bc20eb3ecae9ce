"""The shipped dashboard, its queries, and the alerts."""

import json
from pathlib import Path

import yaml

GRAFANA = Path(__file__).parents[3] / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "camq.json").read_text())
ALERTS = yaml.safe_load((GRAFANA.parent / "prometheus" / "alerts.yml").read_text())
PANELS = DASHBOARD["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
