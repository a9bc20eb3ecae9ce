"""`camq submit`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.dry_run import dry_run_option, would_submit
from producer.cli.options import JobCommand, job_options, option_of, request_from_options
from producer.cli.parameters import complete_models
from producer.cli.paths import all_of, given_pictures, paths_argument
from producer.cli.waiting import conclude, resumable_watch, wait_for


@click.command(
    cls=JobCommand,
    epilog="""\b
Examples:
  camq submit cat.jpg dog.png --wait
  camq submit photos/ 'scans/**/*.tif' --top-k 5 --name holiday
  camq submit s3://bucket/prefix --classes 283,"tabby" --json
  camq submit holiday.zip scans.tar.gz --dry-run
  find . -name '*.png' -print0 | camq submit -
  camq submit --manifest pictures.csv --tag nightly --output s3://mine/maps
  camq submit photos/ --truth folders --explain truth
""",
)
@paths_argument
@click.option(
    "--model",
    metavar="M",
    shell_complete=complete_models,
    help="Model to use: a name or name@digest.  [default: the one being served]",
)
@job_options
@option_of("output")
@click.option("--wait", is_flag=True, help="Wait until the job has finished; exit status 1 if an image failed.")
@dry_run_option
@json_option
def submit(
    *,
    paths: tuple[str, ...],
    manifest: str | None,
    source_column: str | None,
    model: str | None,
    wait: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Submit pictures and print the job's id.

    PATHS are files, folders (searched for pictures), .zip and .tar archives, quoted patterns, URLs, s3://bucket/prefix
    (read in place, not copied), or `-` to read names from stdin, one per line or separated by NUL.

    A manifest is a table with a picture per row: CSV, JSON, JSON lines, COCO or Parquet. Results carry its column `id`,
    and all others as `fields`. A picture itself may come from stdin, as in `cat cat.jpg | camq submit -`.
    """
    from producer.progress import Display
    from producer.submission.submit import Listener
    from producer.submission.submit import submit as send

    request = request_from_options(model, given)
    pictures = given_pictures(paths, manifest, source_column)

    def announce(job: str) -> None:
        announced.append(job)
        emit({"job": job}) if as_json else click.echo(job)

    announced: list[str] = []
    with services() as reach:
        if dry_run:
            would_submit(reach, pictures, request, as_json=as_json)
            return 0
        with Display() as display, resumable_submission(announced):
            listener = Listener(job=announce, progress=display.upload, notice=display.notice, chosen=display.notice)
            job = send(reach, all_of(pictures), request, listener)
        if not wait:
            return 0
        with resumable_watch(job):
            final = wait_for(reach, job)
        return conclude(final, as_json=as_json)


@contextmanager
def resumable_submission(announced: list[str]) -> Iterator[None]:
    """After Ctrl-C, says how to resume the submission."""
    try:
        yield
    except KeyboardInterrupt:
        if announced:
            say(f"\ninterrupted. To resume the submission, repeat the same command with\n  --job-id {announced[0]}")
        raise
