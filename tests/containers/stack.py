"""The project's own compose files on an engine, and what its users do from the host."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.models import resnet18

from tests.containers.engine import Docker
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
#: All that is added to the project's files: this engine has no network for builds but the host's.
_OVERRIDE = "services:\n  worker:\n    build:\n      network: host\n"
_CAMQ = str(Path(sys.executable).parent / "camq")
PROJECT = "camq-containers-check"
#: Of a job; a fault needs some seconds to come, on a busy machine more.
PICTURES = 1200


class Stack:
    """`docker compose` in a copy of the project's tracked files, and `camq` on the host."""

    def __init__(self, docker: Docker, folder: Path) -> None:
        self.docker, self.folder = docker, folder
        self.source = folder / "source"
        self.pictures = folder / "pictures"
        self.env: dict[str, str] = {}

    def prepare(self) -> None:
        """A copy of what git tracks, fresh secrets, random weights and pictures."""
        self.source.mkdir(parents=True)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.source / name)
        (self.folder / "override.yaml").write_text(_OVERRIDE)
        subprocess.run([sys.executable, "deploy/compose_env.py"], cwd=self.source, check=True, capture_output=True)
        weights = self.folder / "weights"
        weights.mkdir()
        torch.manual_seed(0)
        torch.save(resnet18(weights=None).state_dict(), weights / "resnet18.pth")
        with (self.source / ".env").open("a") as env:
            env.write(f"WEIGHTS_DIR={weights}\nWORKER_WEIGHTS=/weights/resnet18.pth\n")
        lines = (self.source / ".env").read_text().splitlines()
        self.env = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        self.pictures.mkdir()
        for number in range(PICTURES):
            Image.effect_noise((64, 64), 10 + number).convert("RGB").save(self.pictures / f"{number}.jpg")

    def compose(self, *arguments: str, check: bool = True) -> str:
        """`docker compose` with the project's file, its metrics and Flower included."""
        return self.docker.run(
            *("compose", "-p", PROJECT, "--profile", "metrics", "--profile", "flower"),
            *("-f", "docker-compose.yml", "-f", str(self.folder / "override.yaml"), *arguments),
            cwd=self.source,
            check=check,
        )

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What the engine says of a service's containers, in the order of their numbers."""
        found = self.compose("ps", "--all", "--quiet", service).split()
        if not found:
            return []
        inspected: list[dict[str, Any]] = json.loads(self.docker.run("inspect", *found))
        return sorted(inspected, key=lambda one: one["Name"])

    def wait_healthy(self, *services: str, timeout_s: float = 240) -> None:
        """Every container of these services runs and is healthy."""

        def sick() -> bool:
            states = {one["Name"]: one["State"] for name in services for one in self.containers(name)}
            bad = {name: s["Status"] for name, s in states.items() if s.get("Health", {}).get("Status") != "healthy"}
            assert not bad, bad
            return bool(states)

        wait_until(sick, f"{', '.join(services)} healthy", timeout_s, pause_s=1)

    def camq(self, *arguments: str, check: bool = True) -> str:
        """The `camq` command on the host, with the secrets of `.env`."""
        done = subprocess.run(
            [_CAMQ, *arguments], env={**os.environ, **self.env}, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"camq {' '.join(arguments)}: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def submit(self, job: str, count: int = PICTURES) -> None:
        """A job of this many pictures."""
        names = [str(self.pictures / f"{number}.jpg") for number in range(count)]
        self.camq("submit", *names, "--job-id", job)

    def status(self, job: str) -> dict[str, Any]:
        """`camq status --json`."""
        return dict(json.loads(self.camq("status", job, "--json")))

    def in_hand(self, job: str) -> bool:
        """Whether the job has begun and not ended."""
        found = self.status(job)
        assert found["finished_at"] is None, "the job ended before the fault"
        return found["succeeded"] > 0

    def wait_finished(self, job: str, count: int = PICTURES, timeout_s: float = 900) -> str:
        """Waits until every picture has succeeded, as the ledger says and as the results show."""
        wait_until(lambda: self.status(job)["finished_at"], f"{job} finished", timeout_s, pause_s=1)
        found = self.status(job)
        assert (found["state"], found["succeeded"]) == ("succeeded", count), found
        records = [json.loads(line) for line in self.camq("results", job, "--json").splitlines()]
        assert len({record["index"] for record in records if record["predictions"]}) == count
        return f"{count} of {count} succeeded"

    def get(self, url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of a page published on the host."""
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
