"""How a page asks for a small picture of an original, and what one may cost."""

import msgspec

#: Of what must be decoded for a preview; a JPEG is decoded at a fraction of its size.
MAX_PIXELS = 50_000_000
#: What one may take of its process: address space, processor seconds, bytes of the answer.
MEMORY, LIMIT_S, LARGEST = 12 * MAX_PIXELS + 100_000_000, 5.0, 4_000_000


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One preview, its longest side at most `side` pixels; the rest is read as the job's pictures are.

    The answer is WebP, or empty for what cannot be shown.
    """

    side: int
    #: Counted from 1.
    page: int = 1
    #: As the options `range` and `truncated` of a job.
    range: str | None = None
    keep_truncated: bool = False
    #: As the model's preprocessing.
    exif: bool = True
