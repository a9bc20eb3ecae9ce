"""`camq ui`."""

from __future__ import annotations

import click

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import whole
from shared.errors import CamqError


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 127.0.0.1 accepts connections from this machine only.",
)
@click.option("--port", type=whole(0, 65535), default=0, help="Port to listen on.  [default: a free one]")
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
        raise CamqError(
            f"the live page needs packages that are not installed ({error.name}): pip install 'camq[ui]'"
        ) from error

    with services() as reach, Server(reach, host, port) as server:
        if not server.private:
            say("warning: this page can be reached from the network, and its traffic is not encrypted")
        emit({"url": server.link}) if as_json else click.echo(server.link)
        server.run()
