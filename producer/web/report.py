"""Writes a job's gallery: the page, and its thumbnails beside it or inside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from producer.parallel import ordered
from producer.results.analysis.accuracy import analyse
from producer.results.originals import previewed, read, references, sources
from producer.results.records import records
from producer.web.kit.answers import Answers, answers
from producer.web.kit.cards import card, fit
from producer.web.kit.failures import Failures, group, named
from producer.web.kit.packed import Packed
from producer.web.kit.page import render
from producer.web.kit.previews import Previews
from producer.web.kit.summary import summarise
from producer.web.kit.thumbnails import SUFFIX
from producer.web.kit.written import WrittenPage
from shared.contract import EXTENSIONS
from shared.contract.preview import PreviewRequest

if TYPE_CHECKING:
    from producer.services import Services
    from shared.contract import ImageRecord, ImageRef, JobStatus, ModelCard, Options

#: Pictures of a page; one with more takes an hour to write, and says that it shows the first ones.
MOST = 20_000
#: Pictures inside a page: more of them would be a file of hundreds of megabytes.
MOST_EMBEDDED = 1_000
#: Longest side of a thumbnail in pixels: large while there are few, small when they would fill a disk.
FEW, LARGE, SMALL = 400, 512, 320


def write_report(
    services: Services,
    job: str,
    path: Path,
    *,
    embed: bool = False,
    overlays: str | None = None,
    most: int = MOST,
    progress: Callable[[int, int], None] = lambda *_: None,
    notice: Callable[[str], None] = lambda _: None,
) -> int:
    """Write the gallery of `job` to `path`; how many images it shows, at most `most`, with `embed` `MOST_EMBEDDED`.

    Thumbnails go into `<name>_files/` beside it, or with `embed` into the page itself. `overlays` is the folder
    beside `path` that `download` filled, when there is one: its pictures are used as they are.
    """
    status, options = services.ledger.status(job), services.ledger.options(job)
    model = services.ledger.card(status.model)
    threads = services.settings.io_threads
    total = min(status.total, most, MOST_EMBEDDED if embed else most)
    side = LARGE if total <= FEW and not embed else SMALL
    judged = options.keep_maps

    def picture(name: str, key: str, request: PreviewRequest) -> str | None:
        most = services.settings.max_image_bytes
        small = previews.make(f"{key}#{request.page}", lambda: read(services.store, key, most), request)
        return page.place(f"{name}.{SUFFIX}", small) if small else None

    def make(pair: tuple[ImageRecord, ImageRef]) -> dict[str, Any]:
        record, reference = pair
        heat = [
            None
            if line.overlay is None
            else f"{quote(overlays)}/{quote(PurePosixPath(line.overlay).name)}"
            if overlays
            else picture(f"{record.index}-{line.rank}", line.overlay, PreviewRequest(side=side))
            for line in record.predictions
        ]
        original = picture(str(record.index), reference.key, previewed(reference, options, model, side))
        return card(record, original, heat)

    pairs = zip(
        records(services.ledger, services.store, job, threads=threads),
        references(services.ledger, services.store, job, threads=threads),
        strict=False,  # while a job is being submitted, the second look may see one chunk more
    )
    files = quote(f"{path.stem}_files")
    images = Packed(
        f"{files}/{{index}}.{SUFFIX}",
        f"{quote(overlays)}/{{index}}-{{rank}}.{EXTENSIONS[options.format]}"
        if overlays
        else f"{files}/{{index}}-{{rank}}.{SUFFIX}",
    )
    with (
        WrittenPage(path, embed=embed, notice=notice) as page,
        Previews(min(threads, os.cpu_count() or 1)) as previews,
    ):
        for made in ordered(make, islice(pairs, total), threads=threads):
            images.add(made)
            judged = judged or "truth" in made
            progress(len(images), total)
        errors = services.ledger.failures(job)
        names = sources(services.ledger, services.store, job, named(errors))
        html = report_page(
            status,
            options,
            images,
            group(errors, names, status.failed),
            looked=_looked(services, job, options, len(images)) if judged else None,
            served=services.ledger.models().get(status.model, False),
            model=model,
            full=overlays is not None,
        )
        page.complete(html)
    return len(images)


def _looked(services: Services, job: str, options: Options, shown: int) -> Answers | None:
    """What all results say together; of the images that are shown also how much of their heat lies on the border."""
    left_out: list[str] = []
    threads = services.settings.io_threads
    found = analyse(services.ledger, services.store, job, threads=threads, notice=left_out.append, skip_damaged=True)
    return answers(found.summary, found.border[:shown], options.colormap, left_out)


def report_page(
    status: JobStatus,
    options: Options,
    images: Packed,
    failures: Failures,
    *,
    looked: Answers | None = None,
    served: bool = True,
    model: ModelCard | None = None,
    full: bool = False,
) -> str:
    """The page of these images, the first of the job.

    `full`: their overlays are as the worker stored them, not made smaller.
    """
    return render(
        "report.html",
        summary=summarise(status, options, served=served, model=model),
        failures=failures,
        answers=looked,
        shown=len(images),
        gallery={"images": images.data(), "fit": fit(options, model.preprocessing if model else None), "full": full},
    )
