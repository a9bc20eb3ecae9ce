"""What a log line may show."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from shared import logs
from shared.config import Settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_line_shows_a_secret_not_even_a_trace(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Passwords are hidden as they are written in an address and as they are meant, in traces as well."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    settings = Settings(redis_url="redis://:p%40ss-word@h:1/0", s3_secret_key="sk-123", log_format=log_format)
    try:
        logs.configure(settings)
        try:
            raise RuntimeError("cannot reach redis://:p%40ss-word@h with p@ss-word")
        except RuntimeError:
            logging.getLogger("somebody").exception("failed with sk-123")
    finally:
        root.handlers[:], root.level = before, level
    said = capsys.readouterr().err

    assert "RuntimeError" in said
    assert not any(secret in said for secret in ("p%40ss-word", "p@ss-word", "sk-123"))


def test_a_line_cannot_be_forged_nor_a_terminal_moved(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever another program put into a message or a name is one line without raw control characters."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure(Settings(log_format="console"))
        odd = "\x1b]0;title\x07\u202e\x9b2J\n2026-11-26 [critical ] forged\ud800"
        logging.getLogger("celery").error("Task camq.chunk[%s] raised", odd)
        try:
            raise RuntimeError(odd)
        except RuntimeError:
            logging.getLogger("celery").exception("failed", extra={"task": odd})
    finally:
        root.handlers[:], root.level = before, level
    said = capsys.readouterr().err

    assert not [letter for letter in said if not letter.isprintable() and letter != "\n"]
    assert r"\x1b]0;title\x07\u202e\x9b2J\n2026-11-26 [critical ] forged\ud800] raised" in said


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
