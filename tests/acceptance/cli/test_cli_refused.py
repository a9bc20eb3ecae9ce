"""`camq up` and `run` that cannot start, or are interrupted: nothing is left, and a sentence says what became of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command import CAMQ
from tests.acceptance.local import camq
from tests.support.jobs.scripted_worker import picture
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


@pytest.mark.slow
def test_up_ends_with_the_reason_when_the_model_cannot_be_loaded(tmp_path: Path) -> None:
    """It is not started over and over; exit status 5, and no folder of servers that never served."""
    (tmp_path / "weights.pth").write_text("no weights")

    done = camq("up", "--model", "resnet18", "--weights", "weights.pth", cwd=tmp_path)

    assert done.returncode == 5
    assert "weights.pth" in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


@pytest.mark.parametrize("command", [["up"], ["run", "a.png"], ["worker"], ["up", "--workers", 0]])
@pytest.mark.parametrize("by_setting", [False, True])
def test_a_mistyped_model_is_refused_before_anything_starts(
    command: list[object], by_setting: bool, tmp_path: Path
) -> None:
    """With the names that come close, and without a folder, a server or torch, which a worker takes seconds to load."""
    (tmp_path / "a.png").write_bytes(picture())
    environment = {"CAMQ_MODEL": "resnt18"} if by_setting else {}
    given = [] if by_setting else ["--model", "resnt18"]

    done = camq(*command, *given, cwd=tmp_path, env=environment)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: unknown model 'resnt18': did you mean resnet18?")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_run_that_is_interrupted_says_that_nothing_is_kept(tmp_path: Path) -> None:
    """While its worker starts, which is most of what a run of a few pictures takes."""
    (tmp_path / "a.png").write_bytes(picture())
    with subprocess.Popen(
        [CAMQ, "run", "a.png", "--model", "efficientnet_lite0", "--out", "seen"],
        cwd=tmp_path,
        env=os.environ,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "starting the worker\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()

    assert process.returncode == 130, said
    assert "\nstopped; nothing is written to seen before every image is done" in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what the process has loaded")
@pytest.mark.parametrize(
    ("command", "last"),
    [
        ([CAMQ, "worker"], "stopped before it was ready; it had no work in hand"),
        ([sys.executable, "-m", "worker", "check"], "check was interrupted"),
    ],
)
def test_a_worker_that_is_interrupted_while_it_starts_shows_no_traceback(
    command: list[str], last: str, tmp_path: Path
) -> None:
    """While it imports torch, which takes seconds; one sentence is the last thing it says."""
    with subprocess.Popen(command, cwd=tmp_path, env=os.environ, stderr=subprocess.PIPE, text=True) as process:
        loaded = Path(f"/proc/{process.pid}/maps")
        wait_until(lambda: "libtorch" in loaded.read_text(), "it imports torch", 60)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()

    assert process.returncode == 130, said
    assert said.splitlines()[-1] == f"camq worker: {last}"
    assert "Traceback" not in said
