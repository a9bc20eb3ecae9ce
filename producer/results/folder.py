"""The folder of a download: it changes as a whole or not at all, and never a file that camq did not write."""

from __future__ import annotations

import re
import shutil
import tempfile
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from shared.errors import CamqError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = "results.jsonl"
#: Marks a folder as camq's: the job on its first line, then the name of each file that camq wrote there.
MARKER = ".camq-files"
#: Names that camq gives. A marker that was changed by hand can name nothing else.
_NAME = re.compile(r"overlays/[\w.-]+-\d+\.(jpg|webp|png)|heatmaps/[\w.-]+-\d+\.png|maps/[\w.-]+\.npz|results\.jsonl")


class ResultsFolder:
    """Collects files beside their places; `complete` moves them there. Leaving the block earlier changes nothing.

    Raises UsageError when a file that camq did not write is in the way, CamqError when the folder cannot be made.
    """

    def __init__(self, folder: Path, job: str) -> None:
        self._folder, self._job = folder, job

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if (self._folder / RESULTS).exists() and not (self._folder / MARKER).is_file():
                raise self._in_the_way(RESULTS)  # known before anything is fetched
            self._draft = Path(tempfile.mkdtemp(prefix=".camq-partial-", dir=self._folder))
            for name in ("overlays", "heatmaps", "maps"):
                (self._draft / name).mkdir()
        except OSError as error:
            raise CamqError(f"cannot write into the folder {self._folder}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._draft, ignore_errors=True)

    def open(self, name: str) -> IO[bytes]:
        """The file of this name, to be written."""
        return (self._draft / name).open("wb")

    def complete(self, folders: tuple[str, ...]) -> str | None:
        """Puts every file into its place, `results.jsonl` last, and removes what an earlier download left.

        `folders` are there afterwards, also when they are empty. Returns the job whose files were replaced.
        """
        before, mine = self._written_before()
        new = sorted(str(path.relative_to(self._draft)) for path in self._draft.rglob("*") if path.is_file())
        for name in new:
            if name not in mine and (self._folder / name).exists():
                raise self._in_the_way(name)
        for name in {*folders, *(str(Path(name).parent) for name in new)}:
            (self._folder / name).mkdir(exist_ok=True)
        # Both lists first: whatever breaks off in the moves, the next download knows all of these files as camq's.
        self._mark(chain(new, mine.difference(new)))
        if RESULTS in mine:
            (self._folder / RESULTS).unlink(missing_ok=True)
        for name in (*(name for name in new if name != RESULTS), RESULTS):
            (self._draft / name).replace(self._folder / name)
        for name in mine.difference(new):
            (self._folder / name).unlink(missing_ok=True)
        self._mark(iter(new))
        return before

    def _written_before(self) -> tuple[str | None, set[str]]:
        try:
            job, *names = (self._folder / MARKER).read_text("utf-8").splitlines()
        except (OSError, ValueError):
            return None, set()
        return job, {name for name in names if _NAME.fullmatch(name)}

    def _mark(self, names: Iterator[str]) -> None:
        with (self._draft / MARKER).open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in chain([self._job], names))
        (self._draft / MARKER).replace(self._folder / MARKER)

    def _in_the_way(self, name: str) -> UsageError:
        return UsageError(
            f"{self._folder / name} exists and was not written by camq: move it away, or choose another folder"
        )
