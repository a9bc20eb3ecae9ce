"""What a process writes from its first line to its last."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

SAYS_ALL = """
import logging, threading, warnings
from shared import logs
from shared.config import Settings
logs.configure(Settings(log_format="json"))
warnings.warn("an odd picture")
warnings.warn_explicit("a broken tag", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
logging.getLogger("celery").error("a library's line")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise RuntimeError("last words")
"""


def test_every_line_for_machines_is_json() -> None:
    """Warnings, the end of a thread and the last traceback too; Python would print them past the log.

    A picture can make Pillow warn of thousands of broken tags: those are left out.
    """
    done = subprocess.run([sys.executable, "-c", SAYS_ALL], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["warning", "error", "critical", "critical"]
    assert "an odd picture" in lines[0]["event"]
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert "last words" in lines[3]["exception"]


def test_a_worker_that_cannot_start_says_so_in_json() -> None:
    """The reason is what an operator looks for first."""
    env = {"CAMQ_LOG_FORMAT": "json", "CAMQ_REDIS_URL": "redis://127.0.0.1:1/0", "CAMQ_HTTP_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "worker", "exporter"], env=env, capture_output=True, text=True, check=False, cwd=ROOT
    )

    [line] = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, line["level"], line["exit_status"]) == (2, "critical", 2)
    assert "CAMQ_HTTP_PORT" in line["reason"]
