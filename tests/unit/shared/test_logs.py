"""What a log line may show."""

import logging

import pytest

from shared import logs
from shared.config import Settings


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
