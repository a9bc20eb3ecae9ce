"""`camq --help`: the commands by what they are for, each with a line that is complete."""

from __future__ import annotations

import click
from click_didyoumean import DYMGroup  # type: ignore[import-untyped]


class Sections(DYMGroup):  # type: ignore[misc]
    """A group whose commands stand under heads, in the order in which they were added."""

    def __init__(self, *arguments: object, **attributes: object) -> None:
        # At the library's own cutoff every short name looks like every other one.
        super().__init__(*arguments, cutoff=0.6, **attributes)
        self._sections: dict[str, list[str]] = {}

    def add_section(self, head: str, lines: dict[click.Command, str]) -> None:
        """Commands under a head, each with its line in the help."""
        for command, line in lines.items():
            command.short_help = line
            self.add_command(command)
        self._sections[head] = [command.name or "" for command in lines]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """As click does, section by section; lines begin at the same column in all of them."""
        widest = max(map(len, self.commands))
        for head, names in self._sections.items():
            with formatter.section(head):
                formatter.write_dl([(f"{name:<{widest}}", self.commands[name].get_short_help_str()) for name in names])
