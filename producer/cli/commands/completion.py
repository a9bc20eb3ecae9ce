"""`camq completion`, and the job ids that a shell completes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.common import emit, json_option
from producer.cli.values import Choice

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Of the newest jobs, so many are offered.
_OFFERED = 50


@click.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Print a script that lets your shell complete commands, options, files and job ids.

    \b
    Examples:
      camq completion bash >> ~/.bashrc
      camq completion zsh >> ~/.zshrc
      camq completion fish > ~/.config/fish/completions/camq.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:  # the choice above names only what click has
        raise click.UsageError(f"no completion for {shell}")
    script = kind(context.find_root().command, {}, "camq", "_CAMQ_COMPLETE").source().rstrip()
    emit({"shell": shell, "script": script}) if as_json else click.echo(script)


def recent_jobs(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest jobs' ids, with their names and states; none when nobody answers."""
    from click.shell_completion import CompletionItem

    from producer.cli.common import services
    from shared.errors import CamqError

    try:
        with services() as reach:
            found = reach.ledger.jobs(_OFFERED)
    except CamqError:
        return []  # a message in the middle of a line that is being typed would only be in the way
    return [
        CompletionItem(job.job, help=" ".join(filter(None, (job.state, job.name))))
        for job in found
        if job.job.startswith(incomplete)
    ]
