"""`camq submit`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from producer.cli.commands.read import conclude, leaving, wait_for
from producer.cli.common import emit, json_option, say, services
from producer.cli.dry_run import dry_run_option, would_submit
from producer.cli.options import asked, job_options
from producer.cli.paths import all_of, given_pictures, paths_argument
from producer.cli.values import complete_models


@click.command(
    epilog="""\b
Examples:
  camq submit cat.jpg dog.png --wait
  camq submit photos/ 'scans/**/*.tif' --top-k 5 --name holiday
  camq submit s3://bucket/prefix --classes 283,"tabby" --json
  camq submit holiday.zip scans.tar.gz --dry-run
  find . -name '*.png' -print0 | camq submit -
  camq submit --manifest pictures.csv --tag nightly --output s3://mine/looked
""",
)
@paths_argument
@click.option(
    "--model",
    metavar="M",
    shell_complete=complete_models,
    help="Model, as a name or name@digest.  [default: the one being served]",
)
@job_options
@click.option(
    "--output",
    metavar="ADDRESS",
    help="Write overlays, heatmaps and maps below this s3://bucket/prefix of yours, in a folder named as the job.",
)
@click.option("--wait", is_flag=True, help="Wait for the end; exit status 1 if an image failed.")
@dry_run_option
@json_option
def submit(
    *,
    paths: tuple[str, ...],
    manifest: str | None,
    model: str | None,
    wait: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Submit pictures and print the job's id.

    PATHS are files, folders (searched for pictures), .zip and .tar archives, quoted patterns, s3://bucket/prefix,
    which is read in place, or `-` for names on stdin, one per line or ended by NUL. A job of at most 16 images
    has priority `high`, a larger one `bulk`, unless --priority says otherwise.

    A manifest is CSV with the columns `source` and `id`, or JSON lines with the same names: each picture with an id
    of your own, which its result carries.
    """
    from producer.progress import Display
    from producer.submission.submit import Listener
    from producer.submission.submit import submit as send

    request = asked(model, given)
    pictures = given_pictures(paths, manifest)

    def announce(job: str) -> None:
        said.append(job)
        emit({"job": job}) if as_json else click.echo(job)

    said: list[str] = []
    with services() as reach:
        if dry_run:
            would_submit(reach, pictures, request, as_json=as_json)
            return 0
        with Display() as display, resumable(said):
            listener = Listener(job=announce, progress=display.upload, notice=display.notice)
            job = send(reach, all_of(pictures), request, listener)
        if not wait:
            return 0
        with leaving(job):
            final = wait_for(reach, job)
        return conclude(final, as_json=as_json)


@contextmanager
def resumable(announced: list[str]) -> Iterator[None]:
    """After Ctrl-C, says how the submission goes on."""
    try:
        yield
    except KeyboardInterrupt:
        if announced:
            say(f"\ninterrupted; the same command goes on where it stopped, with\n  --job-id {announced[0]}")
        raise
