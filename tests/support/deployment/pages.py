"""The documentation as data: fenced blocks, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_SHELL = {"sh", "bash", "console", ""}
_ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "2>", "<", "(", ")"}


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    language: str
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's blocks in these languages, in order."""
    found = [Block(page, match[1], match[2]) for match in _FENCE.finditer(page.read_text("utf-8"))]
    return [block for block in found if block.language in languages]


def commands(page: Path) -> Iterator[tuple[list[str], bool]]:
    """The arguments of every `camq …` on the page, and whether it stands in a block (and so is complete)."""
    for block in blocks(page, *_SHELL):
        for line in block.text.replace("\\\n", " ").splitlines():
            yield from ((arguments, True) for arguments in _in_line(line))
    for code in _CODE.findall(_FENCE.sub("", page.read_text("utf-8"))):
        yield from ((arguments, False) for arguments in _in_line(code))


def _in_line(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell: after a pipe, inside `$( )`, behind a path or a prompt."""
    if not re.search(r"(^|[\s/(])camq\s+[a-z-]", line) or "▶" in line:
        return
    plain = re.sub(r'"?\$\(', " ( ", line).replace(')"', " ) ")
    lexer = shlex.shlex(plain, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words: list[str] | None = None
    for word in lexer:
        if word in _ENDS:
            if words is not None:
                yield words
            words = None
        elif words is not None:
            words.append(word)
        elif re.fullmatch(r"(.*/)?camq", word):
            words = []
    if words:
        yield words
