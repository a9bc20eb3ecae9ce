"""The `camq` command: what its exit status means is decided here and nowhere else."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click
from click_didyoumean import DYMGroup  # type: ignore[import-untyped]

from producer.commands import completion, doctor, fleet, jobs, local, read, report, results, show, submit, ui, upkeep
from producer.wording import visible
from shared.errors import CamqError, UnreachableError

EXIT_OTHER = 5
EXIT_INTERRUPTED = 130


@click.group(
    cls=DYMGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try `camq demo` first. Exit status: 0 done, 1 images failed, 2 usage, 3 no such job,"
    " 4 a service cannot be reached, 5 anything else, 130 interrupted.",
)
@click.version_option(package_name="camq")
def cli() -> None:
    """camq shows where an image classifier looked, for one picture or ten million."""


for _command in (
    *(local.demo, local.up, local.run),
    *(submit.submit, read.status, read.watch, results.results, show.show),
    *(jobs.jobs, jobs.cancel),
    *(upkeep.retry, upkeep.seal, upkeep.rm, upkeep.gc),
    *(fleet.worker, fleet.workers, doctor.doctor),
    *(report.report, ui.ui, completion.completion),
):
    cli.add_command(_command)


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
        click.echo(f"Error: {_lines(str(error))}", err=True)
        if isinstance(error, UnreachableError) and "CAMQ_REDIS_URL" not in os.environ:
            click.echo("Is `camq up` running? Load its settings here: set -a; . camq-data/camq.env; set +a", err=True)
        return error.exit_code
    except BrokenPipeError:
        # Who read our output has left; Python must not try to flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OTHER
    except Exception:  # noqa: BLE001 - a bug: whoever reports it needs the trace, whoever scripts it the status
        traceback.print_exc()
        click.echo("Error: this is a bug in camq; the lines above say where", err=True)
        return EXIT_OTHER


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
