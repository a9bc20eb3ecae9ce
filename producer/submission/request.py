"""A request to submit a job, and every check of it that needs no picture."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import msgspec

from producer.submission.model_choice import Catalogue, resolve
from shared import keys
from shared.checks.destinations import check_output, check_webhook
from shared.checks.options import Values, check_options, check_values
from shared.config import Settings
from shared.contract import PRIORITIES, TRUTH_FROM, JobId, ModelCard, Options, Priority, TruthFrom, encode
from shared.errors import UnreachableError, UsageError
from shared.storage.port import ObjectStore

#: A job of at most this many images gets the priority `high`: somebody is probably waiting for it.
HIGH_AT_MOST = 16
#: Each line of a job's results carries all of its tags.
MOST_TAGS = 16
LONGEST_TAG = 64
#: Every list of jobs shows the whole name.
LONGEST_NAME = 200
_PRIORITIES = Values(choices=PRIORITIES)
_TRUTH = Values(choices=TRUTH_FROM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asks for. `options` has the fields of `shared.contract.Options`; None means its default."""

    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    priority: str | None = None
    job_id: str | None = None
    name: str | None = None
    #: URL that receives the job's final status.
    webhook: str | None = None
    tags: Sequence[str] = ()
    #: Where the labels of pictures come from, each of which must then be one of the model's.
    truth: TruthFrom | None = None

    def validate(self, settings: Settings) -> "Request":
        """The request with its tags and options in their final form.

        Checks everything that can be checked without a server: priority, options, tags, name, job id, webhook, output.
        UsageError for the first that is wrong.
        """
        if self.priority is not None:
            _PRIORITIES.check("priority", self.priority)
        if self.truth is not None:
            _TRUTH.check("truth", self.truth)
        options = check_values(self.options)
        if output := options.get("output"):
            options["output"] = check_output(output, settings)
        tags = checked_tags(self.tags)
        _check_name(self.name)
        if self.job_id is not None:
            _check_job_id(self.job_id)
        if self.webhook is not None:
            check_webhook(self.webhook, settings.webhook_hosts)
        return replace(self, options=options, tags=tags)

    def priority_for(self, images: int) -> Priority:
        """The priority asked for, or the one that a job of this many images gets."""
        default: Priority = "high" if images <= HIGH_AT_MOST else "bulk"
        return cast("Priority", self.priority) if self.priority else default


class Servers(Protocol):
    """What `resolve_request` needs of the services."""

    @property
    def settings(self) -> Settings:
        """The settings, which may name a model."""

    @property
    def ledger(self) -> Catalogue:
        """Where models are known."""


def resolve_request(servers: Servers, request: Request) -> tuple[ModelCard, bool, Options]:
    """The card of the requested model, whether a worker serves it now, and the complete options for it.

    UsageError for a model that is not known, and for options that it does not support.
    """
    card, served = resolve(servers.ledger, request.model or servers.settings.model)
    return card, served, check_options(card, request.options)


def new_job_id() -> str:
    """Short, readable, and later ids sort later."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _check_job_id(job_id: str) -> None:
    try:
        msgspec.convert(job_id, JobId)
    except msgspec.ValidationError:
        raise UsageError(
            f"invalid job_id {job_id!r}: expected up to 64 letters, digits, '-' and '_', a letter or digit first"
        ) from None


def _check_name(name: Any) -> None:
    if name is None:
        return
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"invalid name {str(name)[:40]!r}: expected at most {LONGEST_NAME} printable characters")


def checked_tags(tags: Iterable[Any]) -> tuple[str, ...]:
    """The tags without repetition, in the order given; a single text is one tag. UsageError names an invalid one."""
    found: tuple[Any, ...] = tuple(dict.fromkeys([tags] if isinstance(tags, str) else tags))
    for tag in found:
        # A comma separates tags in a table's one column.
        if not isinstance(tag, str) or not 1 <= len(tag) <= LONGEST_TAG or "," in tag or _is_odd(tag):
            raise UsageError(
                f"invalid tag {tag!r}: expected 1 to {LONGEST_TAG} printable characters without a comma and without"
                " spaces at either end"
            )
    if len(found) > MOST_TAGS:
        raise UsageError(f"{len(found)} tags given: a job has at most {MOST_TAGS}")
    return found


def _is_odd(tag: str) -> bool:
    return not tag.isprintable() or tag != tag.strip()


def prove_writable(store: ObjectStore, job: str, output: str) -> None:
    """Write `job.json` below the user's own output, with the same bytes each time. UsageError when that fails.

    Only writing shows that the prefix can be written; the permission to write need not include deleting.
    """
    note = keys.output_note(job, output)
    try:
        store.put(note, encode({"job": job}), "application/json")
    except UnreachableError:
        raise
    except Exception as error:
        raise UsageError(f"cannot write to the output {output}: {error}") from error
