"""`camq serve`, `ui` and `token`: the HTTP API, the live page, and who may call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import DURATION, choice, whole
from producer.cli.tables import Table, cell, show
from producer.formatting import moment
from shared.errors import CamqError, UsageError

if TYPE_CHECKING:
    from producer.web.live.serve import Server
    from shared.config import Settings

F = TypeVar("F", bound=Callable[..., Any])
_SCOPES = ("read", "submit", "manage")


def _address(port: int, default: str) -> Callable[[F], F]:
    """Adds `--host` and `--port`."""

    def add(function: F) -> F:
        function = click.option(
            "--port", type=whole(0, 65535), default=port, help=f"Port to listen on.  [default: {default}]"
        )(function)
        return click.option(
            "--host",
            default="127.0.0.1",
            show_default=True,
            help="Address to listen on; 127.0.0.1 accepts connections from this machine only.",
        )(function)

    return add


@click.command()
@_address(0, "a free one")
@json_option
def ui(host: str, port: int, as_json: bool) -> None:
    """Serve the live web page: jobs, their pictures and failures, workers. Ctrl-C stops it.

    Prints one link. Everybody who has the link can use the page, so keep it private.

    \b
    Examples:
      camq ui
      camq ui --port 8800
    """
    try:
        from producer.web.live.serve import Server
    except ImportError as error:
        raise _missing("the live page", "ui", error) from error

    with services() as reach, Server(reach, host, port) as server:
        _warn(server, reach.settings)
        emit({"url": server.link}) if as_json else click.echo(server.link)
        server.run()


@click.command()
@_address(8000, "8000")
@json_option
def serve(host: str, port: int, as_json: bool) -> None:
    """Serve the HTTP API and the live web page. Ctrl-C stops it.

    Programs send a token, which `camq token create` makes. Prints where the API is, where its documentation is, and
    the private link to the live page.

    \b
    Examples:
      camq serve
      camq serve --host 0.0.0.0 --port 8080
    """
    try:
        from producer.web.http.asgi import build_both
        from producer.web.live.serve import Server
    except ImportError as error:
        raise _missing("the HTTP API", "serve", error) from error

    with services() as reach, Server(reach, host, port, build_both) as server:
        _warn(server, reach.settings)
        if as_json:
            emit({"api": f"{server.home}/v1", "docs": f"{server.home}/v1/docs", "url": server.link})
        else:
            click.echo(f"API:        {server.home}/v1")
            click.echo(f"its docs:   {server.home}/v1/docs")
            click.echo(f"live page:  {server.link}")
        server.run()


def _warn(server: Server, settings: Settings) -> None:
    """In the form that the log has from now on: JSON, and nothing else, where it was asked for."""
    found = [] if server.private else ["this server can be reached from the network, and its traffic is not encrypted"]
    if settings.log_format != "json":
        for text in found:
            say(f"warning: {text}")
        return
    from structlog import get_logger

    from shared import logs

    logs.configure(settings)
    for text in found:
        get_logger().warning(text)


def _missing(what: str, extra: str, error: ImportError) -> CamqError:
    return CamqError(f"{what} needs packages that are not installed ({error.name}): pip install 'camq[{extra}]'")


@click.group()
def token() -> None:
    """Make, list and revoke the access tokens of the HTTP API."""


@token.command()
@click.option(
    "--scope",
    type=choice(_SCOPES),
    required=True,
    help="read: look at everything. submit: also begin jobs. manage: also cancel, retry and delete jobs.",
)
@click.option("--name", metavar="TEXT", help="A word that tells you later whose token it is.")
@click.option(
    "--expires", metavar="TIME", type=DURATION, default="90d", show_default=True, help="Lifetime, at most 365d."
)
@json_option
def create(scope: Any, name: str | None, expires: int, as_json: bool) -> None:
    """Make a token and print it. It is shown this once: Redis keeps only its hash.

    \b
    Examples:
      camq token create --scope submit --name web-shop
      export TOKEN=$(camq token create --scope read)
    """
    with services() as reach:
        made, text = reach.tokens.create(scope, name, expires)
    if as_json:
        emit({"token": text, "id": made.id, "scope": made.scope, "name": name, "expires_at": made.expires_at})
    else:
        click.echo(text)
        say(f"token {made.id} of the scope {scope}, valid until {moment(made.expires_at)}")


@token.command("list")
@json_option
def list_tokens(as_json: bool) -> None:
    """List the valid tokens, without their secrets.

    \b
    Example:
      camq token list
    """
    with services() as reach:
        found = reach.tokens.valid()
    if as_json:
        emit(found)
        return
    if not found:
        say("no tokens; make one with `camq token create --scope read`")
        return
    rows = Table("id", "name", "scope", "made", "valid until", fold=["name"], drop=["made"])
    for one in found:
        rows.add_row(*map(cell, (one.id, one.name, one.scope, moment(one.created_at), moment(one.expires_at))))
    show(rows)


@token.command()
@click.argument("token_id", metavar="ID")
@json_option
def revoke(token_id: str, as_json: bool) -> None:
    """Revoke a token by its id: requests with it are refused from then on.

    \b
    Example:
      camq token revoke 3f9ac2d1
    """
    with services() as reach:
        if not reach.tokens.revoke(token_id):
            raise UsageError(f"no valid token has the id {token_id!r}; `camq token list` lists them")
    if as_json:
        emit({"id": token_id, "revoked": True})
    else:
        click.echo(f"token {token_id} is revoked")
