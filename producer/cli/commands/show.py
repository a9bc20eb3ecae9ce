"""`camq show`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import recent_jobs, whole
from producer.cli.paths import complete_files
from producer.formatting import share
from producer.lookup import find_job
from shared.errors import UsageError
from shared.text import visible

if TYPE_CHECKING:
    from PIL.Image import Image

    from producer.results.objects import ImageResult, Prediction

#: Lines that stay free for the caption and the next prompt.
_SPARE_LINES = 3


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, and the newest job ids followed by a colon, after which an index is typed."""
    jobs = recent_jobs(context, parameter, incomplete)
    return [CompletionItem(f"{job.value}:", help=job.help) for job in jobs] + complete_files(
        context, parameter, incomplete
    )


@click.command()
@click.argument("what", metavar="FILE|JOB:INDEX", shell_complete=_complete)
@click.option("--rank", type=whole(1), help="Rank of the overlay to show.  [default: the best]")
@json_option
def show(what: str, rank: int | None, as_json: bool) -> None:
    """Show a picture file, or the overlay of a job's image, in the terminal.

    The picture is drawn as large as the terminal allows, in 24-bit colour, or in shades if NO_COLOR is set. With
    --json, prints facts about the picture instead.

    \b
    Examples:
      camq show cat.jpg
      camq show 20261123-081502-3f9ac2:0
      camq show 20261123-081502-3f9ac2:17 --rank 2
    """
    of_job = re.fullmatch(r"([^:]+):(\d{1,9})", what)
    if Path(what).is_file():
        show_file(what, as_json=as_json)
    elif of_job:
        _show_image(of_job[1], int(of_job[2]), rank, as_json=as_json)
    else:
        job = what if re.fullmatch(r"[A-Za-z0-9][\w-]{0,63}", what) else "20261123-081502-3f9ac2"
        raise UsageError(f"invalid argument {what!r}: expected an existing file, or JOB:INDEX such as {job}:0")


def show_file(name: str, *, as_json: bool) -> None:
    from PIL import Image

    from shared.pictures import readable_formats

    try:
        with Image.open(name, formats=readable_formats()) as picture:
            if as_json:
                emit({"file": name, "format": picture.format, "width": picture.width, "height": picture.height})
            else:
                _draw(picture, f"{name}, {picture.width} x {picture.height}")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"cannot show {name}: {error}") from error


def _show_image(job: str, index: int, rank: int | None, *, as_json: bool) -> None:
    from producer.results.objects import ImageResult
    from producer.results.records import record_at

    with services() as reach:
        job = find_job(reach.ledger, job)
        record = record_at(reach.ledger, reach.store, job, index)
        if as_json:
            emit(record)
            return
        result = ImageResult.of(record, reach.store)
        shown = _chosen(result, rank)
        _draw(shown.overlay(), f"{result.source}: {shown.rank}. {shown.label} {share(shown.probability)}")


def _chosen(result: ImageResult, rank: int | None) -> Prediction:
    """The prediction of this rank. UsageError with the reason when there is none."""
    if result.error:
        raise UsageError(f"image {result.index} failed, {result.error.code}: {result.error.message}")
    if not result.predictions:
        raise UsageError(f"image {result.index} is still {result.state}")
    for prediction in result.predictions:
        if rank in (None, prediction.rank):
            return prediction
    ranks = ", ".join(str(prediction.rank) for prediction in result.predictions)
    raise UsageError(f"image {result.index} has no overlay of rank {rank}: its ranks are {ranks}")


def _draw(picture: Image, caption: str) -> None:
    from producer.cli.half_blocks import drawn

    columns, lines = shutil.get_terminal_size()
    text = drawn(picture, columns, lines - _SPARE_LINES, colours=not os.environ.get("NO_COLOR"))
    # `color` keeps click from taking the colours away in a pipe, such as one into `less -R`.
    click.echo(text, color=True)
    say(visible(caption))
