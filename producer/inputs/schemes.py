"""Texts that are no paths: addresses, pictures written out in base64, and stores that camq does not read."""

import base64
import binascii
import os
import re
from urllib.parse import unquote_to_bytes

from producer.inputs.source import BytesSource, FailedSource, Source
from producer.inputs.urls.fetch import SCHEMES, picture_at, without_secrets
from shared.pictures import SIGNATURE
from shared.unsupported import HEAD_BYTES, unsupported

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{1,20})://", re.IGNORECASE)
_DATA = "data:"
#: Of a `data:` address as many characters stand in names and messages.
_SHOWN = 32
#: A path can look like base64, but hardly one that decodes to the beginning of a picture.
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_LEAST_BASE64 = 64
_WAYS = {
    "ftp": "fetch it first, as with curl -O, and give the file",
    "gs": "give s3://bucket/key with CAMQ_INPUT_S3_ENDPOINT=storage.googleapis.com and an HMAC key, or fetch it:"
    " gcloud storage cp",
    "az": "fetch it first, as with az storage blob download, or put it behind an S3 gateway",
    "abfs": "fetch it first, as with az storage blob download, or put it behind an S3 gateway",
    "abfss": "fetch it first, as with az storage blob download, or put it behind an S3 gateway",
    "wasbs": "fetch it first, as with az storage blob download, or put it behind an S3 gateway",
    "hdfs": "fetch it first: hdfs dfs -get",
    "file": "give the path alone",
}


def addressed(name: str, *, private: bool = True) -> Source | None:
    """The picture that a text means which is an address and no path; None for anything else, `s3://` too.

    What camq does not read fails alone, with the way to do it. `private` says whether an address may lead to a private
    network.
    """
    if name[: len(_DATA)].lower() == _DATA:
        return _data(name)
    found = _SCHEME.match(name)
    if found is None or found[1].lower() == "s3":
        return None
    if found[0].lower() in SCHEMES:
        return picture_at(name, private=private)
    shown = without_secrets(name)
    way = _WAYS.get(found[1].lower(), "fetch it first, and give the file")
    return FailedSource(shown, f"camq does not read {shown}: {way}", "unsupported")


def written_out(text: str) -> Source | None:
    """The picture whose file a text is in base64, as a cell of a table may have it; None for any other text."""
    if len(text) < _LEAST_BASE64 or not _BASE64.fullmatch(text) or os.path.lexists(text):
        return None
    head = base64.b64decode("".join(text[: 2 * HEAD_BYTES].split())[: HEAD_BYTES // 4 * 4] + "==")
    if not SIGNATURE.match(head) and unsupported(head) is None:
        return None
    return _decoded(f"base64,{text[:_SHOWN]}…", text)


def _data(name: str) -> Source:
    """The bytes of a `data:` address (RFC 2397)."""
    shown = f"{name[:_SHOWN]}…" if len(name) > _SHOWN else name
    head, comma, body = name[len(_DATA) :].partition(",")
    if not comma:
        return FailedSource(
            shown, f"{shown} is not a data: address: a comma is missing before the data", "not_an_image"
        )
    if not head.lower().endswith(";base64"):
        return BytesSource(shown, unquote_to_bytes(body))
    try:
        return _decoded(shown, unquote_to_bytes(body).decode("ascii"))
    except UnicodeDecodeError as error:
        return _broken(shown, error)


def _decoded(shown: str, text: str) -> Source:
    """Base64, with spaces and line ends in it or not, with its end filled up or not."""
    text = "".join(text.split())
    try:
        return BytesSource(shown, base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except binascii.Error as error:
        return _broken(shown, error)


def _broken(shown: str, error: Exception) -> Source:
    return FailedSource(shown, f"the base64 of {shown} is broken: {error}", "not_an_image")
