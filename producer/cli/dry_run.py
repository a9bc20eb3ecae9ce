"""`--dry-run` of `submit` and `run`: shows what would be submitted."""

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
    from producer.submission.request import Request
    from shared.storage import ObjectStore

#: The model of `run` and `up` unless one is named.
DEFAULT_MODEL = "resnet18"
#: The number of paths that are listed for people.
_ROWS = 30

dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be submitted; upload and start nothing.")


def would_submit(reach: Services, pictures: Pictures, request: Request, *, as_json: bool) -> None:
    """For `submit`: with the model that the servers know, and all options."""
    from msgspec import to_builtins

    from producer.submission.expected import Expected
    from producer.submission.preview import preview
    from producer.submission.request import resolve_request

    request = request.validate(reach.settings)
    limit = reach.settings.max_image_bytes
    card, served, options = resolve_request(reach, request)
    expected = Expected(card, request.truth, options)
    found = preview(pictures, request, store=lambda: reach.store, limit=limit, notice=say, expected=expected)
    found.model, found.options = card.model, to_builtins(options)
    _print(found, as_json=as_json)
    if not served:
        say(f"no worker serves {card.model} now; the job would wait for one")


def would_run(pictures: Pictures, request: Request, *, as_json: bool) -> None:
    """For `run`, without servers: class labels and layers are not checked. `request` has been validated."""
    from msgspec import to_builtins

    from producer.submission.preview import preview
    from shared.config import Settings
    from shared.contract import Options

    settings = Settings.load()
    found = preview(pictures, request, store=no_store, limit=settings.max_image_bytes, notice=say)
    found.model = request.model or settings.model or DEFAULT_MODEL
    found.options = to_builtins(Options()) | dict(request.options)
    _print(found, as_json=as_json)


def no_store() -> ObjectStore:
    """Stands for the storage of `run`, which is empty: an s3:// address is a UsageError."""
    raise UsageError("`camq run` cannot read s3:// addresses: its own storage is empty. Use `camq submit`")


def _print(found: Preview, *, as_json: bool) -> None:
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
        rows.add_row("would fail", f"… {found.failing:,} images in all")
    show(rows)
    say("dry run: nothing was uploaded, no job was created")
