"""Child processes: kept alive, stopped in order, never outliving us."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from producer.local.embedded import Spec, Supervisor
from shared.errors import EmbeddedError
from shared.processes.child import Child
from tests.support.waiting import wait_until

MakeSpec = Callable[..., Spec]


@pytest.fixture
def spec(tmp_path: Path) -> MakeSpec:
    """A small Python child; it appends what it does to `child.log`."""

    def make(name: str = "child", code: str = "signal.pause()", stop_s: float = 5.0) -> Spec:
        program = f"import os, signal, subprocess, sys, time\nprint({name!r}, 'began', flush=True)\n"
        return Spec(
            name=name,
            argv=[sys.executable, "-S", "-c", program + textwrap.dedent(code)],
            env={"GREETING": "hello"},
            log=tmp_path / "child.log",
            pid_file=tmp_path / f"{name}.pid",
            stop_s=stop_s,
        )

    return make


def test_a_child_that_dies_is_started_again(spec: MakeSpec) -> None:
    """Its death is told with name, pid and code, and the next one runs well within five seconds."""
    deaths: list[tuple[str, int, int]] = []
    with Supervisor(lambda *death: deaths.append(death)) as supervisor:
        first = supervisor.start(spec())
        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        second = wait_until(lambda: supervisor.pids().get("child"), "the child is back")
        wait_until(lambda: supervisor.pids().get("child", first) != first, "the child is a new one")
        assert time.monotonic() - began < 2
        second = supervisor.pids()["child"]
        assert deaths == [("child", first, -signal.SIGKILL)]
        assert supervisor.exits("child") == 1
    assert not psutil.pid_exists(second)


def test_a_child_that_cannot_live_is_not_hammered(spec: MakeSpec) -> None:
    """Each restart waits twice as long as the one before."""
    times: list[float] = []
    with Supervisor(lambda *_: times.append(time.monotonic())) as supervisor:
        supervisor.start(spec(code="sys.exit(3)"))
        wait_until(lambda: len(times) >= 4, "four deaths")
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] >= 0.2
    assert gaps[1] >= 0.4
    assert gaps[2] >= 0.8


def test_a_listener_that_fails_does_not_stop_the_watch(spec: MakeSpec) -> None:
    """A bug in `on_exit` costs a log line, not the child."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug in the listener")

    with Supervisor(fail) as supervisor:
        first = supervisor.start(spec())
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: supervisor.pids().get("child", first) != first, "the child is back")


def test_children_get_their_stop_signal_in_reverse_order(spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who started last is asked to leave first, and nobody is restarted meanwhile."""
    asked: list[int] = []
    monkeypatch.setattr(Child, "terminate", lambda child: asked.append(child.pid) or os.kill(child.pid, 15))
    deaths: list[tuple[str, int, int]] = []
    with Supervisor(lambda *death: deaths.append(death)) as supervisor:
        started = [supervisor.start(spec(name)) for name in ("a", "b", "c")]
        assert list(supervisor.pids()) == ["a", "b", "c"]
    assert asked == started[::-1]
    assert not any(map(psutil.pid_exists, started))
    assert deaths == []


def test_a_child_that_ignores_the_stop_signal_is_killed(spec: MakeSpec, tmp_path: Path) -> None:
    """After its `stop_s`, and not before."""
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    with Supervisor() as supervisor:
        pid = supervisor.start(spec(code=code, stop_s=0.5))
        wait_until(lambda: "deaf" in (tmp_path / "child.log").read_text(), "the child ignores SIGTERM")
        began = time.monotonic()
        supervisor.stop("child")
        assert 0.5 <= time.monotonic() - began < 2
        assert not psutil.pid_exists(pid)
        assert supervisor.pids() == {}
    assert not (tmp_path / "child.pid").exists()


def test_what_a_dead_child_leaves_in_its_group_goes_too(spec: MakeSpec, tmp_path: Path) -> None:
    """A worker that is killed takes its helpers with it, so that none holds a device or a port."""
    code = "print('helper', subprocess.Popen(['sleep', '60']).pid, flush=True); signal.pause()"
    log = tmp_path / "child.log"
    with Supervisor() as supervisor:
        pid = supervisor.start(spec(code=code))
        wait_until(lambda: "helper" in log.read_text(), "the helper runs")
        helper = int(log.read_text().split("helper ")[1].split()[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not _lives(helper), "the helper is gone")


def test_a_child_outlives_the_thread_that_asked_for_it(spec: MakeSpec) -> None:
    """Linux would end it with the thread that forked it; only the supervisor's own thread forks."""
    with Supervisor() as supervisor:
        thread = threading.Thread(target=supervisor.start, args=(spec(),))
        thread.start()
        thread.join()
        pid = supervisor.pids()["child"]
        os.kill(pid, signal.SIGCONT)  # a signal to a dead process would raise
        supervisor.start(spec("second"))
        assert supervisor.pids()["child"] == pid
        assert supervisor.exits("child") == 0


def test_a_child_sees_only_the_environment_it_is_given(spec: MakeSpec, tmp_path: Path) -> None:
    """Its own session, its own environment, our signals back at their defaults."""
    code = """
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        print('session', os.getsid(0) == os.getpid(), sorted(set(os.environ) - {'LC_CTYPE'}), flush=True)
        signal.pause()
    """
    with Supervisor() as supervisor:
        pid = supervisor.start(spec(code=code))
        wait_until(lambda: "session" in (tmp_path / "child.log").read_text(), "the child has spoken")
        assert int((tmp_path / "child.pid").read_text()) == pid
    assert "session True ['GREETING']" in (tmp_path / "child.log").read_text()


def test_a_missing_program_and_a_second_of_a_name_are_refused(spec: MakeSpec, tmp_path: Path) -> None:
    """Both are told to the caller; the supervisor works on."""
    with Supervisor() as supervisor:
        with pytest.raises(EmbeddedError, match="no-such-program"):
            supervisor.start(Spec(name="x", argv=["/no-such-program"], env={}, log=tmp_path / "x.log"))
        supervisor.start(spec())
        with pytest.raises(ValueError, match="running already"):
            supervisor.start(spec())
    with pytest.raises(RuntimeError, match="with"):
        supervisor.pids()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no death signal")
def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Nobody runs the parent's clean-up after `kill -9`; the kernel ends its children."""
    parent = """
        import sys
        from pathlib import Path
        from producer.local.embedded import Spec, Supervisor
        with Supervisor() as supervisor:
            spec = Spec(name="x", argv=["sleep", "60"], env={"PATH": "/bin:/usr/bin"}, log=Path(sys.argv[1]))
            print(supervisor.start(spec), flush=True)
            sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(parent), str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        wait_until(lambda: "sleep" in psutil.Process(child).name(), "the child has become its command")
        process.kill()
    wait_until(lambda: not _lives(child), "the child is gone", timeout_s=3)


def _lives(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet counts as gone."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
