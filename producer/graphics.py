"""How the terminal at hand can show a picture, and how large its characters are."""

from __future__ import annotations

import os
import re
import select
import struct
import sys
import time
from collections.abc import Mapping
from typing import Literal

Way = Literal["kitty", "sixel", "blocks"]

#: A terminal answers at once; one behind a slow line, or one that never does, is not waited for.
_ANSWER_S = 0.3
#: "What are you?" Every terminal answers with its abilities, of which 4 is sixels.
_QUESTION = b"\x1b[c"
_ANSWER = re.compile(rb"\x1b\[\?([\d;]*)c")
#: Pixels of a character where the terminal does not tell.
_CELL = (10, 20)


def best_way(environ: Mapping[str, str] = os.environ) -> Way:
    """The finest that the terminal on stdout understands; `blocks` in a pipe and where NO_COLOR is set."""
    if environ.get("NO_COLOR") or not sys.stdout.isatty():
        return "blocks"
    if _is_kitty(environ):
        return "kitty"
    return "sixel" if 4 in abilities() else "blocks"


def _is_kitty(environ: Mapping[str, str]) -> bool:
    if "TMUX" in environ or "STY" in environ:  # they are the terminal then, and pass no graphics on
        return False
    return (
        environ.get("TERM") in ("xterm-kitty", "xterm-ghostty")
        or environ.get("TERM_PROGRAM") in ("ghostty", "WezTerm")
        or "KITTY_WINDOW_ID" in environ
    )


def abilities(wait_s: float = _ANSWER_S) -> set[int]:
    """What the terminal that controls this process says it can; nothing where there is none or it is silent."""
    try:
        import termios
        import tty

        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except (ImportError, OSError):
        return set()
    try:
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal)  # the answer is neither echoed nor held back until a line end
            os.write(terminal, _QUESTION)
            found = _ANSWER.search(_read(terminal, time.monotonic() + wait_s))
        finally:
            # What came too late must not stand in the shell's next line.
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    except (OSError, termios.error):
        return set()
    finally:
        os.close(terminal)
    return {int(number) for number in found[1].split(b";") if number} if found else set()


def _read(terminal: int, deadline: float) -> bytes:
    answer = b""
    while not _ANSWER.search(answer):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            break
        answer += os.read(terminal, 256)
    return answer


def cell_size() -> tuple[int, int]:
    """Width and height of a character in pixels."""
    try:
        import fcntl
        import termios

        told = fcntl.ioctl(sys.stdout, termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", told)
    except (ImportError, OSError):
        return _CELL
    return (width // columns, height // rows) if rows and columns and width and height else _CELL
