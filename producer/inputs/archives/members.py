"""Single pictures of archives by name, as tables name them."""

from producer.inputs.archives.archive import members
from producer.inputs.left_out import LeftOut
from producer.inputs.source import FailedSource, Source, split_page, with_page

#: Archives that a table names pictures of in turn.
MOST_KNOWN = 4


class Members:
    """Single pictures of archives by name, as tables name them. Not for several threads.

    The last few archives stay known, so that a table of all pictures of one does not look through it for each row.
    """

    def __init__(self) -> None:
        self._archives: dict[str, _Known] = {}

    def find(self, archive: str, name: str) -> Source:
        """The picture of this name in an archive, or a page of it, as `archive/inner/name#n`."""
        known = self._archives.pop(archive, None) or _Known(archive)
        self._archives[archive] = known
        if len(self._archives) > MOST_KNOWN:
            del self._archives[next(iter(self._archives))]
        found = known.at(name)
        file, page = split_page(name)
        if found is None and page is not None and (whole := known.at(file)) is not None:
            found = with_page(whole, page)
        return found or FailedSource(name, f"the archive {archive} has no picture {name.removeprefix(archive + '/')}")


class _Known:
    def __init__(self, archive: str) -> None:
        self._archive = archive
        self._ahead = members(archive, LeftOut())
        self._looked_through = False
        #: What was passed; None for what holds bytes in memory, which is read once more if it is asked for.
        self._passed: dict[str, Source | None] = {}

    def at(self, name: str) -> Source | None:
        found = self._passed.get(name)
        if found is None and not self._looked_through:
            found = self._reached(name)
            self._looked_through = found is None
        if found is None and name in self._passed:
            found = self._reached(name)  # further on, as where a table has the order of the archive
            if found is None:
                self._ahead = members(self._archive, LeftOut())
                found = self._reached(name)
        return found

    def _reached(self, name: str) -> Source | None:
        for source in self._ahead:
            self._passed[source.name] = None if source.held else source
            if source.name == name:
                return source
        return None
