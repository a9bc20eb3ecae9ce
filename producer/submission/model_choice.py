"""Which model a request means."""

from pathlib import Path
from typing import Protocol

from shared.checks.architectures import NAMES
from shared.checks.model_files import check_served, is_model_file, served_name
from shared.contract import ModelCard
from shared.errors import UsageError
from shared.text import did_you_mean, nearest

#: Asked for when nobody names a model.
_ANY = "resnet18"
#: Models that a message names.
_LISTED = 10


class Catalogue(Protocol):
    """The part of the ledger's registry that is read here."""

    def models(self) -> dict[str, bool]:
        """Every known model, newest first, and whether a live worker serves it."""

    def card(self, model: str) -> ModelCard | None:
        """A model's card by its full `name@digest`."""


def resolve(catalogue: Catalogue, wanted: str | None) -> tuple[ModelCard, bool]:
    """The card of the one model that `wanted` means, and whether it is being served now.

    `name@digest` means that model; `name` the one that is served under it; None the one that is served. A
    model that nobody serves now is taken when it is the only one known. A model file means the model of its name, which
    must be what the file says. UsageError names the candidates.
    """
    file = wanted
    if file is not None and is_model_file(file):
        wanted = served_name(file)
    known = catalogue.models()
    matching = {model: live for model, live in known.items() if wanted is None or _means(wanted, model)}
    live = [model for model, served in matching.items() if served]
    candidates = live or list(matching)
    if len(candidates) > 1:
        raise UsageError(
            f"{'--model is needed' if wanted is None else f'model {wanted!r} is ambiguous'}:"
            f" choose one of {_listed(candidates)}"
        )
    card = catalogue.card(candidates[0]) if candidates else None
    if card is None:
        raise _unknown(known, wanted, file if file and is_model_file(file) else None)
    if file is not None and is_model_file(file):
        check_served(Path(file), card)
    return card, bool(live)


def _unknown(known: dict[str, bool], wanted: str | None, file: str | None) -> UsageError:
    """Names what is known and, unless a model that is served now was mistyped, how to have the one that was meant;
    `file` is the model file that was given."""
    served = {_name(model): live for model, live in known.items()}
    what, meant = "no worker has offered a model yet", _ANY
    if wanted is not None:
        # resnet50 is not a typing error for resnet18; for a wrong digest, the error names the right one.
        words = [
            m for m in (known if "@" in wanted else served) if not _digits(wanted) or _digits(m) == _digits(wanted)
        ]
        what = f"no model {wanted!r}{did_you_mean(wanted, words)}"
        meant = _name(next(iter(nearest(wanted, words)), wanted))
    others = [f"known: {_listed(sorted(known, key=lambda model: not known[model]))}"] if known else []
    if not served.get(meant):
        start = file or _to_serve(meant, known=meant in served)
        up = f"`camq up --model {start}`"
        others.append(f"start a worker with `camq worker --model {start}`, or everything at once with {up}")
    return UsageError(f"{what}: {'; '.join(others)}")


def _to_serve(meant: str, *, known: bool) -> str:
    """What a worker is to be started with: an architecture, or the model file of this name. One that was served before
    (`known`) is not a mistyped architecture."""
    if meant in NAMES:
        return meant
    close = [] if known else nearest(meant, NAMES, most=1)
    return close[0] if close else f"{meant}.toml"


def _digits(model: str) -> str:
    return "".join(letter for letter in _name(model) if letter.isdecimal())


def _name(model: str) -> str:
    return model.partition("@")[0]


def _means(wanted: str, model: str) -> bool:
    return wanted == model if "@" in wanted else wanted == _name(model)


def _listed(models: list[str]) -> str:
    """The first of them: each training adds one."""
    shown = ", ".join(sorted(models[:_LISTED]))
    return f"{shown} and {len(models) - _LISTED:,} more" if len(models) > _LISTED else shown
