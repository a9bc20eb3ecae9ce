"""The Kubernetes manifests: valid, and in step with the code. Nothing is run on a cluster."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.config import Settings
from tests.support.deployment.metric_names import named
from worker.upkeep.webhooks import signer

FOLDER = Path(__file__).parents[2] / "deploy" / "k8s"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
#: Versions whose schemas the manifests are held against: the oldest still used, and a recent one.
VERSIONS = ("1.28", "1.34")


def objects() -> dict[tuple[str, str], dict[str, Any]]:
    """All objects of the resource files by kind and name."""
    found = [
        document for name in KUSTOMIZATION["resources"] for document in yaml.safe_load_all((FOLDER / name).read_text())
    ]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


OBJECTS = objects()
TEMPLATES = {name: OBJECTS["Deployment", name]["spec"]["template"] for name in ("camq-worker", "camq-exporter")}
TEMPLATES["camq-gc"] = OBJECTS["CronJob", "camq-gc"]["spec"]["jobTemplate"]["spec"]["template"]
PODS = {name: template["spec"] for name, template in TEMPLATES.items()}
SECRETS = [name for made in KUSTOMIZATION["secretGenerator"] for name in made["envs"]]


def entries(secrets: str) -> dict[str, str]:
    """What a file of secrets holds as it comes."""
    lines = (FOLDER / f"{secrets}.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def files_of(container: dict[str, Any]) -> list[str]:
    """The files behind the Secrets that a container is given."""
    made = {secret["name"]: secret["envs"] for secret in KUSTOMIZATION["secretGenerator"]}
    names = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
    return [file for name in names for file in made[name]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("key", [key for key in OBJECTS if key[0] != "ScaledObject"], ids="/".join)
def test_a_manifest_is_valid(key: tuple[str, str], version: str) -> None:
    """Against Kubernetes' own schema, unknown fields refused."""
    validator = pytest.importorskip("kubernetes_validate", reason="needs PyPI's kubernetes-validate")
    validator.validate(OBJECTS[key], version, strict=True)
    misspelt = OBJECTS[key] | {"sepc": {}}
    with pytest.raises(validator.ValidationError):
        validator.validate(misspelt, version, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_kustomize_renders_them(tmp_path: Path) -> None:
    """With the files of secrets that the examples become; every reference to a generated name is followed."""
    shutil.copytree(FOLDER, tmp_path / "k8s")
    for name in SECRETS:
        shutil.copy(FOLDER / f"{name}.example", tmp_path / "k8s" / name)
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path / "k8s")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    names = {(document["kind"], document["metadata"]["name"]) for document in rendered}
    worker = next(d for d in rendered if (d["kind"], d["metadata"]["name"]) == ("Deployment", "camq-worker"))
    container = worker["spec"]["template"]["spec"]["containers"][0]
    config, *secrets = container["envFrom"]
    assert ("ConfigMap", config["configMapRef"]["name"]) in names
    assert {("Secret", secret["secretRef"]["name"]) for secret in secrets} <= names
    assert len(secrets) == len(SECRETS)
    assert container["image"] == "camq:0.1.0"
    assert {document["metadata"].get("namespace", "camq") for document in rendered} == {"camq"}


def test_variables_are_settings_and_secrets_stay_out() -> None:
    """Secrets come from files that git does not know."""
    literals = dict(line.split("=", 1) for line in KUSTOMIZATION["configMapGenerator"][0]["literals"])
    example = {key: value for name in SECRETS for key, value in entries(name).items()}
    worker = {entry["name"]: entry["value"] for entry in PODS["camq-worker"]["containers"][0]["env"]}
    fields = set(Settings.__struct_fields__)
    assert {name.removeprefix("CAMQ_").lower() for name in literals | example | worker} <= fields
    assert not {name for name in literals if re.search("KEY|URL|SECRET", name)}
    loaded = Settings.load(literals | example | worker)
    assert signer(loaded.webhook_secret) is None  # empty as it comes: a worker refuses a secret that is none
    ignored = (FOLDER.parents[1] / ".gitignore").read_text().splitlines()
    assert {f"deploy/k8s/{name}" for name in SECRETS} <= set(ignored)


def test_the_exporter_knows_only_the_way_to_redis() -> None:
    """It answers whoever scrapes it, so it has neither the storage's keys nor what signs webhooks."""
    given = {
        pod: {key for name in files_of(spec["containers"][0]) for key in entries(name)} for pod, spec in PODS.items()
    }
    assert given["camq-exporter"] == {"CAMQ_REDIS_URL"}
    assert given["camq-worker"] == {
        "CAMQ_REDIS_URL",
        "CAMQ_S3_ACCESS_KEY",
        "CAMQ_S3_SECRET_KEY",
        "CAMQ_WEBHOOK_SECRET",
    }


def test_a_worker_has_time_to_hand_back_what_it_holds() -> None:
    """The pod's grace period is longer than the worker's."""
    pod = PODS["camq-worker"]
    drain = next(entry for entry in pod["containers"][0]["env"] if entry["name"] == "CAMQ_DRAIN_S")
    assert pod["terminationGracePeriodSeconds"] > float(drain["value"]) + 10


def test_a_worker_has_one_gpu_and_its_probes_ask_the_right_things() -> None:
    """Liveness never asks for services: restarting workers does not bring Redis back."""
    [container] = PODS["camq-worker"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/ready", "livenessProbe": "/live", "readinessProbe": "/ready"}
    assert "replicas" not in OBJECTS["Deployment", "camq-worker"]["spec"]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_nothing_it_need_not(name: str) -> None:
    """The restricted Pod Security Standard, and a read-only root."""
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
    assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"])


def test_the_namespace_refuses_pods_with_more_rights() -> None:
    """Kubernetes itself holds every pod in it to the restricted standard."""
    labels = OBJECTS["Namespace", "camq"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_nobody_reaches_a_pod_but_who_reads_its_metrics() -> None:
    """Every pod is under the default policy; only those that use servers may open connections, and none to the
    addresses at which a cloud hands out credentials."""
    policies = {name: found["spec"] for (kind, name), found in OBJECTS.items() if kind == "NetworkPolicy"}
    default = policies.pop("camq-default")
    assert (default["podSelector"], set(default["policyTypes"])) == ({}, {"Ingress", "Egress"})
    ports = {entry["port"] for rule in default["ingress"] for entry in rule["ports"]}
    assert ports == {port["containerPort"] for pod in PODS.values() for port in pod["containers"][0].get("ports", [])}
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert [rule["from"] for rule in default["ingress"]] == [[monitoring]]
    assert {entry["port"] for rule in default["egress"] for entry in rule["ports"]} == {53}
    assert policies.keys() == PODS.keys()
    for name, policy in policies.items():
        assert policy["podSelector"]["matchLabels"].items() <= TEMPLATES[name]["metadata"]["labels"].items()
        assert policy["policyTypes"] == ["Egress"]
    for name in ("camq-worker", "camq-gc"):
        [rule] = policies[name]["egress"]
        closed = {entry["ipBlock"]["cidr"]: set(entry["ipBlock"].get("except", ())) for entry in rule["to"]}
        assert closed == {"0.0.0.0/0": {"169.254.0.0/16"}, "::/0": {"fe80::/10", "fd00:ec2::254/128"}}
    [rule] = policies["camq-exporter"]["egress"]
    assert ({port["port"] for port in rule["ports"]}, rule.keys()) == ({6379, 6380}, {"ports"})


def test_what_selects_pods_finds_them() -> None:
    """Deployment, disruption budget and autoscaler mean the same pods."""
    worker = OBJECTS["Deployment", "camq-worker"]
    labels = worker["spec"]["template"]["metadata"]["labels"]
    assert worker["spec"]["selector"]["matchLabels"].items() <= labels.items()
    budget = OBJECTS["PodDisruptionBudget", "camq-worker"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    scaled = OBJECTS["ScaledObject", "camq-worker"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == "camq-worker"


def test_the_autoscaler_asks_for_the_exporter_s_gauge() -> None:
    """By its name, and in seconds of one worker."""
    [trigger] = OBJECTS["ScaledObject", "camq-worker"]["spec"]["triggers"]
    assert named(trigger["metadata"]["query"]) == {"camq_backlog_worker_seconds"}
    assert trigger["type"] == "prometheus"
    assert trigger["metadata"]["ignoreNullValues"] == "false"  # no answer is no empty queue


def test_only_one_collection_runs_at_a_time() -> None:
    """Two would read the references of every job twice, and gain nothing."""
    assert OBJECTS["CronJob", "camq-gc"]["spec"]["concurrencyPolicy"] == "Forbid"
