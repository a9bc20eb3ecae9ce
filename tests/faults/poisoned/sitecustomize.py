"""Put on PYTHONPATH, this gives a worker and all its children a decoder that crashes or hangs on certain pictures.

It stands for the faults in native decoders; product code knows nothing of it.
"""

import signal
import time
from typing import Any

from PIL import Image

#: After the end of a JPEG any bytes may follow; decoders do not look at them.
MARK = b"this picture crashes the decoder"
HANG = b"this picture keeps the decoder for ever"
_open = Image.open


def crashing_open(file: Any, *args: Any, **kwargs: Any) -> Image.Image:
    data = file.getvalue() if hasattr(file, "getvalue") else b""
    if MARK in data:
        signal.raise_signal(signal.SIGSEGV)
    if HANG in data:
        time.sleep(3600)
    return _open(file, *args, **kwargs)


Image.open = crashing_open  # type: ignore[assignment]
