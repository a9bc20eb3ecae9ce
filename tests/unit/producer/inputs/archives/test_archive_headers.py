"""Headers of .tar archives that would cost far more memory than their file has bytes: refused, with the reason."""

import gzip
import tarfile
from pathlib import Path

import pytest

from producer.inputs.archives import archive
from producer.inputs.left_out import LeftOut
from shared.errors import UsageError


def extended(size: int, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header of this size, in blocks."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * (size + -size % tarfile.BLOCKSIZE)


@pytest.mark.parametrize(
    "headers",
    [
        extended(archive.MOST_HEADER_BYTES + 1),
        extended(archive.MOST_HEADER_BYTES + 1, tarfile.XGLTYPE),
        extended(archive.MOST_HEADER_BYTES + 1, tarfile.GNUTYPE_LONGNAME),
        extended(512) * 2_000,
    ],
    ids=["pax", "global", "long-name", "chain"],
)
def test_headers_that_unpack_to_far_more_than_their_file_are_refused(headers: bytes, tmp_path: Path) -> None:
    """The library would hold them in memory, a thousand times the file's own bytes."""
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(headers + tarfile.TarInfo("a.png").tobuf(tarfile.USTAR_FORMAT) + b"\0" * 1024)

    with pytest.raises(UsageError, match="cannot read the archive"):
        list(archive.members(str(path), LeftOut()))


def test_what_holds_for_a_whole_archive_has_a_limit_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each such header is small enough; the library keeps what all of them say."""
    monkeypatch.setattr(archive, "MOST_GLOBAL_HEADERS", 1_000)
    tape = b""
    for number in range(20):
        info = tarfile.TarInfo(f"{number}.png")
        tape += tarfile.TarInfo.create_pax_global_header({f"key{number}": "v" * 100}) + info.tobuf(tarfile.USTAR_FORMAT)
    (tmp_path / "global.tar").write_bytes(tape + b"\0" * 1024)

    with pytest.raises(UsageError, match="its headers are too large"):
        list(archive.members(str(tmp_path / "global.tar"), LeftOut()))


def sparse(**pax: str) -> bytes:
    """A member that says of itself that it is a sparse file, by these records or else as GNU's own kind."""
    info = tarfile.TarInfo("hole.png")
    if not pax:
        info.type = tarfile.GNUTYPE_SPARSE
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        header[482] = 1  # more of the list follows: a block of it for each 21 pieces, without end
        header[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header[:148]) + b" " * 8 + bytes(header[156:]))[0]
        return bytes(header) + (b"1" * 504 + b"\1" + b"\0" * 7) * 1_000
    info.pax_headers = {f"GNU.sparse.{name}": value for name, value in pax.items()}
    info.size = 1 << 20
    return info.tobuf(tarfile.PAX_FORMAT) + b"9" * info.size


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize(
    "member",
    [
        sparse(),
        sparse(major="1", minor="0", name="hole.png", realsize="10"),
        sparse(map="0,1", size="10", numblocks="1", name="hole.png"),
    ],
    ids=["gnu", "pax-1.0", "pax-0.1"],
)
def test_an_archive_with_sparse_files_is_refused_with_the_remedy(member: bytes, kind: str, tmp_path: Path) -> None:
    """The library reads the whole list of a file's pieces at once; a picture that is left out is missed by nobody."""
    path = tmp_path / f"sparse.{kind}"
    path.write_bytes(gzip.compress(member + b"\0" * 1024) if kind == "tar.gz" else member + b"\0" * 1024)

    with pytest.raises(UsageError, match=r"hole\.png in it is stored as a sparse file: write .* --sparse"):
        list(archive.members(str(path), LeftOut()))
