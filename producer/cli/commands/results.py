"""`camq results`: shown, printed as lines or as a table, or fetched into a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import DURATION, choice, job_argument
from producer.cli.results_listing import print_results
from producer.cli.waiting import fetch
from producer.formatting import count
from producer.lookup import find_job
from shared.errors import UsageError

if TYPE_CHECKING:
    from producer.services import Services
    from shared.contract import ImageRecord

    Sign = Callable[[str], str]

#: The longest time for which S3 signs a URL.
_WEEK = 7 * 24 * 3600
#: Formats that are one table.
_WRITERS = frozenset({"csv", "parquet"})


@click.command()
@job_argument
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Download results and overlays into this folder.",
)
@click.option(
    "--names",
    type=choice(["index", "source"]),
    help="With --out: name overlays by their image's index, or after its picture.  [default: index]",
)
@click.option(
    "--format",
    "form",
    type=choice(["jsonl", "csv", "parquet"]),
    help="JSON lines, or a table with one row per prediction. With --out, writes a file there.",
)
@click.option("--urls", is_flag=True, help="Print JSON lines, each overlay with a URL that needs no credentials.")
@click.option(
    "--expires",
    metavar="TIME",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long these URLs are valid, such as 30m, 12h or 7d.",
)
@click.option(
    "--raw-csv",
    is_flag=True,
    help="In CSV, leave text such as =1+1 as it is. By default a ' before it keeps spreadsheets from running it.",
)
@json_option
def results(
    *,
    job: str,
    out: Path | None,
    names: str | None,
    form: str | None,
    urls: bool,
    expires: int,
    raw_csv: bool,
    as_json: bool,
) -> None:
    """Show a job's results, print them for programs, or download them with --out.

    \b
    Examples:
      camq results 20261123-081502-3f9ac2
      camq results 20261123-081502-3f9ac2 --out pictures --format parquet
      camq results latest --out pictures --names source
      camq results 20261123-081502-3f9ac2 --format csv > results.csv
      camq results 20261123-081502-3f9ac2 --urls --expires 12h
      camq results 20261123-081502-3f9ac2 --json | jq -r '.predictions[0].label'
    """
    from producer.results.folder import RESULTS, results_folder
    from producer.results.records import records

    form = form or ("jsonl" if urls else None)
    if names and not out:
        raise UsageError("--names also needs --out, the folder for the overlays")
    _check(out, form, urls, expires, as_json=as_json)
    with services() as reach:
        job = find_job(reach.ledger, job)
        if out:
            files = results_folder(out, job)
            if form in _WRITERS:
                files.check(f"results.{form}")
            print_results(
                fetch(reach, job, out, as_json=as_json, names=names or "index"),
                as_json=as_json,
                every=str(out / RESULTS),
            )
            if form in _WRITERS:
                with files.add(f"results.{form}").open("wb") as file:
                    _write(form, _read_again(out), file, raw=raw_csv)
            say(f"overlays and results are in {out}")
            return
        found = records(reach.ledger, reach.store, job, threads=reach.settings.io_threads)
        sign = _signer(reach, expires) if urls else None
        if form in _WRITERS:
            _write(form, found, sys.stdout.buffer, sign, raw=raw_csv)
        elif sign:
            for record in found:
                emit(_signed(record, sign))
        else:
            print_results(found, as_json=as_json or form == "jsonl", every=f"camq results {job} | less")


@click.command()
@job_argument
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "form", type=choice(["coco", "fiftyone"]), required=True, help="Format of the files.")
@json_option
def export(*, job: str, folder: Path, form: str, as_json: bool) -> None:
    """Write a job's results into the folder DIR, for other tools.

    coco: `coco.json`, with a box for each prediction, or its mask where the job was submitted with --masks.

    fiftyone: a FiftyOne data set with predictions, boxes and ground truth and, where the job was submitted with
    --heatmaps full, heatmaps.

    \b
    Examples:
      camq export latest looked/ --format coco
      camq export 20261123-081502-3f9ac2 looked/ --format fiftyone
    """
    from producer.results.export.coco import export_coco
    from producer.results.export.exported import Job
    from producer.results.export.fiftyone import export_fiftyone

    with services() as reach:
        found = Job(reach.ledger, reach.store, find_job(reach.ledger, job), threads=reach.settings.io_threads)
        exported = (export_coco if form == "coco" else export_fiftyone)(found, folder)
        has_heat = form == "coco" or found.options.heatmaps == "full"
    if as_json:
        emit({"folder": str(folder), **asdict(exported)})
    if exported.left_out:
        say(f"left out {count(exported.left_out, 'image')} without a result")
    if exported.no_original:
        say(f"{exported.no_original} images are without their original, which storage does not give")
    if exported.no_heatmap:
        say(f"{exported.no_heatmap} images are without their heatmap, which storage does not give")
    if not has_heat:
        say("there are no heatmaps: the job was not submitted with --heatmaps full")
    say(f"{exported.images} images are in {folder}")


def _check(out: Path | None, form: str | None, urls: bool, expires: int, *, as_json: bool) -> None:
    if out and urls:
        raise UsageError("--urls and --out exclude each other: --out downloads the overlays")
    if urls and not 1 <= expires <= _WEEK:
        raise UsageError("invalid --expires: expected from 1s to 7d, which is what S3 allows")
    if out or form not in _WRITERS:
        return
    if as_json:
        raise UsageError(f"--json with --format {form} also needs --out, the folder for the {form} file")
    if form == "parquet" and sys.stdout.isatty():
        raise UsageError("cannot print Parquet to a terminal: redirect it to a file, or use --out")


def _write(
    form: str | None, found: Iterable[ImageRecord], file: BinaryIO, sign: Sign | None = None, *, raw: bool
) -> None:
    from producer.results import table

    rows = table.rows(found)
    if sign:
        rows = ({**row, "url": row["overlay"] and sign(row["overlay"])} for row in rows)
    write = partial(table.write_csv, raw=raw) if form == "csv" else table.write_parquet
    write(rows, file, table.COLUMNS | table.URL if sign else table.COLUMNS)


def _read_again(out: Path) -> Iterator[ImageRecord]:
    """The records as they were just fetched, `overlay` relative to the folder."""
    from producer.results.folder import RESULTS
    from shared.contract import ImageRecord, decode

    with (out / RESULTS).open("rb") as file:
        for line in file:
            yield decode(line, ImageRecord)


def _signer(reach: Services, expires: int) -> Sign:
    return partial(reach.store.presigned_get, expires_s=expires)


def _signed(record: ImageRecord, sign: Sign) -> dict[str, Any]:
    import msgspec

    line: dict[str, Any] = msgspec.to_builtins(record)
    for prediction in line["predictions"]:
        prediction["url"] = prediction["overlay"] and sign(prediction["overlay"])
    return line
