"""`--dry-run` of `submit` and `run`: says what would happen, and does none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.common import emit, say
from producer.cli.tables import Table, cell, show
from producer.formatting import count, size
from shared.errors import UsageError

if TYPE_CHECKING:
    from producer.cli.paths import Pictures
    from producer.services import Services
    from producer.submission.preview import Preview
    from producer.submission.submit import Request
    from shared.storage import ObjectStore

#: The network of `run` and `up` when nothing names another.
DEFAULT_MODEL = "resnet18"
#: So many paths are listed for people.
_ROWS = 30

dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would happen; upload and start nothing.")


def would_submit(reach: Services, pictures: Pictures, request: Request, *, as_json: bool) -> None:
    """For `submit`: the model and its options are those that the servers know."""
    from msgspec import to_builtins

    from producer.submission.preview import preview
    from producer.submission.submit import check_hook, judge

    check_hook(request, reach.settings)
    limit = reach.settings.max_image_bytes
    found = preview(pictures, request, store=lambda: reach.store, limit=limit, notice=say)
    card, served, options = judge(reach, request)
    found.model, found.options = card.model, to_builtins(options)
    _tell(found, as_json=as_json)
    if not served:
        say(f"no worker serves {card.model} now: the job would wait until one does")


def would_run(pictures: Pictures, request: Request, *, as_json: bool) -> None:
    """For `run`: no server is there to ask, so labels are not looked up."""
    from msgspec import to_builtins

    from producer.submission.preview import preview
    from shared.config import Settings
    from shared.contract import Options

    settings = Settings.load()
    found = preview(pictures, request, store=no_store, limit=settings.max_image_bytes, notice=say)
    found.model = request.model or settings.model or DEFAULT_MODEL
    found.options = to_builtins(Options()) | dict(request.options)
    _tell(found, as_json=as_json)


def no_store() -> ObjectStore:
    """The storage of `run` before it has started: it holds nothing that an address could name."""
    raise UsageError("`run` has a storage of its own, which holds nothing yet; `camq submit` reads s3:// addresses")


def _tell(found: Preview, *, as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    rows = Table("from", "images", "size", numbers=["images", "size"], fold=["from"])
    for given in found.paths[:_ROWS]:
        rows.add_row(cell(given.path), f"{given.images:,}", size(given.bytes))
    if len(found.paths) > _ROWS:
        rows.add_row(f"… and {count(len(found.paths) - _ROWS, 'path')} more", "", "")
    show(rows)
    options = ", ".join(f"{name} {value}" for name, value in found.options.items() if value not in (None, False))
    facts = {"model": found.model, "priority": found.priority, "name": found.name, "job": found.job_id}
    facts["tags"] = ", ".join(found.tags)
    total = f"{count(found.images, 'image')}, {size(found.bytes)}"
    rows = Table("would submit", total, fold=[total])
    for name, value in (*facts.items(), ("options", options)):
        if value:
            rows.add_row(name, cell(value))
    for failure in found.failures:
        rows.add_row("would fail", cell(failure.message))
    if found.failing > len(found.failures):
        rows.add_row("would fail", f"… {found.failing:,} in all")
    show(rows)
    say("a dry run: nothing was uploaded, no job was made")
