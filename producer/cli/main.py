"""The `camq` command: its list of commands, and the exit status for every error."""

import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import click
import msgspec
from click_didyoumean import DYMGroup  # type: ignore[import-untyped]

from producer.cli.commands import (
    doctor_inspect,
    evaluate,
    jobs,
    report_compare,
    results,
    run_demo_up,
    serve_token,
    show,
    status_watch,
    submit,
    summary,
    upkeep,
    workers,
)
from shared.config import PREFIX, Settings
from shared.errors import CamqError
from shared.text import did_you_mean, visible, visible_lines

EXIT_OTHER = 5
EXIT_INTERRUPTED = 130
#: Variables that the deployment's own files read.
_OTHERS = frozenset({"CAMQ_PUBLISH", "CAMQ_TAG"})
#: Kubernetes sets variables for every service, such as `camq-exporter`; their names begin with the service's name.
_SERVICE = "SERVICE_HOST"


class Sections(DYMGroup):  # type: ignore[misc]
    """A group that lists its commands under headings, in the order in which they were added."""

    def __init__(self, *arguments: object, **attributes: object) -> None:
        # With the library's own cutoff every short name is similar to every other one.
        super().__init__(*arguments, cutoff=0.6, **attributes)
        self._sections: dict[str, list[str]] = {}

    def add_section(self, head: str, lines: dict[click.Command, str]) -> None:
        """Add commands under a heading, each with its line in the help."""
        for command, line in lines.items():
            command.short_help = line
            self.add_command(command)
        self._sections[head] = [command.name or "" for command in lines]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """As click does, section by section; the lines begin at the same column in all of them."""
        widest = max(map(len, self.commands))
        for head, names in self._sections.items():
            with formatter.section(head):
                formatter.write_dl([(f"{name:<{widest}}", self.commands[name].get_short_help_str()) for name in names])


def unknown_variables(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """A warning for each CAMQ_* variable that is not a setting: most often a mistyped name."""
    known = [PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)]
    services = tuple(name.removesuffix(_SERVICE) for name in environ if name.endswith(_SERVICE))
    for name in sorted(environ.keys() - {*known, *_OTHERS}):
        if name.startswith(PREFIX) and not name.endswith("_FILE") and not name.startswith(services):
            yield f"{name} is not a setting of camq and is ignored{did_you_mean(name, known, most=1)}"


@click.group(
    cls=Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Run `camq demo` first. JOB is a job's id, the beginning of one, its name,"
    " or `latest`, the newest that is no evaluation."
    " Exit status: 0 done, 1 images failed, 2 usage, 3 no such job,"
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
        run_demo_up.demo: "Explain sample photos",
        run_demo_up.run: "Explain pictures on this machine, one shot",
        show.show: "Show a picture or overlay in the terminal",
    },
)
cli.add_section(
    "Submit and look",
    {
        submit.submit: "Submit pictures and print the job's id",
        jobs.jobs: "List the newest jobs",
        status_watch.status: "Show the state of a job",
        status_watch.watch: "Follow a job until it has finished",
        results.results: "Show, print or download a job's results",
        results.export: "Write results as COCO or for FiftyOne",
        summary.summary: "Show how often a job was right, and where not",
        report_compare.compare: "Compare two jobs of the same pictures",
        evaluate.evaluate: "Measure how faithful maps are",
        report_compare.report: "Write a job's results as an HTML page",
        serve_token.ui: "Serve the live web page",
        upkeep.retry: "Retry a job's failed images",
        jobs.cancel: "Cancel a job",
    },
)
cli.add_section(
    "Run",
    {
        run_demo_up.up: "Run servers and workers until Ctrl-C",
        workers.worker: "Run one worker, or one for each GPU",
        workers.workers: "List the live workers",
        serve_token.serve: "Serve the HTTP API and the live page",
        serve_token.token: "Make, list and revoke tokens of the API",
    },
)
cli.add_section(
    "Upkeep",
    {
        doctor_inspect.doctor: "Check servers, weights and device",
        doctor_inspect.inspect: "Show what camq makes of a checkpoint",
        upkeep.seal: "Finish an interrupted submission as it is",
        upkeep.rm: "Delete a job",
        upkeep.gc: "Delete data that no job needs",
        upkeep.completion: "Print a completion script for your shell",
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
        # The reader of our output has left; Python must not try to flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OTHER
    except Exception:  # noqa: BLE001 - a bug: a report needs the trace, a script the status
        traceback.print_exc()
        click.echo("Error: this is a bug in camq; the lines above say where", err=True)
        return EXIT_OTHER
