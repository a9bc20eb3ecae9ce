"""Options of the command line come from their one declaration, and so do their errors."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from producer.cli.main import cli
from producer.cli.options import HEADINGS, request_from_options
from shared.checks.options import OPTIONS, check_values
from shared.errors import UsageError

SUBMIT = cli.commands["submit"]


def test_every_option_of_a_job_is_an_option_of_submit_with_its_help_and_default() -> None:
    """A new field of the contract needs no line in the command."""
    found = {option.name: option for option in SUBMIT.params if isinstance(option, click.Option)}

    for name, declared in OPTIONS.items():
        text = found[name].help or ""
        assert declared.help
        assert text.startswith(declared.help)
        if declared.default_text:
            assert f"[default: {declared.default_text}" in text


@pytest.mark.parametrize("command", ["submit", "run"])
def test_each_option_of_a_job_stands_once_in_the_help_and_under_a_heading(command: str) -> None:
    """Forty options in one list are not found; a new field of the contract gets its heading too."""
    text = CliRunner().invoke(cli, [command, "--help"]).stdout
    flags = [line.split()[0] for line in text.splitlines() if line.startswith("  -")]
    headed = [name for names in HEADINGS.values() for name in names]
    known = {option.name for option in SUBMIT.params}

    assert sorted(flags) == sorted(set(flags))
    assert {f"--{name.replace('_', '-')}" for name in OPTIONS} - {"--output"} <= set(flags)
    assert OPTIONS.keys() <= set(headed) <= known
    assert len(headed) == len(set(headed))
    assert [f"{heading}:" for heading in HEADINGS] == [line for line in text.splitlines() if line[:-1] in HEADINGS]


@pytest.mark.parametrize(
    ("name", "text", "value", "says"),
    [
        ("scale", "eahc", "eahc", "'eahc' (did you mean each?): expected one of each, shared"),
        ("scale", "xyz", "xyz", "'xyz': expected one of each, shared"),
        ("top_k", "x", "x", "'x': expected a whole number of at least 1"),
        ("top_k", "0", 0, "0: expected a whole number of at least 1"),
        ("input_size", "31", 31, "31: expected a whole number from 32 to 4096"),
        ("alpha", "half", "half", "'half': expected a number from 0 to 1"),
        ("alpha", "nan", float("nan"), "nan: expected a number from 0 to 1"),
        ("box_threshold", "1", 1.0, "1.0: expected a number between 0 and 1"),
    ],
)
def test_command_and_api_refuse_a_value_with_the_same_sentence(name: str, text: str, value: Any, says: str) -> None:
    """Apart from the option's name, which each writes as its user did; exit status 2."""
    flag = f"--{name.replace('_', '-')}"
    done = CliRunner().invoke(cli, ["submit", "x.png", flag, text])

    assert done.exit_code == 2
    assert f"Error: invalid {flag} {says}" in done.stderr
    with pytest.raises(UsageError) as caught:
        check_values({name: value})
    assert str(caught.value) == f"invalid {name} {says}"


def test_a_shell_is_offered_colormaps() -> None:
    """There are too many to remember."""
    (option,) = (option for option in SUBMIT.params if option.name == "colormap")
    found = option.shell_complete(click.Context(SUBMIT), "virid")

    assert [item.value for item in found] == ["viridis", "viridis_r"]


def test_the_help_fits_a_narrow_terminal() -> None:
    """A long list of words wraps with the text and is not one long word."""
    text = CliRunner().invoke(cli, ["submit", "--help"], terminal_width=60).output

    assert [line for line in text.splitlines() if len(line) > 60 and "  camq" not in line] == []


@pytest.mark.parametrize(
    ("line", "heatmaps", "paths"),
    [
        ("--heatmaps a.jpg b.jpg", True, ("a.jpg", "b.jpg")),
        ("--heatmaps full a.jpg", "full", ("a.jpg",)),
        ("a.jpg --heatmaps full", "full", ("a.jpg",)),
        ("a.jpg --heatmaps", True, ("a.jpg",)),
        ("--heatmaps=full a.jpg", "full", ("a.jpg",)),
        ("--heatmaps ./full", True, ("./full",)),
        ("--heatmaps --top-k 2 full", True, ("full",)),
        ("a.jpg -- --heatmaps full", None, ("a.jpg", "--heatmaps", "full")),
    ],
)
def test_heatmaps_is_a_flag_that_a_word_may_follow(line: str, heatmaps: object, paths: tuple[str, ...]) -> None:
    """Any other word is a path, as it was before the flag knew words."""
    context = SUBMIT.make_context("submit", line.split())

    assert (context.params["heatmaps"], context.params["paths"]) == (heatmaps, paths)


def test_a_word_that_heatmaps_does_not_know_is_refused() -> None:
    """Where it can be nothing else."""
    answer = CliRunner().invoke(cli, ["submit", "--heatmaps=half", "a.jpg"])

    assert answer.exit_code == 2
    assert "invalid --heatmaps 'half': expected true, false or full" in answer.output


def test_a_zero_is_given_and_a_flag_that_is_not_set_is_not() -> None:
    """`--alpha 0` shows the picture alone."""
    rest = dict.fromkeys(("priority", "job_id", "name", "webhook", "truth"))
    given = {"alpha": 0.0, "heatmaps": False, "top_k": None, "tags": (), **rest}

    assert request_from_options(None, given).options == {"alpha": 0.0}


@pytest.mark.parametrize("command", ["submit", "run", "evaluate"])
def test_a_manifest_may_be_a_folder_of_pascal_voc(command: str, tmp_path: Path) -> None:
    """Wherever pictures are given."""
    manifest = next(option for option in cli.commands[command].params if option.name == "manifest")

    assert manifest.type.convert(str(tmp_path), manifest, None) == str(tmp_path)
