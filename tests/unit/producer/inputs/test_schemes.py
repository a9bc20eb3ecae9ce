"""Addresses that are no paths."""

import base64

import pytest

from producer.inputs.expand import Expansion
from producer.inputs.notes import NOTHING, Row
from producer.inputs.source import Source
from shared.errors import ImageError, UsageError
from shared.storage import MemoryStore
from tests.support.jobs.scripted_worker import picture

LIMIT = 1_000_000
BASE64 = base64.b64encode(picture()).decode()


def expand(given: object) -> list[Source]:
    return list(Expansion(given, store=MemoryStore))


@pytest.mark.parametrize(
    "address",
    [
        f"data:image/png;base64,{BASE64}",
        f"DATA:image/png;charset=x;base64,{BASE64.rstrip('=')}",
        f"data:;base64,{BASE64[:40]}\n{BASE64[40:]}",
        "data:image/png," + "".join(f"%{byte:02x}" for byte in picture()),
    ],
)
def test_a_data_address_is_its_picture(address: str) -> None:
    """On the command line, in a list and in a table; its name is cut."""
    for given in (address, [address], [Row(address, NOTHING)]):
        (source,) = expand(given)
        assert source.read(LIMIT) == picture()
        assert source.name == f"{address[:32]}…"


@pytest.mark.parametrize(
    ("address", "shown", "way"),
    [
        ("ftp://u:p@x.org/a.jpg?token=secret", "ftp://x.org/a.jpg", "curl -O"),
        ("gs://bucket/a.jpg", "gs://bucket/a.jpg", "CAMQ_INPUT_S3_ENDPOINT=storage.googleapis.com"),
        ("az://container/a.jpg", "az://container/a.jpg", "az storage blob download"),
        ("file:///tmp/a.jpg", "file:///tmp/a.jpg", "give the path alone"),
        ("odd+thing://x", "odd+thing://x", "fetch it first"),
    ],
)
def test_a_store_that_camq_does_not_read_fails_alone_with_the_way(address: str, shown: str, way: str) -> None:
    """Alone it is a usage error; what it has of secrets is in neither."""
    for given in ([address, picture()], [Row(address, NOTHING), picture()]):
        failed, good = expand(given)
        with pytest.raises(ImageError) as caught:
            failed.read(LIMIT)
        assert (failed.name, caught.value.code) == (shown, "unsupported")
        assert way in caught.value.message
        assert "secret" not in caught.value.message
        assert good.read(LIMIT) == picture()
    with pytest.raises(UsageError, match="no picture to submit: camq does not read"):
        expand(address)


@pytest.mark.parametrize("address", ["data:image/png;base64", "data:image/png;base64,@@@"])
def test_a_broken_data_address_fails_alone(address: str) -> None:
    """Without its bytes in the message."""
    failed, _ = expand([address, picture()])
    with pytest.raises(ImageError) as caught:
        failed.read(LIMIT)
    assert caught.value.code == "not_an_image"
