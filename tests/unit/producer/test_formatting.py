"""What people read: numbers, names, progress, the contact sheet."""

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from PIL import Image, ImageChops

from producer.formatting import (
    ago,
    count,
    duration,
    milliseconds,
    rate,
    share,
    shown,
    time_left,
    visible,
    webhook_line,
    webhook_outcome,
)
from producer.local import contact_sheet as sheet
from producer.local.contact_sheet import Guess, Row, contact_sheet
from producer.local.demo import split_last_line
from producer.progress import Display
from shared.contract import JobState, WebhookStatus
from tests.support.jobs.statuses import status


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (9.96, "10.0 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    """Precise where it is short."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (90, "90 s"), (190, "3 min"), (94e3, "26 h"), (2e5, "2 days")]
)
def test_how_long_ago_is_for_people(seconds: float, text: str) -> None:
    """Also where the clock of Redis is ahead of ours."""
    then = datetime.now(UTC) - timedelta(seconds=seconds)
    assert ago(then.isoformat()) == f"{text} ago"


def test_milliseconds_keep_two_digits() -> None:
    """Enough to compare the steps of an image's way."""
    assert [milliseconds(x) for x in (0.00042, 0.00271, 0.018, 1.3)] == ["0.42 ms", "2.7 ms", "18 ms", "1,300 ms"]


def test_rates_and_counts_are_for_people() -> None:
    """Three digits say enough; one image is not images."""
    assert [rate(x) for x in (0, 0.254, 4.04, 41.2, 12_000)] == [
        "0 images/s",
        "0.25 images/s",
        "4.0 images/s",
        "41 images/s",
        "12,000 images/s",
    ]
    assert [count(n, "image") for n in (0, 1, 12_000)] == ["0 images", "1 image", "12,000 images"]


def test_a_webhook_is_told_in_a_line() -> None:
    """Where it stands, how often it was tried, and why it did not work."""
    hook = WebhookStatus(url="https://h/x", state="waiting", attempts=0, reason=None)
    tried = msgspec.structs.replace(hook, attempts=2, reason="HTTP 503")

    assert webhook_line(hook) == "waiting for https://h/x"
    assert webhook_line(tried) == "waiting for https://h/x, 2 attempts: HTTP 503"
    assert webhook_line(msgspec.structs.replace(hook, state="delivered", attempts=1)) == "delivered to https://h/x"
    assert webhook_line(msgspec.structs.replace(tried, state="failed")).startswith("gave up on https://h/x")


def test_a_page_tells_what_became_of_a_webhook() -> None:
    """Nothing where none was asked for, and nothing of its address."""
    hook = WebhookStatus(url="https://h/x", state="waiting", attempts=2, reason="HTTP 503")
    ended = replace(status(), state=JobState.PARTIAL, webhook=hook)

    assert webhook_outcome(status()) == ""
    assert webhook_outcome(replace(ended, state=JobState.RUNNING)) == "when the job ends"
    assert webhook_outcome(ended) == "waiting, 2 attempts: HTTP 503"
    assert webhook_outcome(replace(ended, webhook=replace(hook, state="delivered", reason=None))) == "delivered"
    assert webhook_outcome(replace(ended, webhook=replace(hook, state="failed"))) == "given up, 2 attempts: HTTP 503"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sealed": True, "eta_s": 65.0}, "1 min 05 s left"),
        ({"sealed": True, "running": 3, "eta_s": None}, "estimating"),
        ({"sealed": True, "queued": 3, "running": 0}, "queued"),
        ({"sealed": False, "running": 3}, "being submitted"),
        ({"sealed": False, "running": 3, "submission_interrupted": True}, "submission interrupted"),
    ],
)
def test_the_time_left_is_said_or_why_it_is_not_known(changes: dict[str, Any], says: str) -> None:
    """Nobody has to guess what an empty place means."""
    nothing = {"succeeded": 0, "failed": 0, "cancelled": 0}
    assert time_left(replace(status(0), **{**nothing, **changes})) == says


def test_a_small_share_is_not_called_nothing() -> None:
    """As on the pages, and in what is written onto overlays."""
    assert [share(value) for value in (None, 0.0, 0.0004, 0.001, 0.6667)] == ["", "0.0%", "< 0.1%", "0.1%", "66.7%"]


def test_a_file_name_cannot_move_the_cursor() -> None:
    """Names come from strangers; letters and emoji stay as they are."""
    assert visible("a\nb\x1b[31m\udce9.png") == r"a\nb\x1b[31m\xe9.png"
    assert visible("Käse 🐈.png") == "Käse 🐈.png"


def test_a_file_name_cannot_move_the_text_of_a_page() -> None:
    """Line ends and marks that turn the direction are escapes; what joins emoji and letters is no danger."""
    assert shown("a\n\u202egpj.exe") == r"a\n\u202egpj.exe"
    assert shown("🐈\u200d⬛ a\u200cb.png") == "🐈\u200d⬛ a\u200cb.png"


def test_progress_off_a_terminal_is_a_plain_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing on stdout, which may be JSON; no line per image in a log file."""
    now = [0.0]
    monkeypatch.setattr("producer.progress.time.monotonic", lambda: now[0])
    with Display() as display:
        for second in range(11):
            now[0] = float(second)
            display.upload(second, 20)
        display.status(status(1))

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["uploading: 5 of 20 images", "uploading: 10 of 20 images"]


def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int) -> list[str]:
    """The last lines of an upload of unknown size and a job that has begun, on a terminal so wide."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Display() as display:
        display.upload(3, None)
        display.status(msgspec.structs.replace(status(0), running=1, failed=123_456))
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).replace("\r", "\n").splitlines()
    return [line.rstrip() for line in lines if line.strip()][-2:]


def test_a_bar_has_no_total_before_it_is_known_and_shows_that_work_began(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """rich takes 100 for it otherwise; before the first chunk is done there is no rate."""
    uploading, explaining = drawn(monkeypatch, capsys, 120)

    assert (uploading.split()[0], uploading.split()[-1]) == ("uploading", "3/?")
    assert "123456/2 1 in work, estimating" in explaining


def test_a_bar_leaves_room_for_the_interrupt_that_a_terminal_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a full line `^C` would begin a new one, and the bar stand there twice."""
    lines = drawn(monkeypatch, capsys, 60)

    assert max(map(len, lines)) <= 57
    assert lines[1].endswith("…")


def test_a_display_that_is_off_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """As in `job.wait()` of a script; a notice goes to its log."""
    with Display(enabled=False) as display:
        display.status(status(1))

    assert capsys.readouterr() == ("", "")


def test_the_last_line_of_a_download_is_held_back_as_the_possible_reason() -> None:
    """A progress bar, which ends its lines with a carriage return, is passed on."""
    assert split_last_line(b"10%\r20%\r30") == (b"10%\r20%\r", b"30")
    assert split_last_line(b"one\ntwo\n") == (b"one\n", b"two\n")
    assert split_last_line(b"two\nthree") == (b"two\n", b"three")


def make_row(name: str, guesses: int, size: tuple[int, int] = (60, 40)) -> Row:
    colours = ["#ff0000", "#00ff00", "#0000ff"]
    overlays = [Guess(f"label {n}", 0.5**n, Image.new("RGB", size, colours[n])) for n in range(guesses)]
    return Row(name, Image.new("RGB", size, "#808080"), overlays)


def test_the_contact_sheet_shows_each_picture_beside_its_overlays() -> None:
    """Cells of one size in a grid, whatever the pictures' sizes."""
    drawn = contact_sheet([make_row("first", 3), make_row("second", 2, size=(20, 90))], "title", "subtitle")

    def middle(column: int, row: int) -> tuple[int, ...]:
        x = sheet.MARGIN + column * (sheet.CELL[0] + sheet.GAP) + sheet.CELL[0] // 2
        y = sheet.HEAD + row * (sheet.CELL[1] + sheet.CAPTION + sheet.GAP) + sheet.CELL[1] // 2
        return drawn.getpixel((x, y))  # type: ignore[return-value]

    assert [middle(column, 0) for column in range(4)] == [(128,) * 3, (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert [middle(column, 1) for column in range(4)] == [(128,) * 3, (255, 0, 0), (0, 255, 0), (255, 255, 255)]


def test_a_long_label_on_the_sheet_is_shortened_inside_its_cell() -> None:
    """Nothing is drawn over a neighbour or the margin."""
    long = Row("n" * 300, Image.new("RGB", (6, 4)), [Guess("l" * 300, 1.0, Image.new("RGB", (6, 4)))])

    drawn = contact_sheet([long], "t", "s")

    left, right = sheet.MARGIN + sheet.CELL[0], sheet.MARGIN + sheet.CELL[0] + sheet.GAP
    for strip in ((left, sheet.HEAD, right, drawn.height), (drawn.width - sheet.MARGIN, 0, drawn.width, drawn.height)):
        part = drawn.crop(strip)
        assert ImageChops.difference(part, Image.new("RGB", part.size, sheet.PAPER)).getbbox() is None


def test_the_sheet_is_a_file_any_viewer_opens(tmp_path: Path) -> None:
    """JPEG, RGB."""
    buffer = io.BytesIO()
    contact_sheet([make_row("one", 1)], "t", "s").save(buffer, "JPEG")
    with Image.open(buffer) as again:
        assert (again.format, again.mode) == ("JPEG", "RGB")
