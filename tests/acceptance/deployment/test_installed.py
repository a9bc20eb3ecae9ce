"""camq as its users install it: the wheel and its runtime needs in empty environments, outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torchvision

from deploy.runtime_lock import runtime
from producer.local.embedded import Stack
from producer.local.embedded.stack import free_ports
from tests.support.deployment.composefile import ROOT
from tests.support.jobs.scripted_worker import picture
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(900)]

#: Modules that are of no use without an extra.
NEEDS = {
    "producer.web.live": "ui",
    "producer.web.http": "serve",
    # NumPy; `camq summary` and the report say so where it is missing.
    "producer.results.analysis.clusters": "worker",
    "producer.results.analysis.heat": "worker",
    "producer.results.analysis.kept_maps": "worker",
    "shared.tracing.otel": "tracing",
    "worker": "worker",
}
IMPORT_ALL = """
import importlib, pkgutil, sys
left_out = tuple(sys.argv[1:])
def wanted(name): return not any(name == module or name.startswith(module + ".") for module in left_out)
found = [m.name for room in ("shared", "producer", "worker") if wanted(room)
         for m in pkgutil.walk_packages(importlib.import_module(room).__path__, room + ".", onerror=print)]
modules = [importlib.import_module(name) for name in found if wanted(name) and not name.endswith("__main__")]
import kombu.transport.redis
print(len(modules), modules[0].__file__)
"""

Install = Callable[[str], Path]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because setuptools writes beside its sources."""
    copy = tmp_path_factory.mktemp("source") / "camq"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for room in ("shared", "producer", "worker"):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(copy / "dist"), str(copy)])
    [built] = (copy / "dist").glob("camq-*.whl")
    return built


@pytest.fixture(scope="module")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """`install("ui")` makes an environment of `camq[ui]`, once, and returns its folder of programs."""
    made: dict[str, Path] = {}

    def environment(extra: str) -> Path:
        if extra not in made:
            folder = tmp_path_factory.mktemp(f"env-{extra or 'plain'}")
            needs = runtime(
                (ROOT / "requirements.lock").read_text(),
                (ROOT / "pyproject.toml").read_text(),
                extras=[extra] if extra else [],
                tools=(),
            )
            (folder / "lock").write_text("\n".join(needs.values()))
            made[extra] = _environment(folder, wheel)
        return made[extra]

    return environment


@pytest.mark.parametrize("extra", ["", "worker", "ui", "serve", "tracing", "parquet", "heic", "dicom", "embedded"])
def test_what_an_extra_is_for_imports_with_its_needs_alone(extra: str, install: Install, tmp_path: Path) -> None:
    """And Celery's transport for Redis, which no module of ours imports by name; nothing comes from the checkout."""
    left_out = [module for module, needed in NEEDS.items() if needed != extra]

    done = run([str(install(extra) / "python"), "-I", "-c", IMPORT_ALL, *left_out], cwd=tmp_path)

    count, first = done.split()
    assert int(count) > 80
    assert Path(first).is_relative_to(install(extra).parent)


def test_a_job_goes_through_and_its_page_is_served(install: Install, stack: Stack, tmp_path: Path) -> None:
    """`camq` submits and reads, `camq[worker]` computes, `camq[ui]` serves, `camq[parquet]` writes a table."""
    weights = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), weights)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.png").write_bytes(picture(colour=(number, 1, 2)))
    http, page = (str(port) for port, _ in zip(free_ports(), range(2), strict=False))
    env = {"HOME": str(tmp_path), "PATH": os.defpath} | stack.settings.environment()

    def camq(extra: str, *arguments: str) -> str:
        return run([str(install(extra) / "camq"), *arguments], cwd=tmp_path, env=env)

    started = env | {"CAMQ_MODEL": "resnet18", "CAMQ_WEIGHTS": str(weights), "CAMQ_HTTP_PORT": http}
    with (
        running([str(install("worker") / "camq"), "worker"], tmp_path / "worker.log", started),
        running([str(install("ui") / "camq"), "ui", "--port", page], tmp_path / "ui.log", env),
    ):
        wait_until(lambda: answer(http, "/ready") == 200, "the worker is ready", timeout_s=120)
        job = json.loads(camq("", "submit", "photos", "--json"))["job"]
        camq("", "watch", job)
        status = json.loads(camq("", "status", job, "--json"))
        assert (status["succeeded"], status["failed"]) == (3, 0)
        camq("", "results", job, "--out", "results")
        assert list((tmp_path / "results").rglob("*.*"))
        camq("parquet", "results", job, "--format", "parquet", "--out", "table")
        assert list((tmp_path / "table").rglob("*.parquet"))
        wait_until(lambda: answer(page, "/") == 401, "the live page asks for its token")
        link = next(word for word in (tmp_path / "ui.log").read_text().split() if "token=" in word)
        assert answer(page, link[link.index("/?token=") :]) == 200


def run(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """A program's stdout. AssertionError with all it wrote if it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(command: list[str], log: Path, env: dict[str, str]) -> Iterator[None]:
    """The program, until the block ends. What it wrote is shown with a failure."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=log.parent, env=env, stdout=out, stderr=out)
    try:
        yield
    except BaseException:
        print(log.read_text())  # noqa: T201
        raise
    finally:
        process.terminate()
        process.wait(60)


def answer(port: str, path: str) -> int:
    """The status of a local page, followed as a browser with cookies follows it; 0 while nobody listens."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _environment(folder: Path, wheel: Path) -> Path:
    """An environment of the lock in `folder` and the wheel; by uv where there is one, which links from its cache."""
    scripts = str(Path(sys.executable).parent)
    uv = shutil.which("uv", path=os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)]))
    python = str(folder / "env" / "bin" / "python")
    if uv:
        run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "env")])
        install = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps"]
    else:
        run([sys.executable, "-m", "venv", str(folder / "env")])
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*install, "--require-hashes", "-r", str(folder / "lock")])
    run([*install, str(wheel)])
    return Path(python).parent
