"""Why images failed, by code: what a page says before anything is clicked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import CODES, PERMANENT

if TYPE_CHECKING:
    from shared.contract import ErrorInfo

#: Images that a page names at most, all codes together: more rows than that nobody reads, and a page must open.
ROWS = 500


@dataclass(frozen=True, slots=True)
class Failed:
    """One failed image. `message` is empty where the group's reason says it all."""

    index: int
    source: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The images of one code; `images` are the first of them, `count` is their number."""

    code: str
    count: int
    reason: str
    images: tuple[Failed, ...]

    @property
    def permanent(self) -> bool:
        """Whether the same bytes fail again."""
        return self.code in PERMANENT


@dataclass(frozen=True, slots=True)
class Failures:
    """Everything that failed: `total` is exact, `known` is how many of them the ledger keeps the details of."""

    total: int
    known: int
    groups: tuple[Group, ...]

    @property
    def permanent(self) -> bool:
        """Whether no second look at the same bytes helps any of them."""
        return all(group.permanent for group in self.groups)


def named(errors: Mapping[int, ErrorInfo]) -> list[int]:
    """The images that a page names: the first of every code, so that no code hides behind another."""
    by_code = _by_code(errors)
    each = ROWS // max(1, len(by_code))
    return sorted(index for indices in by_code.values() for index in indices[:each])


def group(errors: Mapping[int, ErrorInfo], sources: Mapping[int, str], total: int) -> Failures:
    """Failures by code, the most frequent first. `sources` names those of the images that are to be listed.

    `total` is what the job counts; the ledger may keep the details of fewer, and may know of one more by now.
    """
    groups = [
        _group(code, [(index, errors[index]) for index in indices], sources)
        for code, indices in _by_code(errors).items()
    ]
    groups.sort(key=lambda one: (-one.count, one.code))
    return Failures(max(total, len(errors)), len(errors), tuple(groups))


def _by_code(errors: Mapping[int, ErrorInfo]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index in sorted(errors):
        found.setdefault(errors[index].code, []).append(index)
    return found


def _group(code: str, failed: list[tuple[int, ErrorInfo]], sources: Mapping[int, str]) -> Group:
    messages = {error.message for _, error in failed}
    shared = messages.pop() if len(messages) == 1 else ""
    images = _images(failed, sources, own=not shared)
    return Group(code, len(failed), shared or CODES.get(code, ""), tuple(images))


def _images(failed: Iterable[tuple[int, ErrorInfo]], sources: Mapping[int, str], *, own: bool) -> Iterable[Failed]:
    for index, error in failed:
        if index in sources:
            yield Failed(index, sources[index], error.message if own else "")
