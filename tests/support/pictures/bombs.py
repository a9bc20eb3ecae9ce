"""Small files that cost a decoder far more than they weigh: made here, byte by byte, and never stored."""

import struct
import zlib
from collections.abc import Iterator

#: Just below the default limit of 178 million pixels.
SIDE = 13_340


def png(width: int, height: int, colour: int, depth: int) -> bytes:
    """All zeros, in one of PNG's colour types; a palette is half transparent."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + (width * channels * depth + 7) // 8)
    parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    if colour == 3:
        parts += [_chunk(b"PLTE", bytes(3)), _chunk(b"tRNS", b"\x80")]
    return b"".join([*parts, _chunk(b"IDAT", b"".join(_deflated(row, height))), _chunk(b"IEND", b"")])


def _deflated(row: bytes, rows: int) -> Iterator[bytes]:
    stream = zlib.compressobj(9)
    for _ in range(rows):
        yield stream.compress(row)
    yield stream.flush()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def tiff(width: int, height: int, rows: int = 64) -> bytes:
    """Grey in float32 with one value below zero; all strips are the same few deflated bytes."""
    strip = zlib.compress(struct.pack("<f", -1.0) + bytes(4 * (width * rows - 1)), 9)
    strip += bytes(len(strip) % 2)
    strips = -(-height // rows)
    at = 8 + len(strip)
    short, long = 3, 4
    entries = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, 1, 32),
        (259, short, 1, 8),
        (262, short, 1, 1),
        (273, long, strips, at),
        (277, short, 1, 1),
        (278, long, 1, rows),
        (279, long, strips, at + 4 * strips),
        (339, short, 1, 3),
    ]
    tables = struct.pack(f"<{strips}I", *[8] * strips) + struct.pack(f"<{strips}I", *[len(strip)] * strips)
    directory = b"".join(
        struct.pack("<HHI", tag, kind, count)
        + struct.pack("<HH" if kind == short else "<I", *([value, 0] if kind == short else [value]))
        for tag, kind, count, value in entries
    )
    header = b"II*\0" + struct.pack("<I", at + len(tables))
    return header + strip + tables + struct.pack("<H", len(entries)) + directory + bytes(4)


def jpeg(width: int, height: int, scans: int, components: int = 1) -> bytes:
    """Progressive and black: each refining scan is a few bytes, and every block is walked once more for it."""
    blocks = -(-width // 8) * -(-height // 8)

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack("!BBH", 0xFF, marker, 2 + len(data)) + data

    def table(kind: int, lengths: bytes, symbols: bytes) -> bytes:
        return segment(0xC4, bytes([kind]) + lengths + symbols)

    def start(parts: bytes, first: int, last: int, approximation: int) -> bytes:
        return segment(
            0xDA,
            bytes([len(parts)]) + b"".join(bytes([part, 0]) for part in parts) + bytes([first, last, approximation]),
        )

    names = bytes(range(1, components + 1))
    frame = struct.pack("!BHHB", 8, height, width, components) + b"".join(bytes([name, 0x11, 0]) for name in names)
    # One code for "no difference"; two for runs of empty blocks: 2^14 and more, or one.
    tables = table(0x00, bytes([1, *[0] * 15]), b"\0") + table(0x10, bytes([1, 1, *[0] * 14]), b"\xe0\0")
    whole, rest = divmod(blocks, 32767)
    bits = "0" + "1" * 14
    bits = bits * whole + ("0" + format(rest - 16384, "014b") if rest >= 16384 else "10" * rest)
    scan = b"".join(bytes([byte]) + bytes(byte == 0xFF) for byte in _packed(bits))
    first = start(names, 0, 0, 0) + b"".join(bytes([byte]) for byte in _packed("0" * (blocks * components)))
    refining = b"".join(
        start(names[number % components : number % components + 1], 1, 63, 0x10 if number >= components else 0) + scan
        for number in range(scans)
    )
    return (
        b"\xff\xd8"
        + segment(0xDB, bytes([0] + [1] * 64))
        + segment(0xC2, frame)
        + tables
        + first
        + refining
        + b"\xff\xd9"
    )


def _packed(bits: str) -> bytes:
    """Eight bits a byte, filled up with ones, as JPEG asks."""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)
