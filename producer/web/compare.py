"""Writes the comparison of two jobs as a page: each picture with what both say of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from producer.parallel import ordered
from producer.results.originals import read
from producer.web.kit.page import render
from producer.web.kit.previews import Previews
from producer.web.kit.thumbnails import SUFFIX
from producer.web.kit.written import WrittenPage
from shared.contract.preview import PreviewRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from producer.results.analysis.comparison import Comparison, Difference
    from producer.services import Services

#: Longest side of a thumbnail in pixels.
SIDE = 320

_Row = tuple["Difference", str | None, str | None, str | None]


def write_comparison(
    services: Services,
    found: Comparison,
    path: Path,
    *,
    embed: bool = False,
    notice: Callable[[str], None] = lambda _: None,
) -> None:
    """Write the page of the pictures that `found` lists to `path`, thumbnails beside it or with `embed` inside it."""
    settings = services.settings

    def picture(name: str, key: str | None, wanted: int = 1) -> str | None:
        if not key:
            return None
        request = PreviewRequest(side=SIDE, page=wanted)
        small = previews.make(f"{key}#{wanted}", lambda: read(services.store, key, settings.max_image_bytes), request)
        return page.place(f"{name}.{SUFFIX}", small) if small else None

    def row(numbered: tuple[int, Difference]) -> _Row:
        number, pair = numbered
        return (
            pair,
            picture(f"{number}", pair.key, pair.page),
            picture(f"{number}-a", pair.left.overlay),
            picture(f"{number}-b", pair.right.overlay),
        )

    with (
        WrittenPage(path, embed=embed, notice=notice) as page,
        Previews(min(settings.io_threads, os.cpu_count() or 1)) as previews,
    ):
        rows = list(ordered(row, enumerate(found.pictures), threads=settings.io_threads))
        names = [side.name or side.job for side in (found.left, found.right)]
        page.complete(render("compare.html", found=found, rows=rows, title=" and ".join(names)))
