"""A page on disk, and the pictures that it shows: beside it in a folder, or inside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from producer.formatting import count
from producer.web.kit.thumbnails import CONTENT_TYPE
from producer.written_folder import check_page, make_folders, thumbnails_folder
from shared.errors import CamqError

if TYPE_CHECKING:
    from pathlib import Path


class WrittenPage:
    """A page and its pictures: inside it with `embed`, else in the folder `<name>_files` beside it.

    Both appear with `complete`; leaving the block earlier changes nothing. `notice` is called with what was made and
    replaced. Raises UsageError when a file that camq did not write is in the way, CamqError where nothing can be
    written.
    """

    def __init__(self, path: Path, *, embed: bool, notice: Callable[[str], None] = lambda _: None) -> None:
        self._path, self._embed, self._notice = path, embed, notice
        self._pictures = thumbnails_folder(path)

    def __enter__(self) -> Self:
        check_page(self._path)
        if not self._embed:
            self._pictures.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._embed:
            self._pictures.__exit__()

    def place(self, name: str, data: bytes) -> str:
        """Keeps a picture of the page under this name; the address that the page uses."""
        if self._embed:
            return f"data:{CONTENT_TYPE};base64,{base64.b64encode(data).decode()}"
        try:
            with self._pictures.open(name) as file:
                file.write(data)
        except OSError as error:
            raise CamqError(f"cannot write {self._pictures.folder / name}: {error.strerror}") from error
        return f"{quote(self._pictures.folder.name)}/{name}"

    def complete(self, page: str) -> None:
        """The page and its pictures are there."""
        path = self._path
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        replaced, pictures = path.exists(), 0
        try:
            made = make_folders(path.parent) if self._embed else self._pictures.made
            draft.write_text(page, "utf-8")
            if self._embed:
                self._pictures.remove()
            else:
                pictures = len(self._pictures.complete().new)
            draft.replace(path)
        except OSError as error:
            raise CamqError(f"cannot write {path}: {error.strerror}") from error
        finally:
            draft.unlink(missing_ok=True)
        if any(folder != self._pictures.folder for folder in made):
            self._notice(f"made the folder {path.parent}")
        if pictures:
            self._notice(f"{count(pictures, 'thumbnail')} in {self._pictures.folder}")
        if replaced:
            self._notice(f"replaced the page {path}")
