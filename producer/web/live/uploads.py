"""Pictures that a browser or a program uploads: limited while they arrive, and on disk until they are submitted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Lock

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from producer.inputs.source import LazySource

#: All pictures of one upload together: they are stored on this machine's disk first.
MAX_UPLOAD_BYTES = 1_000_000_000
MAX_UPLOAD_FILES = 1_000
_MAX_FIELDS = 100
_LENGTH = re.compile(r"[0-9]{1,12}")


@asynccontextmanager
async def uploaded(request: Request) -> AsyncIterator[FormData]:
    """The form's fields and files, which are gone after the block. HTTPException when it is too large or malformed."""
    length = request.headers.get("content-length", "")
    # The server holds a request to the length it announced, unless it comes in chunks, which have none.
    is_chunked = "transfer-encoding" in request.headers
    if is_chunked or not _LENGTH.fullmatch(length) or int(length) > MAX_UPLOAD_BYTES:
        raise HTTPException(413, f"at most {MAX_UPLOAD_BYTES // 10**6:,} MB in one upload; use `camq submit` for more")
    try:
        form = await request.form(max_files=MAX_UPLOAD_FILES, max_fields=_MAX_FIELDS)
    except ClientDisconnect:  # it left, or nothing came from it any more: nobody reads the answer
        raise HTTPException(408, "the upload broke off") from None
    except (MultiPartException, ValueError, LookupError) as error:
        # A broken form, or one in an encoding that Python does not know.
        raise HTTPException(400, f"the form cannot be read: {getattr(error, 'message', error)}") from None
    try:
        yield form
    finally:
        await form.close()


def files(form: FormData, field: str) -> list[UploadFile]:
    """The files of this field, without the empty one that a browser sends when none was chosen."""
    return [item for item in form.getlist(field) if isinstance(item, UploadFile) and item.filename]


def source_of(file: UploadFile) -> LazySource:
    """The picture in a file; it can be read more than once, by any thread."""
    one_at_a_time = Lock()

    def read() -> bytes:
        with one_at_a_time:
            file.file.seek(0)
            return file.file.read()

    return LazySource(file.filename or "", read, file.size or 0)
