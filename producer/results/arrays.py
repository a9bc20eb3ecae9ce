"""NumPy archives of a job as they lie in the bucket, where others may write: input, not truth."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from zipfile import ZIP_STORED, BadZipFile, ZipFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy import generic
    from numpy.typing import NDArray

#: What readers of damaged archives raise; MemoryError where a header promises more than there is.
_DAMAGE = (ValueError, TypeError, KeyError, EOFError, BadZipFile, OSError, MemoryError, RuntimeError)


def read_arrays(data: bytes, names: Iterable[str]) -> dict[str, NDArray[generic]]:
    """These arrays of an archive.

    Raises ImportError without NumPy, ValueError for an archive that is damaged, lacks one of them, or is compressed:
    camq writes none such, and it could unpack to anything.
    """
    import numpy as np

    try:
        with ZipFile(io.BytesIO(data)) as archive:
            if any(info.compress_type != ZIP_STORED for info in archive.infolist()):
                raise ValueError("its arrays are compressed")
        with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in names}
    except _DAMAGE as error:
        raise ValueError(str(error) or type(error).__name__) from error
