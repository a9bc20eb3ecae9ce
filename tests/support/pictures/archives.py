"""Archives of a test."""

import io
import tarfile
import zipfile
from pathlib import Path


def pack(path: Path, inside: dict[str, bytes]) -> Path:
    """An archive of the kind that its name says."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in inside.items():
                packed.writestr(name, data)
        return path
    kind = {".gz": "gz", ".tgz": "gz", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, f"w:{kind}") as tape:
        for name, data in inside.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tape.addfile(member, io.BytesIO(data))
    return path
