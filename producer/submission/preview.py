"""What a submission would do, found out without uploading or registering anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from producer.inputs.archives.archive import MemberSource
from producer.inputs.expand import Expansion
from producer.inputs.source import BytesSource, FailedSource, FileSource, ObjectSource, Source, check_size
from producer.inputs.urls.fetch import UrlSource
from producer.submission.request import Request
from shared.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.submission.expected import Expected
    from shared.storage import ObjectStore

#: The number of images that would fail which are named.
_NAMED = 10


class PathSummary(msgspec.Struct, kw_only=True):
    """The pictures that one of the given paths stands for."""

    path: str
    images: int = 0
    bytes: int = 0


class FailedPreview(msgspec.Struct, frozen=True, kw_only=True):
    """An image that would fail, and why."""

    source: str
    code: str
    message: str


class Preview(msgspec.Struct, kw_only=True):
    """The answer of `--dry-run`. `images` counts those that would fail as well; `bytes` are their files' sizes."""

    dry_run: bool = True
    images: int = 0
    bytes: int = 0
    failing: int = 0
    #: The first of those that would fail.
    failures: list[FailedPreview] = msgspec.field(default_factory=list)
    paths: list[PathSummary] = msgspec.field(default_factory=list)
    model: str | None = None
    priority: str = "bulk"
    job_id: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    #: What would not be taken for pictures, by kind.
    left_out: dict[str, int] = msgspec.field(default_factory=dict)


def preview(
    pictures: Iterable[tuple[str, Iterable[object]]],
    request: Request,
    *,
    store: Callable[[], ObjectStore],
    limit: int,
    notice: Callable[[str], None],
    expected: Expected | None = None,
) -> Preview:
    """Count the images and bytes that a submission of `pictures` would upload; each has the path that the user gave.

    `request` has been validated. UsageError when no path matches anything, and as `expected` raises it.
    """
    found = Preview(job_id=request.job_id, name=request.name, tags=tuple(request.tags))

    def each() -> Iterator[object]:
        for path, images in pictures:
            found.paths.append(PathSummary(path=path))
            yield from images

    expansion = Expansion(each(), store=store, notice=notice)
    for source in expansion:
        given = found.paths[-1]
        if isinstance(source, FailedSource):  # handed out late, when something else was found
            given = next((g for g in found.paths if g.path == source.name), given)
        if expected:
            expected(source)
        size = _weigh(source, limit, found)
        for counter in (given, found):
            counter.images += 1
            counter.bytes += size
    found.left_out = expansion.left_out.counts
    if expected:
        expected.check_some()
    for said in (str(expansion.left_out), expected.left if expected else ""):
        if said:
            notice(said)
    found.priority = request.priority_for(found.images)
    return found


def _weigh(source: Source, limit: int, found: Preview) -> int:
    """The image's size in bytes, 0 for one that would fail, which is counted."""
    if isinstance(source, UrlSource):  # known when it is fetched
        return 0
    try:
        size = _size(source)
        check_size(source.name, size, limit)
    except ImageError as error:
        found.failing += 1
        if len(found.failures) < _NAMED:
            found.failures.append(FailedPreview(source=source.name, code=error.code, message=error.message))
        return 0
    return size


def _size(source: Source) -> int:
    match source:
        case MemberSource() | ObjectSource():
            return source.size
        case BytesSource():
            return len(source.data)
        case FileSource() if (path := Path(source.path)).is_file():
            return path.stat().st_size
        case _:
            return len(source.read(0))  # says why it cannot be read
