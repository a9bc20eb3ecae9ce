"""Archives as folders: which members are images, what is refused, and that damage is found before an upload."""

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from producer.inputs.archives import archive
from producer.inputs.expand import Expansion
from producer.inputs.source import Source
from shared.errors import ImageError, UsageError
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import picture
from tests.support.pictures.archives import pack

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

    assert caught.value.code == "damaged"
    assert good.read(LIMIT) == picture()


def test_an_archive_with_too_many_pictures_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of its members is held in memory."""
    monkeypatch.setattr(archive, "MOST_MEMBERS", 1)

    with pytest.raises(UsageError, match="3 pictures"):
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
    with pytest.raises(UsageError, match="no picture to submit"):
        expand(empty)


def test_archives_inside_a_folder_are_left_alone_unless_a_pattern_spells_them_out(tmp_path: Path) -> None:
    """A folder stands for its pictures."""
    (tmp_path / "a.png").write_bytes(picture())
    pack(tmp_path / "photos.zip", INSIDE)

    assert len(expand(tmp_path)) == 1
    assert len(expand(f"{tmp_path}/*.zip")) == 2


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_an_archive_inside_an_archive_is_opened(inner: str, outer: str, tmp_path: Path) -> None:
    """Twice; deeper ones are left out, with the way. What is only called an archive is left out too."""
    once = pack(tmp_path / inner, {"a.png": picture(), "b.zip": b"text"}).read_bytes()
    twice = pack(tmp_path / "in.tar", {"x.tgz": pack(tmp_path / "x.tgz", {"c.png": picture()}).read_bytes()})
    deep = pack(tmp_path / "deep.zip", {"in.tar": twice.read_bytes(), "d.png": picture()}).read_bytes()
    path = pack(tmp_path / f"out-{outer}", {inner: once, "deep.zip": deep, "e.png": picture()})
    expansion = Expansion([path], store=MemoryStore)
    sources = list(expansion)

    assert [source.name for source in sources] == [
        f"{path}/{name}" for name in (f"{inner}/a.png", "deep.zip/d.png", "e.png")
    ]
    assert [source.read(LIMIT) for source in sources] == [picture()] * 3
    assert [source.held for source in sources[:2]] == [len(picture())] * 2  # its archive is in memory
    assert expansion.left_out.counts == {".zip": 1, ".tgz": 1}


@pytest.mark.parametrize("outer", KINDS)
def test_a_broken_archive_inside_an_archive_fails_alone(outer: str, tmp_path: Path) -> None:
    """Its neighbours go on."""
    inner = pack(tmp_path / "in.zip", {"a.png": picture(), "b.png": picture()}).read_bytes()
    path = pack(tmp_path / outer, {"in.zip": inner[: len(inner) // 2], "c.png": picture()})
    broken, good = expand(path)

    assert broken.name == f"{path}/in.zip"
    with pytest.raises(ImageError, match=r"cannot read the archive .*in\.zip"):
        broken.read(LIMIT)
    assert good.read(LIMIT) == picture()


def zipped_as(path: Path, raw: bytes, extra: bytes = b"") -> Path:
    """A zip whose one member has these bytes as its name, and no flag that says how they are encoded."""
    stand_in = "x" * len(raw)
    info = zipfile.ZipInfo(stand_in)
    info.extra = extra
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(info, picture())
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), raw))
    return path


@pytest.mark.parametrize("name", ["caf\xe9.png", "\u732b.png", "\u043a\u043e\u0442/\xe4.png"])
def test_names_in_a_zip_are_what_their_writer_meant(name: str, tmp_path: Path) -> None:
    """UTF-8 with its flag, UTF-8 without (macOS, old tools), and Info-ZIP's field beside a name in another encoding."""
    raw, text = b"c\x82t.png", name.encode()
    field = struct.pack("<HHBL", 0x7075, 5 + len(text), 1, zlib.crc32(raw)) + text
    stale = struct.pack("<HHBL", 0x7075, 6, 1, 0) + b"x"  # of another name: the archive was renamed by an older tool

    for path, expected in (
        (pack(tmp_path / "flagged.zip", {name: picture()}), name),
        (zipped_as(tmp_path / "bare.zip", text), name),
        (zipped_as(tmp_path / "beside.zip", raw, field), name),
        (zipped_as(tmp_path / "stale.zip", raw, stale), "c\xe9t.png"),
        (zipped_as(tmp_path / "dos.zip", raw), "c\xe9t.png"),  # code page 437, as the format says
    ):
        assert [source.name for source in expand(path)] == [f"{path}/{expected}"]
