"""Checkpoint files → their index. What a file is, its bytes decide, not its name."""

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import msgspec

from shared.errors import ModelError
from worker.core.checkpoint.contents import View, build, index
from worker.core.checkpoint.index import WIDTHS, Index, Place
from worker.core.checkpoint.pickles import load

#: The list of tensors, without their numbers.
MOST_INDEX_BYTES = 10_000_000
#: A sharded checkpoint of a network that a device can hold has a few.
_MOST_SHARDS = 200
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LOCAL_HEADER_BYTES = 30
_SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
#: How files begin that people take for a checkpoint, and what they are.
_OTHERS = (
    (b"\x1f\x8b", "it is compressed by gzip: unpack it with gunzip"),
    (b"BZh", "it is compressed by bzip2: unpack it"),
    (b"\xfd7zXZ", "it is compressed by xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: unpack it"),
    (b"\x89HDF", "it is HDF5, as Keras writes it; camq explains PyTorch's networks"),
    (b"\x08", "it may be ONNX; camq takes the state dict that it was exported from"),
    (b"version ", "it is Git LFS's pointer to the file: fetch that with git lfs pull"),
    (b"<", "it is a web page and not the file: the download wants a login or another address"),
)
#: What a folder's weights are called, in the order in which they are looked for.
_IN_FOLDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def weights_in(folder: Path) -> Path:
    """The weights of a Hugging Face or timm folder. Raises ModelError where there are none."""
    for name in _IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    if (folder / ".metadata").is_file():
        raise ModelError(
            f"the folder {folder} is a distributed checkpoint: torch.distributed.checkpoint.format_utils."
            f'dcp_to_torch_save("{folder.name}", "state.pth") makes one file of it'
        )
    raise ModelError(f"the folder {folder} holds no weights: expected {' or '.join(_IN_FOLDER)} in it")


def read_index(path: Path) -> Index:
    """What is in a file of torch's (old or new), of safetensors, or in an index of several of them.

    Runs nothing of the file's; for a file of strangers it belongs into a process with a limit on its memory all the
    same. Raises ModelError with the reason, and with the line that converts TorchScript, an exported program or a
    whole module.
    """
    try:
        if path.is_dir():
            path = weights_in(path)
        with path.open("rb") as file:
            return _read(path, file)
    except FileNotFoundError:
        raise ModelError(f"there is no weights file {path}") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except ModelError as error:
        raise error if str(path) in str(error) else ModelError(f"{path} cannot be read as weights: {error}") from None


def _read(path: Path, file: BinaryIO) -> Index:
    head = file.read(9)
    size = path.stat().st_size
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        found = _zip(path, file)
    elif head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        found = _safetensors(file, size)
    elif head.lstrip()[:1] == b"{":
        return _shards(path)
    elif head[:1] == b"\x80":
        file.seek(0)
        found = _legacy(path, file, size)
    else:
        known = next((what for begin, what in _OTHERS if head.startswith(begin)), "")
        neither = "it is neither a file of torch.save nor of safetensors"
        raise ModelError((known or neither) if head else "the file is empty")
    if found.module and not found.tensors:
        raise ModelError(
            f"{path} is a whole module ({found.module}), and camq does not run code. Where its code is, save its state "
            f'dict: torch.save(torch.load("{path.name}", weights_only=False).state_dict(), "state.pth")'
        )
    return found


def _zip(path: Path, file: BinaryIO) -> Index:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            names = [name for name in entries if name.endswith("data.pkl") and name.count("/") <= 1]
            _refuse_programs(path, entries)
            if not names:
                held = ", ".join(list(entries)[:3]) or "nothing"
                raise ModelError(f"it is a zip archive, but not one that torch.save writes: it holds {held}")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
                raise ModelError("it has compressed entries: save it again with torch.save, which writes none")
            if entries[names[0]].file_size > MOST_INDEX_BYTES:
                raise ModelError(
                    "it lists too many tensors, or has arrays of NumPy in their place: save model.state_dict()"
                )
            folder = names[0].removesuffix("data.pkl")
            order = f"{folder}byteorder"
            if order in entries and archive.read(order) != b"little":
                raise ModelError("its numbers are in big-endian order: save it again on this kind of machine")
            value = load(BytesIO(archive.read(names[0])), build)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ModelError(f"its archive is damaged or incomplete ({error})") from error

    def find(view: View) -> tuple[int, int]:
        entry = entries.get(f"{folder}data/{view.storage[0]}")
        if entry is None:
            raise ModelError("its storage is not in the file")
        # The local header repeats name and extra field, with lengths of its own.
        file.seek(entry.header_offset)
        header = file.read(_LOCAL_HEADER_BYTES)
        if header[:4] != b"PK\x03\x04":
            raise ModelError("its storage is not in the file")
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return entry.header_offset + _LOCAL_HEADER_BYTES + lengths, entry.file_size

    return _within(index("torch", value, find), path)


def _refuse_programs(path: Path, entries: dict[str, zipfile.ZipInfo]) -> None:
    """ModelError, with the line that converts it, for a program in torch's own formats."""
    parts = {name.partition("/")[2] or name for name in entries}
    if any(name == "constants.pkl" or name.startswith("code/") for name in parts):
        kind, expression = "a TorchScript program", f'torch.jit.load("{path.name}").state_dict()'
    elif any("serialized_exported_program" in name or name.startswith("models/") for name in parts):
        kind, expression = "a program of torch.export", f'torch.export.load("{path.name}").state_dict'
    else:
        return
    raise ModelError(f'{path} is {kind}; camq takes a state dict: torch.save({expression}, "state.pth")')


def _legacy(path: Path, file: BinaryIO, size: int) -> Index:
    """What torch.save wrote before 1.6, and torchvision still publishes: five pickles, then the storages."""
    first = load(file, build)
    if first != _LEGACY_MAGIC:
        raise ModelError(
            "it is a pickle of something else than torch.save writes; save the state dict: "
            "torch.save(model.state_dict(), path)"
        )
    load(file, build)
    system = load(file, build)
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise ModelError("its numbers are in big-endian order: save it again on this kind of machine")
    value, keys = load(file, build), load(file, build)
    # The element size of each storage stands with the tensors that view it.
    dtypes: dict[str, str] = {}
    found = index("legacy", value, _collect(dtypes))
    if found.module and not dtypes:
        return found
    places: dict[str, tuple[int, int]] = {}
    start = file.tell()
    for key in keys if isinstance(keys, list) else []:
        file.seek(start)
        count = int.from_bytes(file.read(8), "little")
        bytes_ = count * WIDTHS.get(dtypes.get(str(key), ""), 1)
        places[str(key)] = (start + 8, bytes_)
        start += 8 + bytes_
        if start > size:
            raise ModelError("it is incomplete: the file ends before its tensors do")

    def find(view: View) -> tuple[int, int]:
        if view.storage[0] not in places:
            raise ModelError("its storage is not in the file")
        return places[view.storage[0]]

    return _within(index("legacy", value, find), path)


def _collect(dtypes: dict[str, str]) -> Callable[[View], tuple[int, int]]:
    def find(view: View) -> tuple[int, int]:
        dtypes[view.storage[0]] = view.storage[1]
        raise ModelError("not yet known")

    return find


def _safetensors(file: BinaryIO, size: int) -> Index:
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > MOST_INDEX_BYTES:
        raise ModelError("it lists more tensors than a network has")
    try:
        header = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in header.items() if name[:2] != "__"}
    except msgspec.MsgspecError as error:
        raise ModelError(f"its header is malformed ({error})") from error
    tensors, refused = {}, {}
    for name, entry in entries.items():
        dtype = _SAFETENSORS.get(entry.dtype, "")
        begin, end = entry.data_offsets
        place = Place(dtype, entry.shape, _contiguous(entry.shape), 0, 8 + length + begin, end - begin)
        if not dtype:
            refused[name] = f"it is of a kind that a network cannot compute with ({entry.dtype})"
        elif begin < 0 or min(entry.shape, default=0) < 0 or place.count * WIDTHS[dtype] != place.size:
            raise ModelError(f"{name} of shape {entry.shape} is not stored in full")
        elif place.start + place.size > size:
            raise ModelError("it is incomplete: the file ends before its tensors do")
        else:
            tensors[name] = place
    return Index(kind="safetensors", tensors=tensors, refused=refused)


class _Entry(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for side in reversed(shape[1:]):
        strides.append(strides[-1] * max(side, 1))
    return tuple(reversed(strides[: len(shape)]))


def _shards(path: Path) -> Index:
    """`model.safetensors.index.json`: which tensor lies in which file beside it."""
    try:
        if path.stat().st_size > MOST_INDEX_BYTES:
            raise ModelError("it lists more tensors than a network has")
        listed = msgspec.json.decode(path.read_bytes(), type=_WeightMap).weight_map
    except msgspec.MsgspecError:
        raise ModelError("it is JSON, but not the index of a checkpoint in several files") from None
    files = tuple(dict.fromkeys(listed.values()))
    if len(files) > _MOST_SHARDS or any(Path(name).name != name for name in files):
        raise ModelError(
            f"its index names {len(files)} files: at most {_MOST_SHARDS} are allowed, all in its own folder"
        )
    tensors: dict[str, Place] = {}
    for number, name in enumerate(files):
        shard = path.with_name(name)
        with shard.open("rb") as file:
            if file.read(1) == b"{":
                raise ModelError(f"{name} is itself an index")
        found = read_index(shard).tensors
        tensors |= {
            key: msgspec.structs.replace(found[key], file=number)
            for key, where in listed.items()
            if where == name and key in found
        }
    if missing := next((key for key in listed if key not in tensors), None):
        raise ModelError(f"{missing} is not in {listed[missing]}, where the index says it is")
    return Index(kind="safetensors", tensors=tensors, files=files)


class _WeightMap(msgspec.Struct):
    weight_map: dict[str, str]


def _within(found: Index, path: Path) -> Index:
    """The same, if every tensor lies in the file."""
    size = path.stat().st_size
    if any(place.start + place.size > size for place in found.tensors.values()):
        raise ModelError("it is incomplete: the file ends before its tensors do")
    return found
