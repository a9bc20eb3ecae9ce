"""The compose files: valid, and saying what the documentation says.

No Docker engine runs here, so the containers are not started; what can be tried without one is, here and in
tests/acceptance/deployment/test_compose_parity.py.
"""

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis
import yaml

from producer.local.embedded import Spec, Supervisor
from producer.local.embedded.redis import find_server
from producer.local.embedded.stack import free_ports
from shared.config import Settings
from tests.support.deployment.composefile import BASE, GPU, ROOT, fresh_env, interpolated, load
from tests.support.waiting import wait_until
from worker.upkeep.webhooks import signer

#: Services that run our image.
OURS = {"worker", "ui", "gc", "exporter", "flower"}
#: Those of them that read or write pictures.
STORING = {"worker", "ui", "gc"}


@pytest.fixture
def env() -> dict[str, str]:
    """The variables of a fresh `.env`."""
    return fresh_env()


@pytest.fixture
def services(env: dict[str, str]) -> dict[str, Any]:
    """The services of the base file as compose would see them."""
    found: dict[str, Any] = load(BASE, env)["services"]
    return found


@pytest.mark.parametrize("path", [BASE, GPU], ids=lambda path: path.name)
def test_a_compose_file_is_valid(path: Path) -> None:
    """Against the published schema of the Compose specification, as a package ships it."""
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(load(path), schema)
    misspelt = load(path)
    misspelt["services"]["worker"]["restrat"] = "always"
    with pytest.raises(jsonschema.ValidationError, match="restrat"):
        jsonschema.validate(misspelt, schema)
    assert "!reset" not in path.read_text()
    assert "!override" not in path.read_text()


def test_the_overlay_changes_only_services_that_exist() -> None:
    """A misspelt service in the overlay would be a new one without an image."""
    assert load(GPU)["services"].keys() <= load(BASE)["services"].keys()


def test_every_volume_that_is_mounted_is_declared(services: dict[str, Any]) -> None:
    """And every one declared is mounted; host paths exist in the repository, except the user's own weights."""
    mounts = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    named = {mount for mount in mounts if not mount.startswith(".")}
    assert named == load(BASE)["volumes"].keys()
    assert all((ROOT / mount).is_dir() for mount in mounts if mount.startswith("./deploy"))


def test_what_lies_on_the_host_is_read_only_in_a_container(services: dict[str, Any]) -> None:
    """A worker reads strangers' weights from there, and nothing of the host is written over."""
    shared = [mount for service in services.values() for mount in service.get("volumes", []) if mount[0] in "./"]
    assert len(shared) == 4
    assert [mount for mount in shared if not mount.endswith(":ro")] == []


def test_without_its_env_file_compose_refuses_to_start(env: dict[str, str]) -> None:
    """No service ever runs with an empty or a well-known password; every secret of `.env` is used."""
    text = BASE.read_text()
    for name in env.keys() - {"CAMQ_REDIS_URL", "CAMQ_S3_ENDPOINT", "CAMQ_WEBHOOK_SECRET"}:
        uses = re.findall(rf"\$\{{{name}[^}}]*\}}", text)
        assert uses, name
        assert all(":?" in use for use in uses)
    with pytest.raises(KeyError, match="run make compose-env"):
        interpolated(text, {})


def test_every_published_port_is_on_loopback(services: dict[str, Any]) -> None:
    """Unless the user asks for more with CAMQ_PUBLISH."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports)) == 7
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_only_what_everybody_needs_starts_without_a_profile(services: dict[str, Any]) -> None:
    """Monitoring, Flower and MinIO are asked for; nothing depends on what may not be there."""
    plain = {name for name, service in services.items() if "profiles" not in service}
    assert plain == {"redis", "s3", "worker", "ui", "gc"}
    for service in services.values():
        for need in service.get("depends_on", {}):
            assert set(services[need].get("profiles", [])) <= set(service.get("profiles", []))


def test_every_service_restarts_is_checked_and_is_limited(services: dict[str, Any]) -> None:
    """A service without a limit on its memory takes that of its neighbours."""
    for name, service in services.items():
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["deploy"]["resources"]["limits"]["pids"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        conditions = {need["condition"] for need in service.get("depends_on", {}).values()}
        assert conditions <= {"service_healthy"}, name


def test_no_service_may_do_what_it_need_not(services: dict[str, Any]) -> None:
    """A read-only root, no capabilities, no way to gain any; two entry points begin as root to give a volume away."""
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["tmpfs"] == ["/tmp"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "user" not in service, name
    assert {name for name, service in services.items() if "cap_add" in service} == {"redis", "s3"}
    assert {services[name]["image"] for name in OURS} == {"camq:dev"}


def test_a_service_reaches_only_the_servers_it_uses(services: dict[str, Any]) -> None:
    """Only those that read or write pictures share a network with the storage, and have its keys."""
    members = {
        network: {name for name, service in services.items() if network in service["networks"]}
        for network in load(BASE)["networks"]
    }
    assert members == {
        "queue": {"redis", *OURS},
        "storage": {"s3", "minio", *STORING},
        "metrics": {"worker", "exporter", "prometheus", "grafana"},
    }
    holders = {name for name in OURS if any("S3" in variable for variable in services[name]["environment"])}
    assert holders == STORING


def test_storage_answers_others_only_where_it_asks_for_a_key(services: dict[str, Any]) -> None:
    """SeaweedFS' master, volume server and filer ask nobody; they listen on loopback."""
    options = dict(part.lstrip("-").partition("=")[::2] for part in services["s3"]["command"])
    assert (options["ip"], options["ip.bind"], options["s3.ip.bind"]) == ("127.0.0.1", "127.0.0.1", "0.0.0.0")
    assert not {"webdav", "iam", "mq.broker", "sftp"} & options.keys()
    assert services["minio"]["environment"]["MINIO_BROWSER"] == "off"


def test_an_upload_is_spooled_to_a_disk(services: dict[str, Any]) -> None:
    """The live page takes more bytes at once than its memory limit leaves, and /tmp is memory."""
    page = services["ui"]
    folder = page["environment"]["TMPDIR"]
    [volume] = page["volumes"]
    assert volume == f"uploads:{folder}"
    assert folder not in page["tmpfs"]
    owned = (ROOT / "Dockerfile").read_text().partition("install -d -o camq -g camq ")[2].partition("\n")[0]
    assert folder in owned.split()


def test_the_worker_can_be_scaled_and_stopped_gently(services: dict[str, Any]) -> None:
    """Nothing in it can exist only once; the grace period is longer than its own, and its health is readiness."""
    worker = services["worker"]
    settings = Settings.load(worker["environment"])
    assert not {"container_name", "ports", "hostname"} & worker.keys()
    assert worker["init"] is True
    assert _seconds(worker["stop_grace_period"]) > settings.drain_s + 10
    assert worker["healthcheck"]["test"][-1] == f"http://127.0.0.1:{settings.http_port}/ready"


def test_the_services_and_their_user_find_the_same_servers(services: dict[str, Any], env: dict[str, str]) -> None:
    """Their variables are settings that exist; `.env` leads to the same servers by their loopback ports."""
    user = Settings.load(env)
    fields = set(Settings.__struct_fields__)
    for name in OURS:
        inside = services[name]["environment"]
        ours = {variable for variable in inside if variable.startswith("CAMQ_")}
        assert {variable.removeprefix("CAMQ_").lower() for variable in ours} <= fields
        found = Settings.load(inside)
        assert found.redis_url == f"redis://:{env['REDIS_PASSWORD']}@redis:6379/0"
        if name not in STORING:
            continue
        assert found.s3_endpoint == "s3:8333"
        assert (found.s3_access_key, found.s3_secret_key) == (user.s3_access_key, user.s3_secret_key)
        assert (found.bucket, found.s3_region, found.s3_secure) == (user.bucket, user.s3_region, user.s3_secure)
    assert user.redis_url == f"redis://:{env['REDIS_PASSWORD']}@127.0.0.1:6379/0"
    storage = services["s3"]["environment"]
    assert storage["AWS_ACCESS_KEY_ID"] == services["minio"]["environment"]["MINIO_ROOT_USER"] == user.s3_access_key
    assert storage["AWS_SECRET_ACCESS_KEY"] == services["minio"]["environment"]["MINIO_ROOT_PASSWORD"]


def test_only_workers_know_what_signs_webhooks(services: dict[str, Any], env: dict[str, str]) -> None:
    """A fresh `.env` holds a secret that signs; with one from before webhooks everything else still runs."""
    holders = {name for name in OURS if "CAMQ_WEBHOOK_SECRET" in services[name]["environment"]}
    assert holders == {"worker"}
    assert signer(Settings.load(services["worker"]["environment"]).webhook_secret) is not None
    del env["CAMQ_WEBHOOK_SECRET"]
    assert Settings.load(load(BASE, env)["services"]["worker"]["environment"]).webhook_secret == ""


def test_the_hosts_of_webhooks_reach_the_workers(env: dict[str, str]) -> None:
    """None unless the operator names them."""
    for hosts in ("", "hooks.example.com 10.0.0.7:8000"):
        worker = load(BASE, env | {"CAMQ_WEBHOOK_HOSTS": hosts})["services"]["worker"]
        assert Settings.load(worker["environment"]).webhook_hosts == hosts


def test_another_storage_is_one_variable(env: dict[str, str]) -> None:
    """MinIO's service, or a server elsewhere."""
    services = load(BASE, env | {"S3_SERVER": "minio:9000"})["services"]
    assert {services[name]["environment"]["CAMQ_S3_ENDPOINT"] for name in STORING} == {"minio:9000"}


def test_the_gpu_overlay_gives_each_replica_a_gpu_of_its_own() -> None:
    """All GPUs are visible, because compose cannot choose; slots on a shared volume decide."""
    overlay = load(GPU, {})
    worker = overlay["services"]["worker"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    settings = Settings.load(worker["environment"])
    assert (settings.device, settings.slots_dir, settings.slots_per_gpu) == ("cuda", "/slots", 1)
    assert worker["volumes"] == ["slots:/slots"]
    assert overlay["volumes"].keys() == {"slots"}


def test_prometheus_scrapes_the_services_there_are(services: dict[str, Any]) -> None:
    """By service name and port; the dashboard's data source is that Prometheus."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    [discovery] = jobs["camq-worker"]["dns_sd_configs"]
    assert discovery["names"] == ["worker"]
    assert str(discovery["port"]) == services["worker"]["environment"]["CAMQ_HTTP_PORT"]
    port = services["exporter"]["environment"]["CAMQ_HTTP_PORT"]
    assert jobs["camq-exporter"]["static_configs"] == [{"targets": [f"exporter:{port}"]}]
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


@pytest.mark.servers
def test_a_real_server_takes_the_redis_config(tmp_path: Path, env: dict[str, str]) -> None:
    """By the container's own command and variables: password, append-only file, a limit, nothing evicted.

    The variables hold all that can be changed in `.env`, so compose makes a new container when it is.
    """
    service = load(BASE, env | {"REDIS_MEMORY": "700mb"})["services"]["redis"]
    port = next(free_ports())
    entry = tmp_path / "docker-entrypoint.sh"
    entry.write_text(f'#!/bin/sh\nshift\nexec "{find_server()}" "$@" --port {port} --bind 127.0.0.1\n')
    entry.chmod(0o755)
    argv = [part.replace("$$", "$") for part in service["entrypoint"]]
    own = {name: value.replace("dir /data", "dir ./") for name, value in service["environment"].items()}
    own["PATH"] = f"{tmp_path}:{os.defpath}"
    client = redis.Redis(port=port, password=env["REDIS_PASSWORD"])
    with Supervisor() as supervisor, client:
        supervisor.start(Spec(name="redis", argv=argv, env=own, cwd=tmp_path, log=tmp_path / "log"))
        wait_until(lambda: _pings(client), "the server answers")
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
        wanted["maxmemory"] = str(700 * 2**20)
        assert client.config_get(*wanted) == wanted


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
