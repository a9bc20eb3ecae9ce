"""A page on disk, and the pictures that it shows: beside it in a folder, or inside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from producer.web.kit.thumbnails import CONTENT_TYPE
from shared.errors import CamqError

if TYPE_CHECKING:
    from pathlib import Path

#: Puts bytes under a name where the page finds them; the address that the page uses.
Place = Callable[[str, bytes], str]


def write_whole(path: Path, page: str) -> None:
    """The page appears whole or not at all. Raises CamqError where it cannot be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(page, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise CamqError(f"cannot write {path}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def inside(_name: str, data: bytes) -> str:
    """A `Place` within the page itself."""
    return f"data:{CONTENT_TYPE};base64,{base64.b64encode(data).decode()}"


def beside(path: Path) -> Place:
    """A `Place` in the folder `<name>_files` beside the page."""
    folder = path.with_name(f"{path.stem}_files")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CamqError(f"cannot make the folder {folder}: {error.strerror}") from error

    def place(name: str, data: bytes) -> str:
        try:
            (folder / name).write_bytes(data)
        except OSError as error:
            raise CamqError(f"cannot write {folder / name}: {error.strerror}") from error
        return f"{quote(folder.name)}/{name}"

    return place
