"""Tables fit the terminal, and a pipe gets one line per row."""

import re

import pytest
from rich.console import Console

from producer.cli.tables import Table, cell, show

JOB, OTHER, MODEL = "20261123-081502-3f9ac2", "20261123-081502-3f9ac3", "resnet18@0123456789ab"


def jobs() -> Table:
    table = Table(
        *("job", "name", "state", "images", "left", "model"),
        numbers=["left"],
        fold=["name", "images"],
        drop=["model", "left", "name"],
    )
    table.add_row(JOB, "holiday", "running", "400 of 943, 3 failed", "3 min 05 s", MODEL)
    table.add_row(OTHER, "", "submission interrupted", "400 of 432 so far", "", MODEL)
    return table


def drawn(table: Table, width: int) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as text:
        console.print(table.fitted(width))
    return [line.rstrip() for line in text.get().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_a_job_id_and_a_state_are_never_folded(width: int) -> None:
    """And no line is wider than the terminal."""
    lines = drawn(jobs(), width)

    assert all(len(line) <= width for line in lines)
    assert sum(JOB in line and "running" in line for line in lines) == 1
    assert sum(OTHER in line and "submission interrupted" in line for line in lines) == 1


def test_what_is_least_needed_goes_first() -> None:
    """The digest, then whole columns in the order given."""
    heads = {width: drawn(jobs(), width)[0].split() for width in (60, 75, 88, 90, 110, 130)}
    wide, narrower = drawn(jobs(), 130), drawn(jobs(), 110)

    assert heads[130] == heads[110] == ["job", "name", "state", "images", "left", "model"]
    assert MODEL in wide[2]
    assert "resnet18" in narrower[2]
    assert "@" not in narrower[2]
    assert heads[90] == ["job", "name", "state", "images", "left"]
    assert heads[88] == ["job", "name", "state", "images"]
    assert heads[75] == ["job", "state", "images"]


def test_an_empty_column_takes_no_room() -> None:
    """Nobody named a job."""
    table = Table("job", "name", "state")
    table.add_row(JOB, "", "running")

    assert drawn(table, 60)[0].split() == ["job", "state"]


def test_a_cropped_column_stays_on_one_line() -> None:
    """A table of results is to be looked over."""
    table = Table("image", "source", "what it shows", fold=["source"], crop=["what it shows"])
    table.add_row("0", "photos/IMG_0001.png", "tabby 50.0%, " * 20)

    lines = drawn(table, 60)
    assert len(lines) == 3
    assert "photos/IMG_0001.png  tabby" in lines[2]
    assert lines[2].endswith("…")


def test_a_pipe_gets_one_line_for_each_row_however_wide(capsys: pytest.CaptureFixture[str]) -> None:
    """So that grep and wc work: a head, no rule, nothing dropped, nothing folded."""
    table = jobs()
    table.add_row(JOB, "n" * 500, "running", "1", "", MODEL)
    show(table)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.split(" {2,}", lines[1]) == [JOB, "holiday", "running", "400 of 943, 3 failed", "3 min 05 s", MODEL]
    assert "n" * 500 in lines[3]
    assert all(line == line.rstrip() and "─" not in line for line in lines)


def test_nothing_in_a_cell_is_markup_or_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Names come from strangers."""
    table = Table("name")
    table.add_row(cell("[bold]a\n\x1b[31m"))
    show(table)

    assert capsys.readouterr().out.splitlines() == ["name", r"[bold]a\n\x1b[31m"]
