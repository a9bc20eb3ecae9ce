"""What camq writes on disk: a folder changes as a whole or not at all, and never a file that camq did not write."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from shared.errors import CamqError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Marks a folder as camq's: the job on its first line, then the name of each file that camq wrote there.
MARKER = ".camq-files"
_IN_THE_WAY = "exists and was not written by camq: move it away, or choose another place"

#: Every page of camq says so near its beginning (`base.html`), so that no other file is overwritten.
GENERATOR = b'<meta name="generator" content="camq">'
_BEGINNING = 1000


class Completed(NamedTuple):
    """The names of the new files; the job whose files they replaced, if any; those of its files that are gone."""

    new: list[str]
    before: str | None
    removed: set[str]


class WrittenFolder:
    """Collects files beside their places; `complete` moves them there. Leaving the block earlier changes nothing.

    `names` matches what camq may write there: a marker that was changed by hand can name nothing else. The file `last`
    appears after all others. Raises UsageError when a file that camq did not write is in the way, CamqError when the
    folder cannot be written.
    """

    def __init__(self, folder: Path, job: str, names: re.Pattern[str], *, last: str | None = None) -> None:
        self.folder, self._job, self._names, self._last = folder, job, names, last

    def __enter__(self) -> Self:
        if self._last:
            self.check(self._last)  # known before anything is fetched
        try:
            #: Folders that were not there before.
            self.made = make_folders(self.folder)
            self._draft = Path(tempfile.mkdtemp(prefix=".camq-partial-", dir=self.folder))
        except OSError as error:
            raise CamqError(f"cannot write into the folder {self.folder}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._draft, ignore_errors=True)
        with suppress(OSError):  # not empty
            for folder in reversed(self.made):
                folder.rmdir()

    def open(self, name: str) -> IO[bytes]:
        """The file of this name, to be written."""
        (self._draft / name).parent.mkdir(parents=True, exist_ok=True)
        return (self._draft / name).open("wb")

    def complete(self, folders: tuple[str, ...] = ()) -> Completed:
        """Puts every file into its place and removes what was written before.

        `folders` are there afterwards, also when they are empty.
        """
        before, mine = self._written_before()
        new = sorted(str(path.relative_to(self._draft)) for path in self._draft.rglob("*") if path.is_file())
        self.check(*new)
        for name in {*folders, *(str(Path(name).parent) for name in new)}:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # Both lists first: whatever breaks off in the moves, the next download knows all of these files as camq's.
        self._mark(chain(new, mine.difference(new)))
        if self._last in mine:
            (self.folder / self._last).unlink(missing_ok=True)
        for name in sorted(new, key=lambda name: name == self._last):
            (self._draft / name).replace(self.folder / name)
        removed = {name for name in mine.difference(new) if (self.folder / name).exists()}
        for name in removed:
            (self.folder / name).unlink(missing_ok=True)
        self._mark(new)
        return Completed(new, before, removed)

    def check(self, *names: str) -> None:
        """Raises UsageError when one of these files is there and camq did not write it."""
        mine = self._written_before()[1]
        for name in names:
            if name not in mine and (self.folder / name).exists():
                raise UsageError(f"{self.folder / name} {_IN_THE_WAY}")

    def add(self, name: str) -> Path:
        """A further file of the completed folder that camq is about to write; its path."""
        self.check(name)
        mine = self._written_before()[1]
        self._mark(sorted({*mine, name}))
        return self.folder / name

    def remove(self) -> None:
        """Removes what camq wrote there, and the folder if nothing else is in it."""
        before, mine = self._written_before()
        if before is None:
            return
        for name in (*mine, MARKER):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            self.folder.rmdir()

    def _written_before(self) -> tuple[str | None, set[str]]:
        job, *names = _marked(self.folder) or (None,)
        return job, {name for name in names if name and self._names.fullmatch(name)}

    def _mark(self, names: Iterable[str]) -> None:
        # In a folder of its own, whose name nobody knows before: no file and no link of the user's is in the way.
        with tempfile.TemporaryDirectory(prefix=".camq-partial-", dir=self.folder) as draft:
            made = Path(draft, MARKER)
            made.write_text("".join(f"{line}\n" for line in chain([self._job], names)), "utf-8")
            made.replace(self.folder / MARKER)


def written_in(folder: Path) -> list[str]:
    """The names of the files that camq says it wrote there: whoever can write into the folder can write others."""
    return _marked(folder)[1:]


def _marked(folder: Path) -> list[str]:
    try:
        return (folder / MARKER).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []


def make_folders(path: Path) -> list[Path]:
    """Makes the folder and those above it; the ones that were not there, the outermost first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()][::-1]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def thumbnails_folder(page: Path) -> WrittenFolder:
    """Where the pictures of a page are: `<name>_files` beside it."""
    return WrittenFolder(page.with_name(f"{page.stem}_files"), page.name, re.compile(r"[\w-]+\.webp"))


def check_page(path: Path) -> None:
    """Raises UsageError when a file is there that is not a page of camq's."""
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError as error:
        raise CamqError(f"cannot write {path}: {error.strerror}") from error
    if GENERATOR not in beginning:
        raise UsageError(f"{path} {_IN_THE_WAY}")
