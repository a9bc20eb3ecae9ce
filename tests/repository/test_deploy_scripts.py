"""The two scripts of deploy/ that run with nothing installed."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy import compose_env
from tests.support.deployment.composefile import ROOT


def test_the_env_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    """A second run changes nothing: the volumes hold data under the first secrets."""
    path = tmp_path / ".env"
    command = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "compose_env.py"), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    first = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "stays as it is" in again.stderr
    assert path.read_text() == first
    assert first != compose_env.text()


@pytest.mark.parametrize(
    ("answer", "wanted", "code"), [(200, [], 0), (503, [], 1), (401, ["401"], 0), (200, ["401"], 1)]
)
def test_the_health_check_compares_one_answer(answer: int, wanted: list[str], code: int) -> None:
    """It runs without anything installed."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        assert _health(f"http://127.0.0.1:{server.server_port}/", *wanted) == code
        thread.join()
    assert _health("http://127.0.0.1:1/") == 1


def _health(*arguments: str) -> int:
    command = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "healthcheck.py"), *arguments]
    return subprocess.run(command, check=False).returncode
