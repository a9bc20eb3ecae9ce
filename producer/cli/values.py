"""Values of options: what is mistyped is answered with what was meant, and a shell completes what is known."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from shared.suggest import nearest


class Choice(click.Choice[str]):
    """One of a few words; of a mistyped one, the nearest is named."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """click's own message, and a suggestion."""
        found = nearest(str(value), self.choices, most=1)
        hint = f" Did you mean {found[0]!r}?" if found else ""
        return super().get_invalid_choice_message(value, ctx) + hint


class Whole(click.IntRange):
    """A whole number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Says so, with the range, of what is no whole number."""
        try:
            int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number{_within(self)}.", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Says so, with the range, of what is no number."""
        try:
            float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number{_within(self)}.", param, ctx)
        return super().convert(value, param, ctx)


def _within(range_: click.IntRange | click.FloatRange) -> str:
    if range_.max is None:
        return f" of at least {range_.min:g}"
    return f" from {range_.min:g} to {range_.max:g}"


def complete_colormaps(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of all colormaps; case does not matter, but a shell needs the beginning as it is."""
    from shared.colormaps import NAMES

    return [CompletionItem(name) for name in NAMES if name.startswith(incomplete)]


def complete_models(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The models that the ledger knows, and whether a worker serves them; none when nobody answers."""
    from producer.cli.common import services
    from shared.errors import CamqError

    try:
        with services() as reach:
            known = reach.ledger.models()
    except CamqError:
        return []
    names = {model.partition("@")[0]: live for model, live in sorted(known.items(), key=lambda pair: pair[1])}
    offered = names if "@" not in incomplete else known
    return [
        CompletionItem(name, help="served now" if live else "no worker serves it")
        for name, live in offered.items()
        if name.startswith(incomplete)
    ]
