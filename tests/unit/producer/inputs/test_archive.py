"""Archives as folders: which members are images, what is refused, and that damage is found before an upload."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from producer.inputs import archive
from producer.inputs.expand import Expansion
from producer.inputs.source import Source
from shared.errors import ImageError, UsageError
from shared.storage import MemoryStore
from tests.scripted_worker import picture

LIMIT = 1_000_000
INSIDE = {
    "b.png": picture(colour=(1, 2, 3)),
    "sub/a.JPG": picture(colour=(4, 5, 6)),
    "notes.txt": b"text",
    ".hidden.png": picture(),
    "__MACOSX/._b.png": picture(),
    "nested.zip": b"not opened",
}
WANTED = ["b.png", "sub/a.JPG"]
KINDS = ("photos.zip", "photos.tar", "photos.tar.gz", "photos.tgz", "photos.tar.xz", "PHOTOS.ZIP")


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


def expand(*given: object) -> list[Source]:
    return list(Expansion(given, store=MemoryStore))


@pytest.mark.parametrize("name", KINDS)
def test_the_pictures_of_an_archive_are_images_in_its_order(name: str, tmp_path: Path) -> None:
    """Named archive/inner/name; hidden files, other files and archives inside are left out."""
    packed = pack(tmp_path / name, INSIDE)

    sources = expand(packed)

    assert [source.name for source in sources] == [f"{packed}/{inner}" for inner in WANTED]
    assert [source.read(LIMIT) for source in sources] == [INSIDE[inner] for inner in WANTED]


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar"])
def test_members_may_be_read_in_any_order(name: str, tmp_path: Path) -> None:
    """Uploads run in many threads."""
    sources = expand(pack(tmp_path / name, INSIDE))

    assert [source.read(LIMIT) for source in reversed(sources)] == [INSIDE[inner] for inner in reversed(WANTED)]


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar", "photos.tar.gz"])
@pytest.mark.parametrize("kept", [0, 0.1, 0.44, 0.47])
def test_a_broken_archive_is_a_usage_error_that_names_it(name: str, kept: float, tmp_path: Path) -> None:
    """Cut off or empty: it is found before the first upload."""
    packed = pack(tmp_path / name, {f"{n}.png": picture(size=(90, 70 + n)) * 4 for n in range(9)})
    whole = packed.read_bytes()
    packed.write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises(UsageError, match=name):
        expand(packed, pack(tmp_path / "good.zip", INSIDE))


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar", "photos.tar.gz"])
def test_a_member_above_the_limit_fails_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the size that the archive announces: nothing is unpacked."""
    monkeypatch.setattr(archive, "MOST_STREAMED_BYTES", 1000)
    large, small = expand(pack(tmp_path / name, {"large.png": bytes(1001), "small.png": picture()}))

    with pytest.raises(ImageError) as caught:
        large.read(1000)

    assert caught.value.code == "too_large"
    assert small.read(1000) == picture()


@pytest.mark.parametrize("name", KINDS)
def test_only_a_compressed_tar_holds_its_pictures_in_memory(name: str, tmp_path: Path) -> None:
    """What can be read again where it lies is not kept."""
    held = [source.held for source in expand(pack(tmp_path / name, INSIDE))]

    streamed = name.endswith((".gz", ".tgz", ".xz"))
    assert held == [len(INSIDE[inner]) if streamed else 0 for inner in WANTED]


def test_what_is_too_large_is_not_unpacked() -> None:
    """A small archive may hold a huge file."""

    def unpack() -> bytes:
        raise AssertionError("it was unpacked")

    with pytest.raises(ImageError, match="larger than 1000 bytes"):
        archive.MemberSource("bomb.zip/a.png", 1001, unpack).read(1000)


def test_a_member_whose_bytes_are_damaged_fails_alone(tmp_path: Path) -> None:
    """The checksum of a zip says so."""
    packed = pack(tmp_path / "photos.zip", {"a.png": picture((50, 50)), "b.png": picture()})
    raw = bytearray(packed.read_bytes())
    raw[45:60] = bytes(15)
    packed.write_bytes(raw)
    damaged, good = expand(packed)

    with pytest.raises(ImageError) as caught:
        damaged.read(LIMIT)

    assert caught.value.code == "truncated"
    assert good.read(LIMIT) == picture()


def test_an_archive_with_too_many_pictures_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of its members is held in memory."""
    monkeypatch.setattr(archive, "MOST_MEMBERS", 1)

    with pytest.raises(UsageError, match="2 pictures"):
        expand(pack(tmp_path / "photos.tar", INSIDE))


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    """Nobody could type it while pictures are uploaded."""
    packed = pack(tmp_path / "photos.zip", {"a.png": picture()})
    raw = bytearray(packed.read_bytes())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    packed.write_bytes(raw)

    with pytest.raises(UsageError, match="is encrypted"):
        expand(packed)


def test_an_archive_without_pictures_is_like_an_empty_folder(tmp_path: Path) -> None:
    """A notice beside others, an error alone."""
    empty = pack(tmp_path / "empty.zip", {"notes.txt": b""})
    heard: list[str] = []

    assert len(list(Expansion([empty, picture()], store=MemoryStore, notice=heard.append))) == 1
    assert heard == [f"no picture matches {str(empty)!r}"]
    with pytest.raises(UsageError, match="no path matches anything"):
        expand(empty)


def test_archives_inside_a_folder_are_left_alone_unless_a_pattern_spells_them_out(tmp_path: Path) -> None:
    """A folder stands for its pictures."""
    (tmp_path / "a.png").write_bytes(picture())
    pack(tmp_path / "photos.zip", INSIDE)

    assert len(expand(tmp_path)) == 1
    assert len(expand(f"{tmp_path}/*.zip")) == 2


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
        list(archive.members(str(path)))
