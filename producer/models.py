"""Which model a request means."""

from typing import Protocol

from shared.contract import ModelCard
from shared.errors import UsageError

_START = "start a worker with `camq worker --model resnet18`, or everything at once with `camq up`"


class Catalogue(Protocol):
    """The part of the ledger's registry that is read here."""

    def models(self) -> dict[str, bool]:
        """Every known model, newest first, and whether a live worker serves it."""

    def card(self, model: str) -> ModelCard | None:
        """A model's card by its full `name@digest`."""


def resolve(catalogue: Catalogue, wanted: str | None) -> tuple[ModelCard, bool]:
    """The card of the one model that `wanted` means, and whether it is being served now.

    `name@digest` means that model; `name` the one that is served under it; None the one that is served. A
    model that nobody serves now is taken when it is the only one known. UsageError names the candidates.
    """
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
        what = "no worker has offered a model yet" if wanted is None else f"no model {wanted!r}"
        others = f"known are {_listed(known)}; " if known else ""
        raise UsageError(f"{what}: {others}{_START}")
    return card, bool(live)


def _means(wanted: str, model: str) -> bool:
    return wanted == model if "@" in wanted else wanted == model.partition("@")[0]


def _listed(models: list[str] | dict[str, bool]) -> str:
    return ", ".join(sorted(models))
