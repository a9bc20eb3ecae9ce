"""Every command, by the words that lead to it."""

import click

from producer.cli.main import cli

#: Those that do something, such as `token create`.
LEAVES = tuple(
    f"{name} {part}" if part else name
    for name, command in cli.commands.items()
    for part in (command.commands if isinstance(command, click.Group) else ("",))
)
