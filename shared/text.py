"""Strangers' text, escaped for where it goes. Apart from the rest so that command and worker share one rule."""


def visible(text: str) -> str:
    """The text on one line, with anything that would move a terminal's cursor written as an escape."""
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def visible_lines(text: str) -> str:
    """As `visible`, but line breaks stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()
