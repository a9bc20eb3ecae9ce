"""Strangers' text, escaped for where it goes. Apart from the rest so that command and worker share one rule."""

import re

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


def for_spreadsheet(value: object) -> object:
    """A text that a spreadsheet would take for a formula, with `'` before it; any other value as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()
