"""NumPy's numbers, texts and lists of texts in a pickle, as plain values. Class names are often such."""

import struct

from worker.core.checkpoint.pickles import StandIn

_FLOATS = {2: "<e", 4: "<f", 8: "<d"}


def scalar(dtype: object, data: object) -> object:
    """What `numpy.float64(0.9)` or `numpy.str_("cat")` is; None for other kinds."""
    kind = _kind(dtype)
    if not isinstance(data, bytes) or not kind:
        return None
    if kind[0] == "U":
        return _text(data)
    if kind[0] == "f" and len(data) in _FLOATS:
        return struct.unpack(_FLOATS[len(data)], data)[0]
    return int.from_bytes(data, "little", signed=kind[0] == "i") if kind[0] in "iub" and len(data) <= 8 else None


def texts(value: StandIn) -> list[str] | None:
    """The texts in a pickled array of one dimension; None for any other."""
    if not value.kind.endswith("multiarray._reconstruct") or not isinstance(value.state, tuple) or len(value.state) < 5:
        return None
    _, shape, dtype, _, data = value.state[:5]
    kind = _kind(dtype)
    if kind[:1] == "U" and isinstance(data, bytes) and kind[1:].isdecimal() and 0 < int(kind[1:]) <= len(data):
        width = 4 * int(kind[1:])
        found: list[object] = [_text(data[start : start + width]) for start in range(0, len(data), width)]
    else:
        found = data if isinstance(data, list) else []
    named = [each for each in found if isinstance(each, str)]
    return named if named and len(named) == len(found) and shape == (len(found),) else None


def _kind(dtype: object) -> str:
    """As in `numpy.dtype("<U3")`, without the order of bytes; empty where that is another than this machine's."""
    if not isinstance(dtype, StandIn) or not dtype.arguments or not isinstance(dtype.arguments[0], str):
        return ""
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    return dtype.arguments[0] if order in ("<", "|") else ""


def _text(data: bytes) -> str:
    return data.decode("utf-32-le", "replace").rstrip("\0")
