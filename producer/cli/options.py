"""The options of `submit` and `run`, made from their declarations in `shared.contract.Options`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from producer.cli.parameters import Value, choice
from shared.checks.options import OPTIONS
from shared.contract import PRIORITIES, TRUTH_FROM

if TYPE_CHECKING:
    from producer.submission.request import Request

F = TypeVar("F", bound=Callable[..., Any])
#: An option of more words, such as a colormap, is described by the documentation; its help names none.
_MOST_IN_HELP = 12
#: Columns of the help that flags take; a longer one has a line of its own.
_FLAGS = 28
#: The options of a job as its help lists them: by what they are about.
HEADINGS = {
    "Pictures": ("manifest", "source_column", "resize", "input_size", "range", "truncated"),
    "Classes": ("top_k", "min_probability", "classes", "truth", "explain"),
    "Maps": ("method", "target", "target_layer", "scale", "smooth", "evaluate", "randomise"),
    "Overlays": ("only", "overlay", "overlay_size", "format", "colormap", "alpha", "caption"),
    "Boxes and masks": ("box_threshold", "boxes", "masks", "mask_threshold"),
    "Also stored": ("heatmaps", "keep_maps", "output"),
    "The job": ("job_id", "name", "tags", "priority", "webhook"),
}


def option_of(name: str) -> Callable[[F], F]:
    """The command-line option for one declared option of a job."""
    declared = OPTIONS[name]
    flag = f"--{name.replace('_', '-')}"
    if declared.values.kind is bool and not declared.values.choices:
        return click.option(flag, is_flag=True, help=declared.help)
    kind = None if declared.values.kind is tuple else Value(declared.values)
    if declared.values.kind is bool:
        return click.option(flag, is_flag=False, flag_value="true", type=kind, help=_help(name, kind))
    return click.option(flag, metavar=declared.metavar, type=kind, help=_help(name, kind))


class JobCommand(click.Command):
    """A command with the options of a job.

    Its help lists them under headings. A flag may be followed by one of its words, as in `--heatmaps full`; any other
    word after it is an argument, as after every flag.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Each such flag is given its value before click reads the arguments."""
        return super().parse_args(ctx, list(_with_values(args)))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, then those of every job; all texts begin at the same column."""
        options = (parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option))
        records = {option.name: option.get_help_record(ctx) for option in options}
        of_jobs = {name for names in HEADINGS.values() for name in names}
        own = tuple(str(name) for name in records if name not in of_jobs)
        for heading, names in {"Options": own, **HEADINGS}.items():
            with formatter.section(heading):
                rows = [record for name in names if (record := records.get(name))]
                formatter.write_dl([(f"{flag:<{_FLAGS}}", text) for flag, text in rows], col_max=_FLAGS)


def _with_values(args: list[str]) -> Iterator[str]:
    words = {
        f"--{name.replace('_', '-')}": option.values.choices
        for name, option in OPTIONS.items()
        if option.values.kind is bool and option.values.choices
    }
    rest = deque(args)
    while rest:
        argument = rest.popleft()
        if argument == "--":
            yield argument
            yield from rest
            return
        if argument in words:
            is_followed = bool(rest) and rest[0] in words[argument]
            yield f"{argument}={rest.popleft() if is_followed else 'true'}"
        else:
            yield argument


def _help(name: str, kind: Value | None) -> str:
    declared = OPTIONS[name]
    words = declared.values.choices
    default = f"default: {declared.default_text}" if declared.default_text else ""
    facts = "; ".join(filter(None, (default, declared.values.limits)))
    in_metavar = kind is not None and len(f"[{'|'.join(words)}]") <= 30
    listed = f" One of {', '.join(words)}." if words and not in_metavar and len(words) <= _MOST_IN_HELP else ""
    return f"{declared.help}{listed}{f'  [{facts}]' if facts else ''}"


_SUBMITTING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--priority",
        type=choice(PRIORITIES),
        help="Queue in which the job waits.  [default: high for at most 16 images, else bulk]",
    ),
    click.option(
        "--truth",
        type=choice(TRUTH_FROM),
        help="Take the labels of a table, or the names of folders, as ground truth; each must be a class of the model.",
    ),
    click.option(
        "--job-id",
        metavar="ID",
        help="Id of the job. Submitting the same pictures under an id again resumes an interrupted submission;"
        " a complete one is left as it is. `camq jobs` lists one that begins with explain- with --all only.",
    ),
    click.option("--name", metavar="TEXT", help="Name of the job, shown by `camq status` and `camq jobs`."),
    click.option(
        "--webhook",
        metavar="URL",
        help="Send the final status to this URL, signed. CAMQ_WEBHOOK_HOSTS must allow its host.",
    ),
    click.option(
        "--tag",
        "tags",
        metavar="TEXT",
        multiple=True,
        help="Tag the job; `camq jobs --tag` finds it, and its results carry the tag. Can be repeated.",
    ),
)


def job_options(function: F) -> F:
    """Adds the options of every job except `--output`, which needs storage that outlives the command."""
    drawing = (option_of(name) for name in OPTIONS if name != "output")
    for option in reversed([*drawing, *_SUBMITTING]):
        function = option(function)
    return function


def request_from_options(model: str | None, given: dict[str, Any]) -> Request:
    """The request that the parameters of a command make; a flag that is not set is not given, a zero is."""
    from producer.submission.request import Request

    chosen = {name: value for name, value in given.items() if value is not None and value is not False}
    return Request(
        model=model,
        options={name: value for name, value in chosen.items() if name in OPTIONS},
        priority=given["priority"],
        job_id=given["job_id"],
        name=given["name"],
        webhook=given["webhook"],
        tags=given["tags"],
        truth=given["truth"],
    )
