"""Pictures in the graphics protocol of kitty, which Ghostty and WezTerm understand as well.

https://sw.kovidgoyal.net/kitty/graphics-protocol/
"""

from __future__ import annotations

import io
from base64 import standard_b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

#: One escape sequence carries at most so much of the encoded file.
_PIECE = 4096


def kitty_graphics(picture: Image) -> str:
    """The picture as escape sequences that transmit it as PNG and show it at the cursor; the terminal answers
    nothing."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    encoded = standard_b64encode(buffer.getvalue()).decode("ascii")
    pieces = [encoded[start : start + _PIECE] for start in range(0, len(encoded), _PIECE)]
    return "".join(
        f"\x1b_G{'a=T,f=100,q=2,' if not number else ''}m={int(number < len(pieces) - 1)};{piece}\x1b\\"
        for number, piece in enumerate(pieces)
    )
