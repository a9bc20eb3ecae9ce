"""The classes of a model by what people call them: by label, by one of a label's names, or by index."""

import csv
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from shared.contract import ModelCard
from shared.errors import UsageError
from shared.text import did_you_mean

_MOST_DIGITS = 10
#: Labels that look like a wrong one are looked for this often: it takes milliseconds, and a table may have a million.
MOST_HINTS = 20


class _Named(NamedTuple):
    """The indices of the classes that a text may mean: labels to the letter, folded labels, folded parts of them."""

    exact: dict[str, list[int]]
    folded: dict[str, list[int]]
    parts: dict[str, list[int]]


class Classes:
    """Finds the indices of a model's classes.

    A text that is a label to the letter means that class; one of digits alone is an index; any other is a label without
    regard to case, or with `_` for a space as in names of folders, or one of the names that a label has between
    commas (`tench` for `tench, Tinca tinca`).
    """

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self._hints_left = MOST_HINTS

    @cached_property
    def _named(self) -> "_Named":
        # Most submissions name no class, and would wait milliseconds for a thousand labels to be folded.
        exact, folded, parts = (defaultdict[str, list[int]](list) for _ in range(3))
        for index, label in enumerate(self._card.labels):
            exact[label].append(index)
            folded[_folded(label)].append(index)
            for part in label.split(","):
                parts[_folded(part)].append(index)
        return _Named(exact, folded, parts)

    def index(self, wanted: object) -> int:
        """The index of one class. UsageError when there is no such class, or several."""
        if isinstance(wanted, bool):
            raise UsageError(f"invalid class {wanted}: expected an index or a label")
        text = str(wanted).strip()
        same = self._named.exact.get(text, []) if isinstance(wanted, str) else []
        if len(same) != 1 and (text.isdecimal() or isinstance(wanted, int)):
            # `int` refuses a text of some thousand digits.
            if len(text) < _MOST_DIGITS and 0 <= int(text) < len(self._card.labels):
                return int(text)
            raise UsageError(
                f"invalid class {text}: {self._card.model} has the classes 0 to {len(self._card.labels) - 1}"
            )
        same = same or self._named.folded.get(_folded(text)) or self._named.parts.get(_folded(text)) or []
        if len(same) == 1:
            return same[0]
        if same:
            raise UsageError(f"class {text!r} is ambiguous: use one of the indices {', '.join(map(str, same))}")
        hint = did_you_mean(text, self._card.labels) if self._hints_left > 0 else ""
        self._hints_left -= 1
        raise UsageError(f"{self._card.model} has no class {text!r}{hint}; expected a label or an index")

    def indices(self, wanted: object) -> tuple[int, ...]:
        """The indices of several classes, each once: a list, or one text with commas between them. UsageError as above,
        and for none."""
        if isinstance(wanted, str):
            wanted = _split(wanted)
        elif isinstance(wanted, bytes) or not isinstance(wanted, Iterable):
            wanted = [wanted]
        found = tuple(dict.fromkeys(map(self.index, wanted)))
        if not found:
            raise UsageError("classes is empty: expected class indices or labels, separated by commas")
        return found


def _folded(text: str) -> str:
    return " ".join(text.replace("_", " ").casefold().split())


def _split(classes: str) -> list[str]:
    """At its commas; a label that contains a comma is put in double quotes."""
    try:
        return next(csv.reader([classes], skipinitialspace=True), [])
    except csv.Error:
        raise UsageError(
            f"invalid classes {classes[:80]!r}: expected one line of indices or labels, separated by commas"
        ) from None
