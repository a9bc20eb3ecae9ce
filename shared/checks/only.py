"""Which pictures of a job are drawn: `wrong`, `label:NAME`, `below:P`."""

from typing import NamedTuple

from shared.checks.classes import Classes
from shared.contract import ModelCard
from shared.errors import UsageError

_EXPECTED = "expected wrong, label:NAME or below:P with P between 0 and 1, such as below:0.6"


class Only(NamedTuple):
    """One of the three: what is wrong, what is or is taken for a class, what is less probable."""

    wrong: bool = False
    label: str | None = None
    below: float | None = None


def parse_only(text: str) -> Only:
    """What the text means; `label` as it was written. UsageError for anything else."""
    word, colon, value = text.partition(":")
    if text == "wrong":
        return Only(wrong=True)
    if word == "label" and value.strip():
        return Only(label=value.strip())
    try:
        below = float(value) if word == "below" and colon else 0.0
    except ValueError:
        below = 0.0
    if not 0 < below < 1:
        raise UsageError(f"invalid only {text[:80]!r}: {_EXPECTED}")
    return Only(below=below)


def for_model(text: str, card: ModelCard) -> str:
    """The same, with the index of the class in the place of its label. UsageError where the model does not have it."""
    label = parse_only(text).label
    return text if label is None else f"label:{Classes(card).index(label)}"
