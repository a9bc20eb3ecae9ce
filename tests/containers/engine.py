"""A Docker engine for this program alone, and the commands that talk to it."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

DOCKER = "/usr/bin/docker"
#: Debian's packages of the engine and of what makes base images.
_PROGRAMS = {"dockerd": "docker.io", DOCKER: "docker.io", "debootstrap": "debootstrap"}
#: Debian's older releases have no `docker compose`; these programs are static and run on any.
_PLUGINS = ("docker-compose", "docker-buildx")
_RELEASE = "trixie"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def missing() -> list[str]:
    """What this machine lacks, each with its remedy."""
    lacks = [] if os.geteuid() == 0 else ["not root: a Docker engine of its own needs root"]
    packages = sorted({package for program, package in _PROGRAMS.items() if not shutil.which(program)})
    return lacks + ([f"apt-get install {' '.join(packages)}"] if packages else [])


def fetch_packages(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Debian packages of a newer release, unpacked below `folder`; the system stays as it is."""
    unpacked = {name: folder / "unpacked" / name for name in names}
    if all(path.exists() for path in unpacked.values()):
        return unpacked
    for part in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / "apt" / part).mkdir(parents=True, exist_ok=True)
    (folder / "apt/parts/release.sources").write_text(
        f"Types: deb\nURIs: {mirror()}\nSuites: {_RELEASE}\nComponents: main\nSigned-By: {_KEYRING}\n"
    )
    apt = ["apt-get", "-qq", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={folder}/apt/parts"]
    apt += ["-o", f"Dir::State::lists={folder}/apt/lists", "-o", f"Dir::Cache={folder}/apt/cache"]
    apt += ["-o", "APT::Sandbox::User=root"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", *names], cwd=folder / "apt", check=True)
    for name, path in unpacked.items():
        (package,) = (folder / "apt").glob(f"{name}_*.deb")
        path.mkdir(parents=True)
        subprocess.run(["dpkg", "-x", package, path], check=True)
    return unpacked


def mirror() -> str:
    """Where this machine takes Debian's packages from."""
    for line in Path("/etc/apt/sources.list.d/debian.sources").read_text().splitlines():
        if line.startswith("URIs:"):
            return line.split()[1]
    raise SystemExit("no URIs line in /etc/apt/sources.list.d/debian.sources")


class Docker:
    """Runs `docker` against the engine at `socket`."""

    def __init__(self, socket: Path, config: Path) -> None:
        self._env = {"DOCKER_HOST": f"unix://{socket}", "DOCKER_CONFIG": str(config)}

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, check: bool = True
    ) -> str:
        """What the command writes to stdout; with `check`, a failure ends the program with what it wrote."""
        done = subprocess.run(
            [DOCKER, *arguments],
            env={**os.environ, **self._env, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise SystemExit(f"docker {' '.join(arguments)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.strip()

    def answers(self) -> bool:
        """Whether the engine is there."""
        return bool(self.run("version", "--format", "{{.Server.Version}}", check=False))

    def has_image(self, name: str) -> bool:
        """Whether the engine has this image."""
        return bool(self.run("images", "--quiet", name))


@contextmanager
def engine(folder: Path) -> Iterator[Docker]:
    """An engine whose images and containers lie in `folder`. It sets up no firewall rules, so that it needs none of
    the kernel's tables; containers reach each other through its networks and the host through published ports."""
    config = folder / "config"
    (config / "cli-plugins").mkdir(parents=True, exist_ok=True)
    for name, path in fetch_packages(folder, _PLUGINS).items():
        shutil.copy(path / "usr/libexec/docker/cli-plugins" / name, config / "cli-plugins")
    docker = Docker(folder / "docker.sock", config)
    command = ["dockerd", "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--bridge=none"]
    command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["-H", f"unix://{folder}/docker.sock", "--pidfile", f"{folder}/pid"]
    with (folder / "dockerd.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as daemon:
        try:
            wait_until(docker.answers, f"the engine answers (see {folder}/dockerd.log)", 60)
            yield docker
        finally:
            daemon.terminate()
            daemon.wait(60)
