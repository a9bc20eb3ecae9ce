"""Tags: short words that the user gives a job, to find it and its results again."""

from collections.abc import Iterable
from typing import Any

from shared.errors import UsageError

#: Each line of a job's results carries all of them.
MOST_TAGS = 16
LONGEST_TAG = 64


def checked_tags(tags: Iterable[Any]) -> tuple[str, ...]:
    """The tags, each once, in the order given; a single text is one tag. UsageError that names the one at fault."""
    found: tuple[Any, ...] = tuple(dict.fromkeys([tags] if isinstance(tags, str) else tags))
    for tag in found:
        # A comma separates tags in a table's one column.
        if not isinstance(tag, str) or not 1 <= len(tag) <= LONGEST_TAG or "," in tag or _is_odd(tag):
            raise UsageError(
                f"{tag!r} cannot be a tag: 1 to {LONGEST_TAG} printable characters, no comma, no space at either end"
            )
    if len(found) > MOST_TAGS:
        raise UsageError(f"a job has at most {MOST_TAGS} tags, not {len(found)}")
    return found


def _is_odd(tag: str) -> bool:
    return not tag.isprintable() or tag != tag.strip()
