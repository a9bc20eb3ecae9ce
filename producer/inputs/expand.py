"""What the user gives, expanded into images in a stable order: paths, patterns, addresses, pictures in memory, or
tables, data sets and mappings of them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from producer.inputs.archives.members import Members
from producer.inputs.bucket import objects
from producer.inputs.data_sets import items, row_in
from producer.inputs.disk import nearest_path, paths
from producer.inputs.in_memory import described, picture_of
from producer.inputs.left_out import LeftOut
from producer.inputs.notes import Row
from producer.inputs.schemes import addressed, written_out
from producer.inputs.source import FailedSource, Source
from shared.errors import UsageError
from shared.storage.port import SCHEME, ObjectStore

#: What to do with an object that holds pictures but is none, by its type's name.
_WAYS = {
    "DataFrame": "give the data frame alone, with source_column= for its column of pictures",
    "LazyFrame": "give what .collect() returns",
    "Response": "give its .content",
    "Figure": "save it to a file or io.BytesIO() and give that",
}
_WAY = "give a path, an s3:// address, bytes, an open file, a PIL image, an array, or a pair (picture, label)"

#: Missing files that a message names.
MOST_MENTIONED = 5


class Expansion:
    """Iterates over the images that `given` means.

    Only a named file that is missing is an image that fails; a folder or a pattern without a picture is a
    notice. Raises UsageError when nothing at all matches. `store` is asked for only for s3:// addresses.
    """

    def __init__(
        self, given: object, *, store: Callable[[], ObjectStore], notice: Callable[[str], None] = lambda _: None
    ) -> None:
        one = isinstance(given, str | os.PathLike | Source | Row)
        self._given = [given] if one else items(given)
        self._store = store
        self._notice = notice
        self._inside = Members()
        #: Named files that are missing: they count only once something else was found.
        self._missing: list[FailedSource] = []
        self._found = False
        self._mentioned = 0
        #: What was passed over so far.
        self.left_out = LeftOut()

    def __iter__(self) -> Iterator[Source]:
        for position, item in enumerate(self._given):
            found_here = False
            for source in self._expand(item, position):
                found_here = True
                if isinstance(source, FailedSource) and not self._found:
                    self._missing.append(source)
                    continue
                self._found = True
                for one in (*self._missing, source):
                    self._mention(one)
                    yield one
                self._missing.clear()
            if not found_here:
                self._notice(f"no picture matches {os.fsdecode(item)!r}")
        if not self._found:
            reasons = [*map(_why, self._missing[:MOST_MENTIONED]), str(self.left_out)]
            said = ", ".join(reason for reason in reasons if reason)
            raise UsageError(f"no picture to submit{f': {said}' if said else ''}")

    def _mention(self, source: Source) -> None:
        """A mistyped folder would pass for a picture that fails: the first files that are missing are named."""
        if isinstance(source, FailedSource) and source.code == "not_found" and self._mentioned < MOST_MENTIONED:
            self._mentioned += 1
            self._notice(f"{_why(source)}; it counts as a failed image")

    def _expand(self, item: Any, position: int) -> Iterator[Source]:
        if isinstance(item, Source):
            yield item
        elif isinstance(item, Row):
            yield self._noted(item, position)
        elif isinstance(item, str) and item.startswith(SCHEME):
            yield from objects(item, self._store(), self.left_out)
        elif isinstance(item, str) and not os.path.lexists(item) and (found := addressed(item)) is not None:
            yield found
        elif isinstance(item, str | os.PathLike):
            yield from paths(os.fsdecode(item), self.left_out, pattern=isinstance(item, str), inside=self._inside)
        elif (picture := picture_of(item, f"image-{position}")) is not None:
            yield picture
        elif (row := row_in(item)) is not None:
            yield self._noted(row, position)
        else:
            raise UsageError(f"{described(item)} is not an image: {_WAYS.get(type(item).__name__, _WAY)}")

    def _noted(self, row: Row, position: int) -> Source:
        picture, known = row.picture, row.notes
        if isinstance(picture, str) and (written := written_out(picture)) is not None:
            return replace(written, notes=known)
        if isinstance(picture, str) and not picture.startswith(SCHEME) and addressed(picture) is None:
            images = paths(picture, self.left_out, pattern=False, inside=self._inside)
        else:
            images = self._expand(picture, position)
        found = list(islice(images, 2))
        if len(found) != 1:
            who = f"id {known.id!r}" if known.id is not None else f"row {position}"
            what = "several pictures" if found else "no picture"
            raise UsageError(f"{who}: expected one picture, but {str(picture)[:200]!r} is {what}")
        return replace(found[0], notes=known)


def _why(missing: FailedSource) -> str:
    """What is wrong with a file that was named, and a hint at what stands beside it."""
    if missing.code != "not_found":
        return missing.reason
    hint = "" if SCHEME in missing.name else nearest_path(missing.name)
    return f"{missing.name!r} not found{hint}"
