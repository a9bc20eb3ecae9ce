"""Pictures into the object store; one that is there is not sent again, save a few behind many new ones."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import UNSET
from msgspec.structs import replace

from producer.inputs.notes import UNKNOWN
from producer.inputs.source import ObjectSource, Source, printable
from shared import keys
from shared.contract import ErrorInfo, ImageRef
from shared.errors import ImageError
from shared.pictures import looks_like_a_picture, refusal
from shared.storage.port import ObjectStore

#: Half the retention of a job: far below the age at which `gc` deletes an input that no job refers to.
WRITE_AGAIN_AFTER = timedelta(seconds=keys.FINISHED_TTL_S / 2)
#: From so many bytes on, a question always costs little beside the picture that it may save.
ALWAYS_ASK_FROM = 256 << 10
#: After so many sendings in a row, of smaller pictures one in `ASK_ONE_IN` is asked for, until one is there: on
#: average, since several threads may see the same count, or step over one.
SENT_IN_A_ROW = 32
ASK_ONE_IN = 8


class Uploader:
    """Turns a source into its reference. Safe to call from many threads.

    A `lone` picture, the only one of its submission, is sent at once if it is small: somebody waits for it.
    """

    def __init__(
        self, store: ObjectStore, *, limit: int, patient: Callable[[Callable[[], object]], object], lone: bool = False
    ) -> None:
        self._store = store
        self._limit = limit
        self._lone = lone
        #: Calls again what found storage unreachable.
        self._patient = patient
        #: Pictures sent since the last one that was there. Threads may lose a count; nothing depends on one.
        self._sent = 0

    def __call__(self, item: tuple[int, Source]) -> ImageRef:
        """The image's reference, after its bytes are in the store; what cannot be read says why."""
        index, source = item
        name = printable(source.name)
        notes = source.notes
        known = notes.truth or UNKNOWN
        reference = ImageRef(
            index=index,
            source=name,
            id=UNSET if notes.id is None else notes.id,
            fields=dict(notes.fields) or UNSET,
            truth=UNSET if known.classes is None else known.classes,
            boxes=known.boxes or UNSET,
            classes=known.explained or UNSET,
            page=source.page or UNSET,
        )
        try:
            return replace(reference, key=self._place(source))
        except ImageError as error:
            return replace(reference, error=ErrorInfo(error.code, printable(error.message)))

    def _place(self, source: Source) -> str:
        if source.page == 0:
            raise ImageError("not_found", "there is no page 0: pages and frames are counted from 1")
        if isinstance(source, ObjectSource):
            source.check(self._limit)
            return source.path
        data = source.read(self._limit)
        if not looks_like_a_picture(data):
            # Not sent: a link or a name in a folder from strangers may lead to a file that nobody meant to give away.
            raise ImageError(*refusal(data))
        key = keys.input_object(hashlib.sha256(data).hexdigest())
        self._patient(lambda: self._put_once(key, data))
        return key

    def _put_once(self, key: str, data: bytes) -> None:
        # Two threads with one picture write the same bytes.
        if self._worth_asking(len(data)) and self._is_there(key, len(data)):
            self._sent = 0
        else:
            self._store.put(key, data)
            self._sent += 1

    def _worth_asking(self, size: int) -> bool:
        """Of a folder that is new storage has nothing, and to be told so costs half as much as to send 40 KB."""
        if size >= ALWAYS_ASK_FROM:
            return True
        return not self._lone and (self._sent < SENT_IN_A_ROW or self._sent % ASK_ONE_IN == 0)

    def _is_there(self, key: str, size: int) -> bool:
        # What is old is written again, so that `gc`, which deletes by age, can never take it from this job.
        known = self._store.stat(key)
        return known is not None and known.size == size and datetime.now(UTC) - known.modified <= WRITE_AGAIN_AFTER
