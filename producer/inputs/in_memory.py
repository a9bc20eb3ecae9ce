"""Pictures that a Python program holds: bytes, open files, PIL images, arrays, tensors. None of their libraries is
imported here: a picture of one can only be given by who has it loaded."""

import inspect
import io
import sys
from collections.abc import Callable, Mapping
from typing import Any

from producer.inputs.source import BytesSource, FailedSource, LazySource, Source, encode_picture
from shared.errors import ImageError, UsageError

#: What an open file is taken to keep in memory, where nobody can say: as much as a usual picture.
USUAL_PICTURE = 1 << 20
#: Grey, colour, colour with opacity.
_CHANNELS = (1, 3, 4)
#: Values of a float picture may leave 0 to 1 by this much: resizing with a sharp filter overshoots.
_OVERSHOOT = 0.01


def is_one_picture(given: object) -> bool:
    """Whether this stands for one picture, although one could iterate over it: lines of a file, rows of an array."""
    return (
        isinstance(given, bytes | bytearray | memoryview)
        or _is_pil(given)
        or is_file(given)
        or (is_array(given) and getattr(given, "ndim", 0) != 4)
        or is_encoded(given)
    )


def is_encoded(given: object) -> bool:
    """Whether this is a picture as Hugging Face `datasets` keeps it: `{"bytes": …, "path": …}`."""
    return isinstance(given, Mapping) and given.keys() == {"bytes", "path"}


def is_file(given: object) -> bool:
    """Whether this is an open file, or an upload that a web framework hands on."""
    return callable(getattr(given, "read", None)) and not isinstance(given, type)


def is_array(given: object) -> bool:
    """Whether this is an array or a tensor of numbers, of whatever library."""
    numbers = all(hasattr(given, name) for name in ("shape", "dtype", "ndim")) and not hasattr(given, "to_frame")
    return numbers and getattr(given.dtype, "kind", "f") in "uifbc"  # type: ignore[attr-defined]


def picture_of(item: Any, name: str) -> Source | None:
    """The picture that an object in memory is, called `name` unless it has a name of its own; None when it is none.

    UsageError for one that no picture can be made of, with its type and the way.
    """
    if isinstance(item, bytes | bytearray | memoryview):
        return BytesSource(name, bytes(item))
    if _is_pil(item):
        size = 4 * item.width * item.height  # Pillow keeps four bytes a pixel of most modes
        return LazySource(getattr(item, "filename", "") or name, lambda: encode_picture(item), size)
    if isinstance(item, io.TextIOBase):
        raise UsageError(f"{getattr(item, 'name', name)!r} is a text file object: open it in mode 'rb'")
    if is_file(item):
        return _file(item, name)
    if is_array(item):
        return _array(item, name)
    if is_encoded(item) and item["bytes"] is not None:
        path = item["path"]
        return BytesSource(path if isinstance(path, str) and path else name, bytes(item["bytes"]))
    return None


def described(item: object) -> str:
    """An object's type with its article and module: `a torch.device`."""
    kind = type(item)
    module = kind.__module__.partition(".")[0]
    noun = kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


def _is_pil(item: object) -> bool:
    image = sys.modules.get("PIL.Image")
    return image is not None and isinstance(item, image.Image)


def _file(item: Any, name: str) -> Source:
    """An open file, read from where it stands now."""
    called = next((known for known in (_text(item, "filename"), _text(item, "name")) if known), name)
    if inspect.iscoroutinefunction(item.read):  # an upload of Starlette or FastAPI has the file itself beside it
        item = getattr(item, "file", None)
        if not is_file(item):
            raise UsageError(f"{called!r} is read by a coroutine: give what `await file.read()` returns")
    try:
        return LazySource(called, _reader(item), _size(item))
    except (OSError, ValueError) as error:
        reason = f"cannot read {called}: {error}; keep the file open until `submit` returns"
        return FailedSource(called, reason, "unavailable")


def _text(item: Any, attribute: str) -> str:
    """An attribute that is a text, else nothing. Of gzip files `filename` is an old word for `name`."""
    if attribute == "filename" and type(item).__module__ == "gzip":
        return ""
    value = getattr(item, attribute, "")
    return value if isinstance(value, str) else ""


def _reader(file: Any) -> Callable[[], bytes]:
    """Reads an open file from where it stands now, also a second time, unless it is a pipe."""

    def whole() -> bytes:
        data = file.read()
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ImageError("not_an_image", f"read() gave {described(data)}, not bytes: open the file in mode 'rb'")
        return bytes(data)

    seek, tell = getattr(file, "seek", None), getattr(file, "tell", None)
    if not callable(seek) or not callable(tell) or not getattr(file, "seekable", lambda: True)():
        return whole
    start = tell()

    def again() -> bytes:
        seek(start)
        return whole()

    return again


def _size(file: Any) -> int:
    """What an open file may keep in memory, in bytes."""
    return file.getbuffer().nbytes if isinstance(file, io.BytesIO) else USUAL_PICTURE


def _array(item: Any, name: str) -> Source:
    """An array of HxW or HxWxC, or a tensor that has its channels first, as torch's have. C is 1, 3 or 4."""
    shape, kind = tuple(int(side) for side in item.shape), str(item.dtype).rpartition(".")[2]
    what = f"{described(item)} of shape {shape} and type {kind}"
    tensor = hasattr(item, "detach")
    first = len(shape) == 3 and shape[0] in _CHANNELS
    last = len(shape) == 3 and shape[2] in _CHANNELS
    if 0 in shape or not (len(shape) == 2 or last or (first and tensor)):
        way = "transpose it with .transpose(1, 2, 0)" if first else "index it until one picture is left"
        way = "give .tobytes() if it holds an encoded file" if len(shape) == 1 else way
        order = "CxHxW or HxW" if tensor else "HxW or HxWxC"
        raise UsageError(f"{what} is not a picture: expected {order} with 1, 3 or 4 channels C; {way}")
    if not (kind in ("uint8", "bool") or "float" in kind or (kind == "uint16" and len(shape) == 2)):
        way = "convert whole numbers from 0 to 255 to uint8"
        raise UsageError(
            f"{what} is not a picture: expected uint8, float from 0 to 1, or uint16 with one channel; {way}"
        )
    return LazySource(name, lambda: _encoded(item, name, channels_first=first and tensor), 4 * _count(shape))


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _encoded(item: Any, name: str, *, channels_first: bool) -> bytes:
    """The array as a picture file. ImageError when its values are not those of a picture."""
    try:
        import numpy
    except ImportError as error:
        raise UsageError("arrays and tensors as pictures need NumPy: pip install numpy") from error
    from PIL import Image

    try:
        if hasattr(item, "detach"):  # a tensor, on whatever device; NumPy knows no bfloat16
            item = item.detach().cpu()
            item = (item.float() if item.is_floating_point() else item).numpy()
        values = numpy.asarray(item)
    except (TypeError, RuntimeError, ValueError) as error:
        raise ImageError("not_an_image", f"{name} cannot become a NumPy array: {error}") from error
    if channels_first:
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT):  # also where one is not a number
            raise ImageError(
                "not_an_image",
                f"{name} is a float array with values from {low:g} to {high:g}: expected 0 to 1; undo the"
                " normalization, or give uint8",
            )
        values = (values.clip(0, 1) * 255).round().astype("uint8")
    elif values.dtype.kind == "b":
        values = values.astype("uint8") * 255
    return encode_picture(Image.fromarray(numpy.ascontiguousarray(values)))
