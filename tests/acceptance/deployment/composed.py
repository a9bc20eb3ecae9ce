"""The compose file's own services as local processes: the very commands, environments and health checks."""

import base64
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from producer.local.embedded.stack import free_ports
from shared.config import Settings
from tests.support.deployment.composefile import BASE, ROOT, fresh_env, load

#: Services of ours and the port each listens on inside its container.
PORTS = {"worker": "9100", "exporter": "9100", "flower": "5555", "ui": "8800"}
MODEL = "efficientnet_lite0"


class Composed:
    """Addresses are all that is changed: the servers' to the embedded ones, each port to a free one."""

    def __init__(self, settings: Settings, folder: Path, collector: str) -> None:
        self.folder = folder
        self.env = fresh_env() | {
            "REDIS_PASSWORD": urlsplit(settings.redis_url).password or "",
            "CAMQ_S3_ACCESS_KEY": settings.s3_access_key,
            "CAMQ_S3_SECRET_KEY": settings.s3_secret_key,
            "CAMQ_MODEL": MODEL,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        }
        self.services: dict[str, Any] = load(BASE, self.env)["services"]
        ports = free_ports()
        self.ports = {name: str(next(ports)) for name in PORTS}
        redis = urlsplit(settings.redis_url)
        self._moved = {"redis:6379": f"{redis.hostname}:{redis.port}", "s3:8333": settings.s3_endpoint}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Run the service as its container would, with nothing of our own environment."""
        service = self.services[name]
        command = [*service.get("entrypoint", ["camq"]), *service.get("command", [])]
        environment = {variable: self._here(name, value or "") for variable, value in service["environment"].items()}
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [self._here(name, part) for part in command],
                env=self._base() | environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def healthy(self, name: str) -> bool:
        """What the service's own health check says. AssertionError with its log if it has ended."""
        assert self.processes[name].poll() is None, self.log(name)
        check = [self._here(name, part) for part in self.services[name]["healthcheck"]["test"]]
        assert check.pop(0) == "CMD"
        check = [part.replace("/opt/camq/", f"{ROOT}/deploy/") for part in check]
        return subprocess.run(check, env=self._base(), capture_output=True, check=False).returncode == 0

    def get(self, name: str, path: str, user: str = "") -> tuple[int, str]:
        """The service's answer, by the address that its port is published on."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[name]}{path}")
        if user:
            request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> dict[str, int]:
        """SIGTERM to all, as `docker compose down` sends; exit statuses, each within its grace period."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        found = {}
        for name, process in self.processes.items():
            grace_s = int(self.services[name].get("stop_grace_period", "10s").removesuffix("s"))
            found[name] = process.wait(grace_s)
        return found

    def kill(self) -> None:
        """End whatever still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        """What the service said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _here(self, name: str, text: str) -> str:
        text = text.replace(PORTS[name], self.ports[name]) if PORTS[name] in text else text
        for there, here in self._moved.items():
            text = text.replace(there, here)
        return text

    def _base(self) -> dict[str, str]:
        scripts = str(Path(sys.executable).parent)
        return {"PATH": f"{scripts}:{os.environ['PATH']}", "HOME": str(self.folder), "PYTHONUNBUFFERED": "1"}
