"""Addresses that are no paths: pictures written out as `data:`, and stores that camq does not read."""

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes, urlsplit

from producer.inputs.source import BytesSource, FailedSource, Source

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{1,20})://", re.IGNORECASE)
_DATA = "data:"
#: Of a `data:` address as many characters stand in names and messages.
_SHOWN = 32
_FETCH = "fetch it first, as with curl -O, and give the file"
_WAYS = {
    "http": _FETCH,
    "https": _FETCH,
    "ftp": _FETCH,
    "gs": "give s3://bucket/key with CAMQ_INPUT_S3_ENDPOINT=storage.googleapis.com and an HMAC key, or fetch it:"
    " gcloud storage cp",
    "az": "fetch it first, as with az storage blob download, or put it behind an S3 gateway",
    "abfs": "fetch it first, as with az storage blob download, or put it behind an S3 gateway",
    "abfss": "fetch it first, as with az storage blob download, or put it behind an S3 gateway",
    "wasbs": "fetch it first, as with az storage blob download, or put it behind an S3 gateway",
    "hdfs": "fetch it first: hdfs dfs -get",
    "file": "give the path alone",
}


def addressed(name: str) -> Source | None:
    """The picture that a text means which is an address and no path; None for anything else, `s3://` too.

    What camq does not read fails alone, with the way to do it.
    """
    if name[: len(_DATA)].lower() == _DATA:
        return _data(name)
    found = _SCHEME.match(name)
    if found is None or found[1].lower() == "s3":
        return None
    shown = without_secrets(name)
    way = _WAYS.get(found[1].lower(), "fetch it first, and give the file")
    return FailedSource(shown, f"camq does not read {shown}: {way}", "unsupported")


def without_secrets(address: str) -> str:
    """An address as it may be shown: without user, password, query and fragment."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address.partition("?")[0].rpartition("@")[2]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _data(name: str) -> Source:
    """The bytes of a `data:` address (RFC 2397)."""
    shown = f"{name[:_SHOWN]}…" if len(name) > _SHOWN else name
    head, comma, body = name[len(_DATA) :].partition(",")
    if not comma:
        return FailedSource(shown, f"{shown} is no data: address: a comma is missing before the data", "not_an_image")
    if not head.lower().endswith(";base64"):
        return BytesSource(shown, unquote_to_bytes(body))
    try:
        text = "".join(unquote_to_bytes(body).decode("ascii").split())
        return BytesSource(shown, base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, UnicodeDecodeError) as error:
        return FailedSource(shown, f"the base64 of {shown} is broken: {error}", "not_an_image")
