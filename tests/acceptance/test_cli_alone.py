"""The command without any server: help, speed, and how it fails when nobody answers."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.cli.main import cli
from tests.acceptance.conftest import CAMQ, Command
from tests.scripted_worker import picture

PYTHON = str(Path(CAMQ).with_name("python"))
COMMANDS = tuple(cli.commands)
OPTIONS = (
    *("--model", "--top-k", "--classes", "--method", "--target", "--target-layer", "--scale", "--colormap", "--alpha"),
    *("--resize", "--input-size", "--overlay", "--overlay-size", "--format", "--box-threshold", "--heatmaps"),
    *("--keep-maps", "--priority", "--job-id", "--name", "--tag", "--manifest", "--dry-run"),
)


def camq(*arguments: object, cwd: Path | None = None, **variables: str) -> Command:
    return subprocess.run(
        [CAMQ, *map(str, arguments)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_version_and_help_are_instant(argument: str) -> None:
    """Nothing that takes long to import is imported before it is needed."""
    heavy = ("torch", "numpy", "celery", "kombu", "redis", "minio", "urllib3", "PIL", "rich", "jinja2", "starlette")
    code = "import atexit, sys; from producer.cli.main import main; atexit.register(lambda: print("
    code += f"'loaded:', *sorted({set(heavy)!r} & set(sys.modules)), file=sys.stderr)); main([{argument!r}])"

    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == "loaded:\n"


def test_the_package_runs_as_the_command() -> None:
    """Where the script is not on the path; its help still says `camq`."""
    done = subprocess.run([PYTHON, "-m", "producer", "jbos"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "Usage: camq [OPTIONS] COMMAND [ARGS]...")


def test_importing_the_producer_costs_nothing() -> None:
    """Its names are loaded when they are used."""
    code = "import sys, producer; print(*[m for m in ('click', 'redis', 'minio', 'rich', 'PIL') if m in sys.modules])"

    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_help_lists_every_command() -> None:
    """And says what the exit status means."""
    done = camq("--help")

    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert "130 interrupted" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_and_takes_json(command: str) -> None:
    """Exit status 0."""
    done = camq(command, "--help")

    assert done.returncode == 0
    assert "--json" in done.stdout


@pytest.mark.parametrize("command", ["submit", "run"])
def test_submit_and_run_have_the_options_of_the_design(command: str) -> None:
    """The list of DESIGN section 7."""
    done = camq(command, "--help")

    assert [option for option in OPTIONS if f"  {option} " not in done.stdout] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["statsu"], "status"),
        (["submit", "--jsn", "x"], "--json"),
        (["submit", "x.png", "--scale", "eahc"], "'each'"),
        (["submit", "x.png", "--top-k", "0"], "x>=1"),
        (["submit", "x.png", "--colormap", "jett"], "did you mean jet"),
        (["status"], "Missing argument"),
        (["up", "--weights", "nothere.pth"], "nothere.pth"),
        (["run", "nothere.png"], "no path matches anything"),
        (["run", "s3://bucket/prefix"], "camq submit"),
        (["submit", "nothere.png"], "no path matches anything"),
    ],
)
def test_a_mistake_is_exit_status_2_and_says_what_was_meant(arguments: list[str], says: str, tmp_path: Path) -> None:
    """No server is asked, none is started."""
    done = camq(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_a_setting_that_is_wrong_is_named(tmp_path: Path) -> None:
    """With the variable that holds it."""
    done = camq("jobs", CAMQ_CHUNK_SIZE="many")

    assert done.returncode == 2
    assert "CAMQ_CHUNK_SIZE" in done.stderr


@pytest.mark.parametrize("command", [["status", "x"], ["submit", "cat.png"]])
@pytest.mark.parametrize("kind", ["refuses", "is silent"])
def test_a_redis_that_cannot_be_reached_is_exit_status_4_within_ten_seconds(
    command: list[str], kind: str, silent: str, tmp_path: Path
) -> None:
    """The address is named, the password never."""
    (tmp_path / "cat.png").write_bytes(picture())
    address = "127.0.0.1:9" if kind == "refuses" else silent
    began = time.monotonic()

    done = camq(*command, cwd=tmp_path, CAMQ_REDIS_URL=f"redis://:hush@{address}/0")

    assert done.returncode == 4, done.stderr
    assert time.monotonic() - began < 10
    assert address in done.stderr
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.servers
@pytest.mark.parametrize("kind", ["refuses", "is silent"])
def test_a_storage_that_cannot_be_reached_is_exit_status_4_within_ten_seconds(
    kind: str, silent: str, tmp_path: Path, worker: object, environment: dict[str, str]
) -> None:
    """Before a job is opened."""
    (tmp_path / "cat.png").write_bytes(picture())
    address = "127.0.0.1:9" if kind == "refuses" else silent
    began = time.monotonic()

    done = camq("submit", "cat.png", cwd=tmp_path, **environment | {"CAMQ_S3_ENDPOINT": address})

    assert done.returncode == 4, done.stderr
    assert time.monotonic() - began < 10
    assert address in done.stderr
    assert environment["CAMQ_S3_SECRET_KEY"] not in done.stdout + done.stderr
