"""What a picture process may do, and that it ends with its worker."""

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import wait_until
from tests.support.worker.picture_pools import SETUP, START_S, failure, that
from worker.pictures.pool import Pictures


@pytest.mark.skipif(sys.platform != "linux", reason="other systems enforce few of the limits")
def test_a_picture_process_can_reach_nothing() -> None:
    """No secret in its environment, none of the service libraries, no file, no socket, no program, no other memory."""
    code = """
    import ctypes, socket  # at the rehearsal, when it may still load files
    if data[:3] != b"any":
        return real(data, *rest)
    found = sorted(name for name in os.environ if "SECRET" in name or name.startswith("CAMQ_"))
    found += [name for name in ("torch", "celery", "redis", "minio", "kombu") if name in sys.modules]
    for what in (
        lambda: open("/etc/passwd"), lambda: open("/proc/%d/environ" % os.getppid()), lambda: open("/tmp/new", "w"),
        socket.socket, os.fork, lambda: os.execv("/bin/true", ["true"]), lambda: os.kill(os.getppid(), 0), os.pipe,
    ):
        try:
            what()
        except OSError:
            continue
        found.append(repr(what))
    found += ["dumpable"] * ctypes.CDLL(None).prctl(3)
    raise p.ImageError("inference", " ".join(found))"""
    os.environ["OUR_SECRET"] = os.environ["CAMQ_S3_SECRET_KEY"] = "secret"
    try:
        with closing(Pictures(SETUP, 1, command=that(code.strip()))) as pictures:
            wait_until(pictures.lanes.pids, "it runs", START_S)
            said = failure(pictures, b"any").message
    finally:
        del os.environ["OUR_SECRET"], os.environ["CAMQ_S3_SECRET_KEY"]

    if _filtered():
        assert said == ""
    else:  # the limits stand alone, and say nothing of signals
        assert not re.search("SECRET|CAMQ_|dumpable|torch|celery|redis|minio|kombu", said)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone can be told")
def test_where_memory_runs_out_the_system_ends_a_picture_process_and_not_its_worker() -> None:
    """The largest score there is; a worker keeps its own."""
    with closing(Pictures(SETUP, 1)) as pictures:
        wait_until(pictures.lanes.pids, "it runs", START_S)
        (pid,) = pictures.lanes.pids()
        score = Path(f"/proc/{pid}/oom_score_adj")
        wait_until(lambda: score.read_text() == "1000\n", "it is confined", START_S)
    assert Path("/proc/self/oom_score_adj").read_text() != "1000\n"


def _filtered() -> bool:
    """Whether this machine has libseccomp, without which the limits stand alone."""
    code = "import ctypes; ctypes.CDLL('libseccomp.so.2')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_nobody_is_left_when_the_pool_closes_or_its_worker_is_killed() -> None:
    """The kernel ends the processes with their parent."""
    program = (
        "import time\nfrom tests.support.worker.picture_pools import SETUP, Pictures\n"
        "from tests.support.waiting import wait_until\npool = Pictures(SETUP, 2)\n"
        "wait_until(lambda: len(pool.lanes.pids()) == 2, 'they run', 60)\nprint(*pool.lanes.pids(), flush=True)\n"
        "time.sleep(3600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    wait_until(lambda: not any(map(_runs, pids)), "they are gone", START_S)

    pool = Pictures(SETUP, 1)
    wait_until(pool.lanes.pids, "it runs", START_S)
    (pid,) = pool.lanes.pids()
    pool.close()
    assert not psutil.pid_exists(pid)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="other systems enforce few of the limits")
def test_a_process_with_a_threaded_decoder_starts_threads_and_nothing_else() -> None:
    """libheif decodes in a thread of its own; no other process comes of that, and the thread reaches as little."""
    program = (
        "import os, threading\nfrom shared.processes.confined import confine\n"
        "answers = os.dup(1)\nconfine(1 << 30, threads=True)\n"
        "found = []\n"
        "def reach():\n"
        "    for what in (lambda: open('/etc/passwd'), os.fork, os.pipe, lambda: os.execv('/bin/true', ['true'])):\n"
        "        try:\n            what()\n            found.append('reached')\n"
        "        except OSError:\n            found.append('refused')\n"
        "thread = threading.Thread(target=reach)\nthread.start()\nthread.join()\nreach()\n"
        "os.write(answers, ' '.join(found).encode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert done.stdout == " ".join(["refused"] * 8) if _filtered() else done.stdout
