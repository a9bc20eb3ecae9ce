"""Which pictures a request over HTTP may name: its own uploads, and addresses that the operator allows. Never paths."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from urllib.parse import unquote

from producer.inputs.expand import Expansion
from producer.inputs.notes import Row
from producer.inputs.source import Source, split_page, with_page
from producer.inputs.urls.fetch import SCHEMES, parsed, picture_at, without_secrets
from producer.services import Services
from shared.errors import UsageError
from shared.storage.port import SCHEME, locate_object

#: Pictures of one request: their addresses are listed and kept in memory before the first is registered.
MOST_PICTURES = 100_000


def sources(services: Services, rows: Iterable[Row], uploads: Mapping[str, Source]) -> list[Source]:
    """The pictures of these rows: `uploads` by their name, or what an address means.

    UsageError for anything else, for an address that CAMQ_SERVE_INPUT_PREFIXES does not allow, and for too many.
    """
    found = list(islice(_each(services, rows, uploads), MOST_PICTURES + 1))
    if len(found) > MOST_PICTURES:
        raise UsageError(f"more than {MOST_PICTURES:,} pictures: use several requests, or `camq submit`")
    if not found:
        raise UsageError("no pictures given")
    return found


def _each(services: Services, rows: Iterable[Row], uploads: Mapping[str, Source]) -> Iterator[Source]:
    for row in rows:
        name = row.picture
        if isinstance(name, str) and name in uploads:
            yield replace(uploads[name], notes=row.notes)
        elif isinstance(name, str) and (paged := split_page(name))[0] in uploads and paged[1] is not None:
            yield replace(with_page(uploads[paged[0]], paged[1]), notes=row.notes)
        elif isinstance(name, str) and name.startswith(SCHEME):
            _check(name, services.settings.nameable_over_http())
            given = row if row.notes.id is not None or row.notes.fields else name
            yield from Expansion([given], store=lambda: services.store)
        elif isinstance(name, str) and name.lower().startswith(SCHEMES):
            _check_url(name, services.settings.nameable_over_http())
            yield replace(picture_at(name, private=False), notes=row.notes)
        else:
            raise UsageError(
                f"invalid picture {str(name)[:200]!r}: expected the name of an uploaded file, an {SCHEME} address or"
                " a URL"
            )


def _check_url(address: str, allowed: tuple[str, ...]) -> None:
    """In its normal form, which has no `..`, as the server will be asked."""
    parts = parsed(address)
    shown = without_secrets(address)[:200]
    if parts is None or parts.auth is not None:
        raise UsageError(f"invalid picture {shown!r}: expected http:// or https:// and a host, without a user")
    if ".." in unquote(parts.path or "") or not parts.url.startswith(allowed or ("\0",)):
        raise UsageError(f"invalid picture {shown!r}: CAMQ_SERVE_INPUT_PREFIXES does not allow this address")


def _check(address: str, allowed: tuple[str, ...]) -> None:
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if key.strip("/"):
        locate_object(address, "")  # no '..' in it, which some servers would resolve
    if not f"{SCHEME}{bucket}/{key}".startswith(allowed or ("\0",)):
        # The allowed ones are not named: they are the operator's matter.
        raise UsageError(f"invalid picture {address[:200]!r}: CAMQ_SERVE_INPUT_PREFIXES does not allow this address")
