"""Names on stdin, and lengths of time."""

import io
import os
from pathlib import Path

import click
import pytest

from producer.cli.parameters import DURATION
from producer.cli.paths import read_names, read_stdin
from producer.inputs.source import BytesSource
from shared.errors import UsageError
from tests.support.jobs.scripted_worker import picture


class Slow(io.BytesIO):
    """Gives a few bytes at a time, as a pipe may."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(3)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (b"a.png\nb b.png\n", ["a.png", "b b.png"]),
        (b"a.png\n\nb.png", ["a.png", "b.png"]),
        (b"a\nb.png\0c.png\0", ["a\nb.png", "c.png"]),
        (b"", []),
        (b"a.png\r\nb.png\r\n\r\n", ["a.png", "b.png"]),
        (b'"sp ace/a.jpg"\n"b.png"\r\n', ["sp ace/a.jpg", "b.png"]),
        (b"caf\xe9.png\n", [os.fsdecode(b"caf\xe9.png")]),
    ],
)
def test_names_end_with_a_line_or_with_nul(written: bytes, names: list[str]) -> None:
    """As `ls` and `find -print0` write them."""
    assert list(read_names(io.BytesIO(written))) == names


def test_a_picture_itself_may_stand_on_stdin() -> None:
    """Never its bytes as names; what is bytes and no picture says what it is."""
    (source,) = read_stdin(io.BytesIO(picture()))
    assert isinstance(source, BytesSource)
    assert (source.name, source.read(1_000_000)) == ("stdin", picture())
    assert list(read_stdin(io.BytesIO(b"a.png\n"))) == ["a.png"]
    for other in (b"\0\0\0\x18ftypheic" + bytes(20), bytes(128) + b"DICM"):  # a worker may have the library
        (source,) = read_stdin(io.BytesIO(other))
        assert isinstance(source, BytesSource)
    with pytest.raises(UsageError, match="stdin is PDF, which camq does not read: draw its pages"):
        list(read_stdin(io.BytesIO(b"%PDF-1.4\n")))


def test_a_file_that_is_really_called_so_is_taken_to_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quotes and carriage returns may be parts of names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / '"odd".png"').touch()
    (tmp_path / "odd\r").touch()

    assert list(read_names(io.BytesIO(b'"odd".png"\nodd\r\n'))) == ['"odd".png"', "odd\r"]


def test_a_name_may_come_in_pieces() -> None:
    """A pipe cuts where it likes."""
    assert list(read_names(Slow(b"\0first.png\0second.png\0"))) == ["first.png", "second.png"]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)])
def test_lengths_of_time_have_a_unit(text: str, seconds: int) -> None:
    """Seconds, minutes, hours, days."""
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["1", "h", "1 h", "-1h", "1w"])
def test_a_length_of_time_without_one_is_refused(text: str) -> None:
    """With examples."""
    with pytest.raises(click.UsageError, match="such as 90s, 12h or 7d"):
        DURATION.convert(text, None, None)
