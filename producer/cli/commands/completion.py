"""`camq completion`."""

from __future__ import annotations

import click

from producer.cli.common import emit, json_option
from producer.cli.parameters import choice


@click.command()
@click.argument("shell", metavar="SHELL", type=choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Print a script that lets your shell complete commands, options, files and job ids.

    SHELL is bash, zsh or fish.

    \b
    Examples:
      camq completion bash >> ~/.bashrc
      camq completion zsh >> ~/.zshrc
      camq completion fish > ~/.config/fish/completions/camq.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows these three
    script = kind(context.find_root().command, {}, "camq", "_CAMQ_COMPLETE").source().rstrip()
    emit({"shell": shell, "script": script}) if as_json else click.echo(script)
