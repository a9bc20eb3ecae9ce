"""The Grafana dashboard, as far as can be told without Grafana; its queries are also run on a real Prometheus."""

from itertools import combinations
from typing import Any

import pytest
import redis
import yaml

from shared.broker import Sender
from shared.config import Settings
from shared.contract import ModelCard
from shared.ledger import RedisLedger
from tests.support.deployment.dashboards import DASHBOARD, GRAFANA, PANELS, QUERIES, RULES
from tests.support.deployment.metric_names import exposed, named
from worker.observe.exporter import Fleet
from worker.observe.metrics import Metrics, Usage
from worker.timing.measurements import Measurements


@pytest.fixture
def existing(settings: Settings, empty_redis: redis.Redis) -> set[str]:
    """Every series that a worker and the exporter expose."""
    metrics = Metrics(Measurements())
    metrics.build.info({"version": "1"})
    metrics.model.info({"model": "m"})
    metrics.watch("camq_chunks_in_flight", "Chunks.", lambda: 0)
    metrics.watch("camq_worker_ready", "Ready.", lambda: 1)
    metrics.watch_device(lambda: Usage(total=1, used=1, process=1, busy=0.1))
    ledger, sender = RedisLedger(settings), Sender(settings)
    try:
        ledger.publish(ModelCard(model="m@0", labels=("a",), input_size=8, methods=("cam",)))
        fleet = Fleet(ledger, sender, worker_rate=1)
        return exposed(metrics.registry) | {sample.name for family in fleet.collect() for sample in family.samples}
    finally:
        sender.close()
        ledger.close()


@pytest.mark.servers
def test_every_metric_that_is_asked_for_exists(existing: set[str]) -> None:
    """By the dashboard and by the alerts; a renamed metric would leave an empty panel and a silent alert."""
    wanted = {name for query in [*QUERIES, *(rule["expr"] for rule in RULES)] for name in named(query)}
    assert len(wanted) > 20
    assert wanted <= existing


@pytest.mark.servers
def test_no_metric_of_ours_is_left_out(existing: set[str]) -> None:
    """What nobody looks at need not be counted."""
    shown = {name for query in [*QUERIES, *(rule["expr"] for rule in RULES)] for name in named(query)}
    ours = {name for name in existing if name.startswith("camq_")}
    families = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in ours - shown}
    shown_families = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in shown}
    assert families - shown_families == {"camq_backlog_worker_seconds"}  # the autoscaler's


def test_panels_have_a_title_a_place_of_their_own_and_a_query() -> None:
    """Twenty-four columns, nothing on top of anything else."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["title"]
        assert panel["type"] == "row" or panel["targets"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    assert not [(a["title"], b["title"]) for a, b in combinations(PANELS, 2) if overlap(a["gridPos"], b["gridPos"])]


def test_the_dashboard_uses_the_provisioned_data_source() -> None:
    """By its uid, so that no click is needed after the start."""
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    used = {panel["datasource"]["uid"] for panel in PANELS if panel["type"] != "row"}
    assert used == {source["uid"]}
    [variable] = DASHBOARD["templating"]["list"]
    assert variable["datasource"]["uid"] == source["uid"]
    assert any(f"${variable['name']}" in query for query in QUERIES)


def overlap(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return bool(
        a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    )
