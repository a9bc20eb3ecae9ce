"""The benchmark's pictures: real JPEGs, and no two alike."""

import io

from PIL import Image, ImageChops

from bench.pictures import CUTS, SIZE, cuts, fresh


def test_fresh_pictures_differ_in_their_bytes_and_decode_to_their_cut() -> None:
    """Content addressing must store each, and the comment that tells them apart must not touch a pixel."""
    number = CUTS + 5
    pictures = [data for _, data in zip(range(number), fresh(), strict=False)]

    assert len(set(pictures)) == number
    plain = {jpeg[-1000:]: jpeg for jpeg in cuts()}
    for data in pictures[:: CUTS // 4]:
        picture, cut = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(plain[data[-1000:]]))
        assert picture.size == SIZE
        assert ImageChops.difference(picture.convert("RGB"), cut.convert("RGB")).getbbox() is None
