"""The user's own id for an image, which its result carries."""

from dataclasses import dataclass

from shared.errors import UsageError

LONGEST_ID = 256


@dataclass(frozen=True, slots=True)
class Identified:
    """One picture, as `Expansion` takes it, with its id. A text is a name here, never a pattern."""

    id: str
    picture: object


def checked_id(given: object) -> str:
    """The id. UsageError that says what an id is."""
    if not isinstance(given, str) or not 1 <= len(given) <= LONGEST_ID or not given.isprintable():
        raise UsageError(f"{given!r} cannot be an image's id: 1 to {LONGEST_ID} printable characters")
    return given
