"""The command without any server: help, start-up time, and how it fails when a service does not answer."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from producer.cli.main import cli
from tests.acceptance.cli.leaves import LEAVES
from tests.acceptance.command import CAMQ, run_here
from tests.acceptance.conftest import Camq
from tests.support.jobs.scripted_worker import picture

PYTHON = str(Path(CAMQ).with_name("python"))
COMMANDS = tuple(cli.commands)
OPTIONS = (
    *("--model", "--top-k", "--classes", "--method", "--target", "--target-layer", "--scale", "--colormap", "--alpha"),
    *("--resize", "--input-size", "--overlay", "--overlay-size", "--format", "--box-threshold", "--heatmaps"),
    *("--keep-maps", "--priority", "--job-id", "--name", "--tag", "--manifest", "--dry-run"),
)


@pytest.fixture
def camq(tmp_path: Path) -> Camq:
    """The command in an empty folder, with this machine's environment."""
    return lambda *arguments, **variables: run_here(*arguments, cwd=tmp_path, env=os.environ | variables)


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


@pytest.mark.parametrize(
    "command", [["up"], ["run", "a.png"], ["worker"], ["inspect", "a.png"]], ids=lambda words: words[0]
)
def test_where_no_worker_can_run_the_extra_is_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before any server starts or a folder is made."""
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(picture())
    monkeypatch.setattr("producer.local.session.find_spec", lambda name: None)

    done = CliRunner().invoke(cli, command)

    assert str(done.exception) == "a worker needs packages that are not installed (torch): pip install 'camq[worker]'"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_the_package_runs_as_the_command() -> None:
    """Where the script is not on the path; its help still says `camq`."""
    done = subprocess.run([PYTHON, "-m", "producer", "jbos"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "Usage: camq [OPTIONS] COMMAND [ARGS]...")


def test_importing_the_producer_costs_nothing() -> None:
    """Its names are loaded when they are used."""
    code = "import sys, producer; print(*[m for m in ('click', 'redis', 'minio', 'rich', 'PIL') if m in sys.modules])"

    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_help_lists_every_command(camq: Camq) -> None:
    """The help also explains the exit status."""
    done = camq("--help")

    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert "130 interrupted" in " ".join(done.stdout.split())


@pytest.mark.parametrize("command", LEAVES)
def test_each_command_explains_itself_with_an_example_and_takes_json(command: str, camq: Camq) -> None:
    """The example calls the command itself."""
    done = camq(*command.split(), "--help")

    assert done.returncode == 0
    assert "--json" in done.stdout
    assert f"camq {command}" in done.stdout.partition("Example")[2]


@pytest.mark.parametrize("command", ["submit", "run"])
def test_submit_and_run_have_every_option(command: str, camq: Camq) -> None:
    """The options of a submission are those of a run."""
    done = camq(command, "--help")

    assert [option for option in OPTIONS if f"  {option} " not in done.stdout] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["statsu"], "status"),
        (["submit", "--jsn", "x"], "--json"),
        (["submit", "x.png", "--scale", "eahc"], "did you mean each"),
        (["submit", "x.png", "--top-k", "0"], "expected a whole number of at least 1"),
        (["submit", "x.png", "--colormap", "jett"], "did you mean jet"),
        (["status"], "Missing argument"),
        (["up", "--weights", "nothere.pth"], "nothere.pth"),
        (["run", "nothere.png"], "no picture to submit"),
        (["run", "s3://bucket/prefix"], "camq submit"),
        (["submit", "nothere.png"], "no picture to submit"),
    ],
)
def test_a_mistake_is_exit_status_2_and_says_what_was_meant(arguments: list[str], says: str, camq: Camq) -> None:
    """No server is contacted, and none is started."""
    done = camq(*arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_a_wrong_setting_is_named(camq: Camq) -> None:
    """The message names the environment variable."""
    done = camq("jobs", CAMQ_CHUNK_SIZE="many")

    assert done.returncode == 2
    assert "CAMQ_CHUNK_SIZE" in done.stderr


@pytest.mark.parametrize(
    ("command", "kind"), [(["status", "x"], "is silent"), (["submit", "cat.png"], "refuses connections")]
)
def test_a_redis_that_cannot_be_reached_is_exit_status_4_within_ten_seconds(
    command: list[str], kind: str, silent: str, camq: Camq, tmp_path: Path
) -> None:
    """The message names the address and never the password."""
    (tmp_path / "cat.png").write_bytes(picture())
    address = silent if kind == "is silent" else "127.0.0.1:9"
    began = time.monotonic()

    done = camq(*command, CAMQ_REDIS_URL=f"redis://:hush@{address}/0")

    assert done.returncode == 4, done.stderr
    assert time.monotonic() - began < 10
    assert address in done.stderr
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.servers
@pytest.mark.usefixtures("worker")
def test_a_silent_storage_is_exit_status_4_within_ten_seconds(
    silent: str, camq: Camq, environment: dict[str, str], tmp_path: Path
) -> None:
    """The command fails before it opens a job."""
    (tmp_path / "cat.png").write_bytes(picture())
    began = time.monotonic()

    done = camq("submit", "cat.png", **environment | {"CAMQ_S3_ENDPOINT": silent})

    assert done.returncode == 4, done.stderr
    assert time.monotonic() - began < 10
    assert silent in done.stderr
    assert environment["CAMQ_S3_SECRET_KEY"] not in done.stdout + done.stderr
