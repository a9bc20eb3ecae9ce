"""Text for people: a stranger's, escaped for where it goes, and suggestions for a mistyped word."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

#: DEL, C1, marks and embeddings of writing direction, line and paragraph separators: JSON leaves them as they are.
_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    """The text on one line, with anything that would move a terminal's cursor written as an escape."""
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def visible_lines(text: str) -> str:
    """As `visible`, but line breaks stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def visible_json(document: bytes) -> bytes:
    """The same JSON document, with what a terminal acts on or hides written as JSON escapes."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", document.decode()).encode()


def one_of(words: Sequence[str]) -> str:
    """Such as `cam, gradcam or layercam`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def for_spreadsheet(value: object) -> object:
    """A text that a spreadsheet would take for a formula, with `'` before it; any other value as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


#: Words of less likeness, by `difflib`, are other words; so are those that are so much less alike than the likeliest.
_ALIKE, _LESS = 0.7, 0.1
#: Fewer letters lie within too many words.
_SHORTEST_INSIDE = 3


def nearest(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known words that look like `word` or contain it, the likeliest first; case does not matter."""
    by_fold = {name.casefold(): name for name in known}
    meant = word.casefold()
    close = get_close_matches(meant, by_fold, n=most, cutoff=_ALIKE)
    close = [fold for fold in close if _likeness(fold, meant) >= _likeness(close[0], meant) - _LESS]
    inside = [fold for fold in by_fold if meant in fold] if len(meant) >= _SHORTEST_INSIDE else []
    return [by_fold[fold] for fold in dict.fromkeys(close + inside)][:most]


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def did_you_mean(word: str, known: Iterable[str], most: int = 3) -> str:
    """A hint such as ` (did you mean tabby or tiger?)`, or an empty text."""
    found = nearest(word, known, most)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()
