"""Suggestions for a mistyped word."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known words that look like `word` or contain it, the likeliest first; case does not matter."""
    by_fold = {name.casefold(): name for name in known}
    close = [by_fold[fold] for fold in get_close_matches(word.casefold(), by_fold, n=most)]
    inside = [name for fold, name in by_fold.items() if word.casefold() in fold]
    return list(dict.fromkeys(close + inside))[:most] if word else []


def did_you_mean(word: str, known: Iterable[str], most: int = 3) -> str:
    """A hint such as ` (did you mean tabby or tiger?)`, or an empty text."""
    found = nearest(word, known, most)
    return f" (did you mean {' or '.join(found)}?)" if found else ""
