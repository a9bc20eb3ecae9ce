"""The `camq` command: what its exit status means is decided here and nowhere else."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from producer.cli.commands import (
    completion,
    doctor,
    fleet,
    jobs,
    local,
    read,
    report,
    results,
    show,
    submit,
    ui,
    upkeep,
)
from producer.cli.environment import unknown_variables
from producer.cli.group import Sections
from shared.errors import CamqError
from shared.text import visible, visible_lines

EXIT_OTHER = 5
EXIT_INTERRUPTED = 130


@click.group(
    cls=Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try `camq demo` first. Exit status: 0 done, 1 images failed, 2 usage, 3 no such job,"
    " 4 a service cannot be reached, 5 anything else, 130 interrupted.",
)
@click.version_option(package_name="camq")
def cli() -> None:
    """camq shows where an image classifier looked, for one picture or ten million."""
    for sentence in unknown_variables():
        click.echo(f"Warning: {visible(sentence)}", err=True)


cli.add_section(
    "Try",
    {
        local.demo: "Explain sample photos, all by itself",
        local.run: "Explain pictures here, then stop everything",
        show.show: "Show a picture or overlay in the terminal",
    },
)
cli.add_section(
    "Submit and look",
    {
        submit.submit: "Submit pictures and print the job's id",
        jobs.jobs: "List the newest jobs",
        read.status: "Show where a job stands",
        read.watch: "Follow a job until it has finished",
        results.results: "Show, print or fetch a job's results",
        report.report: "Write a job's gallery as one page",
        ui.ui: "Serve the live page",
        upkeep.retry: "Run a job's failed images again",
        jobs.cancel: "Stop a job",
    },
)
cli.add_section(
    "Run",
    {
        local.up: "Run servers and workers until Ctrl-C",
        fleet.worker: "Run one worker, or one for each GPU",
        fleet.workers: "List the live workers",
    },
)
cli.add_section(
    "Upkeep",
    {
        doctor.doctor: "Check this machine; faults have remedies",
        upkeep.seal: "Close an interrupted submission as it is",
        upkeep.rm: "Delete a job now",
        upkeep.gc: "Delete what no job needs any more",
        completion.completion: "Print a completion script for your shell",
    },
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process with its status."""
    sys.exit(_status(arguments))


def _status(arguments: Sequence[str] | None) -> int:
    try:
        return int(cli.main(arguments, prog_name="camq", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except CamqError as error:
        click.echo(f"Error: {visible_lines(str(error))}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # Who read our output has left; Python must not try to flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OTHER
    except Exception:  # noqa: BLE001 - a bug: whoever reports it needs the trace, whoever scripts it the status
        traceback.print_exc()
        click.echo("Error: this is a bug in camq; the lines above say where", err=True)
        return EXIT_OTHER
