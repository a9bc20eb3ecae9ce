"""Pictures in pixels: what is encoded is decoded again, and the terminal is asked what it can."""

import io
import os
import pty
import re
import subprocess
import sys
from base64 import standard_b64decode
from collections.abc import Iterator

import pytest
from PIL import Image, ImageChops

from producer.graphics import best_way
from producer.kitty import kitty_graphics
from producer.sixel import sixels

KITTY = re.compile(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\")


def decoded(text: str) -> Image.Image:
    """The picture that a terminal draws for these sixels."""
    head = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL)
    assert head
    picture = Image.new("RGB", (int(head[1]), int(head[2])))
    registers: dict[int, tuple[int, int, int]] = {}
    x = top = colour = 0
    for token in re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)(.)|([$-])|([?-~])", head[3]):
        define, red, green, blue, choose, times, repeated, move, single = token.groups()
        if define:
            registers[int(define)] = tuple(round(int(part) * 255 / 100) for part in (red, green, blue))  # type: ignore[assignment]
        elif choose:
            colour = int(choose)
        elif move:
            x, top = 0, top + 6 * (move == "-")
        else:
            bits = ord(repeated or single) - 63
            for column in range(x, x + int(times or 1)):
                for bit in range(6):
                    if bits >> bit & 1:
                        picture.putpixel((column, top + bit), registers[colour])
            x += int(times or 1)
    return picture


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 6), (33, 20)])
def test_sixels_are_the_picture(size: tuple[int, int]) -> None:
    """A sixel colour has a hundred steps per channel; also where the last band is not full."""
    gradient = Image.linear_gradient("L").resize(size)
    picture = Image.merge(
        "RGB", (gradient, gradient.transpose(Image.Transpose.ROTATE_180), gradient.point(lambda v: v // 2))
    )
    few = picture.quantize(16).convert("RGB")

    apart = ImageChops.difference(decoded(sixels(few)), few)

    assert max(high for _, high in apart.getextrema()) <= 2  # type: ignore[misc]


def test_a_run_of_sixels_is_written_once() -> None:
    """A page of one colour takes a few bytes per six rows."""
    assert len(sixels(Image.new("RGB", (1000, 600), (200, 100, 50)))) < 100 * 15 + 5000


def test_kitty_graphics_carry_the_file_in_pieces() -> None:
    """Each but the last says that more follows; none asks for an answer."""
    picture = Image.effect_noise((80, 60), 90).convert("RGB")

    pieces = KITTY.findall(kitty_graphics(picture))

    assert len(pieces) > 1
    assert pieces[0][0] == "a=T,f=100,q=2,m=1"
    assert [keys for keys, _ in pieces[1:]] == ["m=1"] * (len(pieces) - 2) + ["m=0"]
    assert all(len(data) <= 4096 for _, data in pieces)
    file = standard_b64decode("".join(data for _, data in pieces))
    assert ImageChops.difference(Image.open(io.BytesIO(file)), picture).getbbox() is None


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Stdout is a terminal with the abilities that a test puts here."""
    found: set[int] = set()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("producer.graphics.abilities", lambda: found)
    return found


@pytest.mark.parametrize(
    ("environ", "way"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "WezTerm"}, "kitty"),
        ({"TERM_PROGRAM": "WezTerm", "TMUX": "/tmp/tmux"}, "sixel"),
        ({"TERM": "xterm-256color"}, "sixel"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "blocks"),
    ],
)
def test_the_best_way_is_found(environ: dict[str, str], way: str, on_a_terminal: set[int]) -> None:
    """Kitty and its like by name, sixels by asking."""
    on_a_terminal |= {62, 4}

    assert best_way(environ) == way


def test_blocks_are_for_every_other_terminal_and_for_a_pipe(
    on_a_terminal: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked in a pipe."""
    assert best_way({"TERM": "xterm"}) == "blocks"
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert best_way({"TERM": "xterm-kitty"}) == "blocks"


@pytest.fixture
def asking() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that asks its terminal, and our end of that terminal."""
    ours, terminal = pty.openpty()

    # Whoever begins a session and opens a terminal first is controlled by it.
    lines = (
        "import os, sys; os.setsid(); os.close(os.open(sys.argv[1], os.O_RDWR))",
        "from producer.graphics import abilities; print(sorted(abilities(float(input()))))",
    )
    with subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines), os.ttyname(terminal)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield process, ours
    os.close(ours)
    os.close(terminal)


def test_a_terminal_is_asked_for_its_abilities(asking: tuple[subprocess.Popen[bytes], int]) -> None:
    """By the question that all of them answer."""
    process, ours = asking
    assert process.stdin is not None
    process.stdin.write(b"30\n")
    process.stdin.flush()
    assert os.read(ours, 16) == b"\x1b[c"
    os.write(ours, b"\x1b[?62;")
    os.write(ours, b"4;22c")

    assert process.communicate(timeout=30)[0] == b"[4, 22, 62]\n"


def test_a_silent_terminal_is_not_waited_for(asking: tuple[subprocess.Popen[bytes], int]) -> None:
    """It can nothing, as far as we know."""
    process, _ = asking

    assert process.communicate(b"0.01\n", timeout=30)[0] == b"[]\n"
