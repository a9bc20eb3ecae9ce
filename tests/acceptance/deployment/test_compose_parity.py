"""What docker-compose.yml names runs: as local processes, since there is no Docker engine here.

The tests share one set of processes and run in the order in which they stand.
"""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from PIL import Image

from producer import Client
from producer.local.embedded import Stack
from producer.local.embedded.stack import free_ports
from shared.config import Settings
from tests.acceptance.deployment.composed import PORTS, Composed
from tests.support.deployment.composefile import ROOT
from tests.support.deployment.dashboards import PANELS, RULES
from tests.support.servers.collector import Collector, collecting
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(180)]

PROMETHEUS = shutil.which("prometheus")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Takes the traces."""
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def composed(stack: Stack, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """All of our services, started together as `docker compose --profile … up` would."""
    with redis.Redis.from_url(stack.settings.redis_url) as client:
        client.flushall()
    running = Composed(stack.settings, tmp_path_factory.mktemp("composed"), collector.endpoint)
    try:
        for name in PORTS:
            running.start(name)
        yield running
    finally:
        running.kill()


@pytest.mark.parametrize("name", PORTS)
def test_a_service_becomes_healthy(composed: Composed, name: str) -> None:
    """By its own health check, started with its own command and environment."""
    wait_until(lambda: composed.healthy(name), f"{name} is healthy", timeout_s=150)


def test_a_job_goes_through(composed: Composed, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitted by a user who loaded `.env`, done by the compose file's worker; the log is JSON."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", composed.env["OTEL_EXPORTER_OTLP_ENDPOINT"])
    with Client(settings) as client:
        job = client.submit([Image.new("RGB", (64, 48), (n * 40, 90, 30)) for n in range(5)] + [b"no picture"])
        status = job.wait(timeout=60)
    assert (status.succeeded, status.failed) == (5, 1)
    line = wait_until(lambda: logged(composed, "chunk committed"), "the worker logs its commit")
    assert {"job", "chunk", "attempt", "worker", "trace", "timestamp", "level"} <= line.keys()
    assert line["job"] == job.id


def test_flower_and_the_live_page_answer_who_may_ask(composed: Composed) -> None:
    """Flower shows the worker to who has the password; the live page lets in by the link in its log alone."""
    user = f"camq:{composed.env['FLOWER_PASSWORD']}"
    wait_until(lambda: "camq-" in composed.get("flower", "/workers", user)[1], "Flower lists the worker", 30)
    assert composed.get("flower", "/workers")[0] == 401
    assert composed.get("ui", "/")[0] == 401
    link = next(line for line in composed.log("ui").splitlines() if "token=" in line)
    assert f":{composed.ports['ui']}/?token=" in link


@pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus here (Debian package prometheus)")
def test_prometheus_scrapes_and_every_query_of_the_dashboard_has_series(composed: Composed, tmp_path: Path) -> None:
    """The compose file's own configuration; only addresses and the interval differ."""
    port = next(free_ports())
    config = tmp_path / "prometheus.yml"
    config.write_text(local_config(composed))
    shutil.copy(ROOT / "deploy/prometheus/alerts.yml", tmp_path)
    command = [str(PROMETHEUS), f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        wait_until(lambda: healthy_targets(port) == {"camq-worker", "camq-exporter"}, "both are scraped", 30)
        asked = {
            target["expr"].replace("$model", ".*"): panel["title"]
            for panel in PANELS
            for target in panel.get("targets", [])
        }
        for query, title in asked.items():
            wait_until(lambda query=query: ask(port, query), f"{title}: {query}", timeout_s=20)
        rules = wait_until(lambda: evaluated(port), "the alerts were evaluated")
        assert rules == {rule["alert"]: "ok" for rule in RULES}
    finally:
        process.terminate()
        process.wait(20)


def test_everything_stops_within_its_grace_period(composed: Composed) -> None:
    """SIGTERM is enough; nothing has to be killed, and the worker signs off."""
    statuses = composed.stop()
    assert statuses == dict.fromkeys(statuses, 0), [composed.log(name)[-800:] for name in statuses]


@pytest.mark.parametrize("name", ["worker", "exporter", "flower", "ui"])
def test_every_line_of_the_log_is_json(composed: Composed, name: str) -> None:
    """From the start to the last word; for machines, as CAMQ_LOG_FORMAT of the compose file asks."""
    lines = composed.log(name).splitlines()
    assert lines
    for line in lines:
        assert isinstance(json.loads(line), dict), line


def test_the_job_was_traced_from_submit_to_commit(composed: Composed, collector: Collector) -> None:
    """By the user's process and by the worker, which sent the last of it when it stopped."""
    [submit], [chunk] = collector.named("submit"), collector.named("chunk")
    stages = {span.name for span in collector.spans if span.parent == chunk.span}
    assert (submit.service, chunk.service) == ("camq", "camq-worker")
    assert chunk.parent == submit.span
    assert stages == {"download", "decode", "wait", "render", "encode", "upload", "commit"}
    assert {span.trace for span in collector.spans} == {submit.trace}
    assert (chunk.attributes["camq.images"], chunk.attributes["camq.failed"]) == (6, 1)
    assert submit.trace in composed.log("worker")


def logged(composed: Composed, event: str) -> dict[str, Any]:
    """The worker's last line about this event."""
    lines = [json.loads(line) for line in composed.log("worker").splitlines() if line.startswith("{")]
    return next((line for line in reversed(lines) if line["event"] == event), {})


def local_config(composed: Composed) -> str:
    """There is no Docker to ask for the worker's addresses, so the one there is is named."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        name = job["job_name"].removeprefix("camq-")
        job["static_configs"] = [{"targets": [f"127.0.0.1:{composed.ports[name]}"]}]
    return yaml.safe_dump(config)


def api(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)["data"]


def healthy_targets(port: int) -> set[str]:
    try:
        targets = api(port, "targets")["activeTargets"]
    except OSError:
        return set()
    return {target["labels"]["job"] for target in targets if target["health"] == "up"}


def ask(port: int, query: str) -> list[Any]:
    found: list[Any] = api(port, f"query?{urllib.parse.urlencode({'query': query})}")["result"]
    return found


def evaluated(port: int) -> dict[str, str]:
    """The health of each alert, once none is unknown any more."""
    rules = [rule for group in api(port, "rules")["groups"] for rule in group["rules"]]
    found = {rule["name"]: rule["health"] for rule in rules}
    return {} if "unknown" in found.values() else found
