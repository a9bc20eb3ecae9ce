"""`camq demo`, `up` and `run`: camq on this machine, with its own servers and workers."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import click

from producer.cli.common import busy, emit, json_option, say
from producer.cli.dry_run import dry_run_option, no_store, would_run
from producer.cli.options import JobCommand, job_options, request_from_options
from producer.cli.parameters import whole
from producer.cli.paths import all_of, given_pictures, paths_argument
from producer.cli.results_listing import print_results
from producer.cli.serving import serving, serving_options
from producer.cli.tables import Table, cell, show
from producer.cli.waiting import Right, exit_status, fetch, wait_for
from producer.formatting import count, duration, share, webhook_line
from shared.errors import CamqError, ModelError, UsageError

if TYPE_CHECKING:
    from producer.local.session import Local
    from producer.submission.request import Request
    from shared.contract import ImageRecord, JobStatus, WorkerInfo

OVERLAYS = "overlays"
_folder = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option(
    "--data", metavar="DIR", type=_folder, default="camq-data", show_default=True, help="Folder for the data."
)
@click.option("--model", metavar="M", help="Model to serve: an architecture or a model file.  [default: resnet18]")
@serving_options
@click.option(
    "--workers",
    type=whole(0),
    default=1,
    show_default=True,
    help="Number of worker processes; 0 starts the servers only.",
)
@json_option
def up(data: Path, model: str | None, workers: int, as_json: bool, **given: Any) -> int:
    """Run Redis, S3 storage and workers on this machine until Ctrl-C. The data is kept.

    It prints a line that loads its settings. Run that line in another terminal, then submit pictures there. The
    link that it prints opens the live page: drop a picture there. Everybody who has the link can use the page.

    \b
    Example:
      camq up --workers 2
      camq submit photos/ --wait
    """
    from producer.local.embedded.env_file import load_command
    from producer.local.session import Local, check_packages, interruptible
    from shared.config import Settings

    settings = Settings.load()
    if model is None and settings.model:
        say(f"model: {settings.model}, from CAMQ_MODEL")
    overrides = serving(model or settings.model, given)
    if workers:
        check_packages()
    is_new = not data.exists()
    try:
        with interruptible(), Local(data, say) as camq:
            ready = _start(camq, workers, overrides) if workers else []
            if ready:
                # So that a second terminal uses the same model, and its `doctor` checks the same weights.
                camq.stack.write_env({**overrides, "model": ready[0].models[0].partition("@")[0]})
            load = load_command(camq.stack.env_file)
            with _live_page(camq) as link:
                if as_json:
                    emit({"env": str(camq.stack.env_file), "load": load, "workers": ready, "page": link})
                else:
                    click.echo(f"ready: {_describe(ready)}")
                    click.echo(f"in another terminal:  {load}")
                    if link:
                        click.echo(f"in a browser:  {link}")
                    click.echo("Ctrl-C stops everything; the data is kept")
                camq.supervise()
    except KeyboardInterrupt:
        say(f"\nstopped; the data is in {data}")
    except (ModelError, UsageError):  # no worker can start: there is no data
        if is_new:
            shutil.rmtree(data, ignore_errors=True)
        raise
    return 0


@contextmanager
def _live_page(camq: Local) -> Iterator[str | None]:
    """The link to the live page, which is served for the length of the block; None without the packages for it."""
    try:
        from producer.web.live.serve import Server
    except ImportError:
        yield None
        return
    with Server(camq.services, "127.0.0.1", 0) as server:
        thread = Thread(target=server.run, name="camq-page")
        thread.start()
        try:
            yield server.link
        finally:
            server.stop()
            thread.join()


def _describe(ready: list[WorkerInfo]) -> str:
    if not ready:
        return "Redis and storage, without a worker; start one with `camq worker`"
    served = ", ".join(sorted({model for info in ready for model in info.models}))
    return f"{count(len(ready), 'worker')} on {ready[0].device}, serving {served}"


@click.command(cls=JobCommand)
@paths_argument
@click.option(
    "--out", metavar="DIR", type=_folder, default="camq-output", show_default=True, help="Folder for the results."
)
@click.option("--model", metavar="M", help="Model to use: an architecture or a model file.  [default: resnet18]")
@serving_options
@job_options
@dry_run_option
@json_option
def run(
    *,
    paths: tuple[str, ...],
    manifest: str | None,
    source_column: str | None,
    out: Path,
    model: str | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Start servers and a worker, explain PATHS, write the results to --out, stop everything.

    Exit status 1 if an image failed. With --json, prints the results as JSON lines.

    \b
    Examples:
      camq run cat.jpg
      camq run photos/ --top-k 5 --weights resnet18-f37072fd.pth --out maps
      ls *.png | camq run - --model efficientnet_lite0
    """
    from producer.local.session import check_packages
    from producer.results.folder import REPORT, RESULTS, results_folder
    from producer.watch import tried_once
    from producer.web.report import write_report
    from shared.config import Settings

    settings = Settings.load()
    request = request_from_options(None, given).validate(settings)
    pictures = given_pictures(paths, manifest, source_column)
    if dry_run:
        would_run(pictures, replace(request, model=model), as_json=as_json)
        return 0
    names = list(all_of(pictures))
    _check_local(names)
    results_folder(out, "").check(RESULTS, REPORT)
    overrides = serving(model or settings.model, given)
    check_packages()
    try:
        with _temporary() as camq:
            (ready,) = _start(camq, 1, overrides)
            if model:  # before what CAMQ_MODEL says
                request = replace(request, model=ready.models[0])
            final = _explain(camq, names, request)
            files = results_folder(out, final.job)
            right = Right(camq.services, final)
            records = right.counted(fetch(camq.services, final.job, out, as_json=as_json))
            print_results(records, as_json=as_json, every=str(out / RESULTS))
            write_report(camq.services, final.job, files.add(REPORT), overlays=OVERLAYS)
            if hook := tried_once(camq.services.ledger, final.job):
                say(f"webhook {webhook_line(hook)}{'' if hook.state == 'delivered' else '; it is not retried'}")
    except KeyboardInterrupt:
        say(f"\nstopped; nothing is written to {out} before every image is done. To interrupt and go on, use `camq up`")
        raise
    say(f"open {out / REPORT} in a browser; overlays and {RESULTS} are beside it")
    right.say("`camq summary` says more of jobs that stay: camq up, then camq submit")
    return exit_status(final)


@click.command()
@click.option(
    "--out", metavar="DIR", type=_folder, default="demo-output", show_default=True, help="Folder for the results."
)
@json_option
def demo(out: Path, as_json: bool) -> None:
    """Explain sample photographs with temporary servers and a worker.

    Uses ResNet18 if its ImageNet weights can be downloaded, else efficientnet_lite0.

    \b
    Example:
      camq demo --out maps
    """
    from producer.local.demo import FIRST_CHOICE, SECOND_CHOICE, fetching, samples, write_sheet
    from producer.local.session import check_packages
    from producer.results.folder import REPORT, RESULTS, SHEET, results_folder
    from producer.submission.request import Request
    from producer.web.report import write_report

    began = time.monotonic()
    results_folder(out, "").check(RESULTS, REPORT, SHEET)
    pictures = samples()
    check_packages()
    with fetching() as weights, _temporary() as camq:
        reason = weights.wait()
        if reason:
            # Only the first sentence of the reason: the remedies after it are for workers, not for the demo.
            say(f"{reason.partition('. ')[0]}; using {SECOND_CHOICE} instead")
        # Not the model that the user's own variables name.
        own = {"model": SECOND_CHOICE if reason else FIRST_CHOICE, "weights": "", "labels": ""}
        (ready,) = _start(camq, 1, own)
        final = _explain(camq, pictures, Request(model=ready.models[0], options={"top_k": 3}, name="demo"))
        right = Right(camq.services, final)
        records = list(right.counted(fetch(camq.services, final.job, out, as_json=as_json)))
        files = results_folder(out, final.job)
        write_report(camq.services, final.job, files.add(REPORT), overlays=OVERLAYS)
    write_sheet(files.add(SHEET), pictures, records, final.model)
    if as_json:
        for record in records:
            emit(record)
    else:
        show(_best_three(records))
    say(f"done in {duration(time.monotonic() - began)}; open {out / REPORT} or {out / SHEET}")
    say(f"overlays are in {out}/overlays, results in {out / RESULTS}")
    right.say("`camq summary` says it of your own pictures: docs/how-to/trust.md")
    if final.failed:
        raise CamqError(f"{count(final.failed, 'image')} of the demo failed")


@contextmanager
def _temporary() -> Iterator[Local]:
    """Servers whose data folder is removed at the end."""
    from producer.local.session import Local, interruptible

    with (
        interruptible(),
        tempfile.TemporaryDirectory(prefix="camq-", ignore_cleanup_errors=True) as folder,
        Local(Path(folder), say) as camq,
    ):
        yield camq


def _start(camq: Local, workers: int, overrides: Mapping[str, str | None]) -> list[WorkerInfo]:
    """Start workers and wait until they are ready, which takes seconds, with a message."""
    camq.start_workers(workers, overrides)
    with busy("starting the worker" if workers == 1 else "starting the workers"):
        return camq.wait_ready()


def _explain(camq: Local, images: object, request: Request) -> JobStatus:
    """Submit and wait, with progress; the final status."""
    from producer.progress import Display
    from producer.submission.submit import Listener, submit

    with Display() as display:
        listener = Listener(progress=display.upload, notice=display.notice, chosen=display.notice)
        job = submit(camq.services, images, request, listener)
    return wait_for(camq.services, job)


def _check_local(names: list[object]) -> None:
    """UsageError, before any server starts, when no path matches anything or an address is given."""
    from producer.inputs.expand import Expansion

    list(islice(Expansion(names, store=no_store), 1))


def _best_three(records: list[ImageRecord]) -> Any:
    columns = ("picture", "first", "second", "third")
    rows = Table(*columns, fold=columns, drop=columns[:1:-1])
    for record in records:
        best = [f"{p.label} {share(p.probability)}" for p in record.predictions]
        if record.error:
            best = [f"{record.error.code}: {record.error.message}"]
        rows.add_row(*map(cell, (record.source, *best, *[""] * (3 - len(best)))))
    return rows
