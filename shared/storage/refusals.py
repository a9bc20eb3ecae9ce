"""S3's error codes as camq's errors: one sentence with the code, the bucket, and the setting to change."""

import re
from functools import partial
from typing import Any

from shared.errors import CamqError, CredentialsError, DeniedError, NotFoundError, UnavailableError
from shared.storage.clients import Account
from shared.storage.port import SCHEME

MISSING = frozenset({"NoSuchKey", "NoSuchBucket"})
BUSY = frozenset({"SlowDown", "RequestTimeout"})
#: No space is left, until somebody makes some.
FULL = 507
BUSY_STATUS = frozenset({429, 500, 502, 503, 504, FULL})
#: The bucket is in another region than the request was signed for. A HEAD has no body to say so: `BadRequest`.
_WRONG_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "Redirect", "TemporaryRedirect", "BadRequest"}
    | {"IllegalLocationConstraintException", "InvalidLocationConstraint"}
)
_KEYS = "CAMQ_S3_ACCESS_KEY, CAMQ_S3_SECRET_KEY"
#: Whatever is asked for would be refused: what to look at.
_NOT_KNOWN = {
    "InvalidAccessKeyId": f"check {_KEYS}",
    "SignatureDoesNotMatch": f"check {_KEYS} and this machine's clock",
    "RequestTimeTooSkewed": f"set this machine's clock; {_KEYS} may be right",
    "ExpiredToken": "get new temporary credentials (CAMQ_S3_SESSION_TOKEN with its key pair)",
    "InvalidToken": "check CAMQ_S3_SESSION_TOKEN, which belongs to one key pair",
    "NotSignedUp": f"check the account behind {_KEYS}",
    "AccountProblem": f"the provider has a problem with the account behind {_KEYS}: ask it",
}
#: The bucket or the server refuses this kind of request until its operator changes something.
_OPERATORS = {
    "AccessDenied": f"check {_KEYS} and what they may do",
    "AllAccessDisabled": "the owner of the bucket has closed it",
    "QuotaExceeded": "make room in the bucket, or raise its quota",
    "InvalidBucketName": "check CAMQ_BUCKET",
    "SecondLevelDomainForbidden": "set CAMQ_S3_ADDRESSING=virtual",
    "PathStyleNotAllowed": "set CAMQ_S3_ADDRESSING=virtual",
    "MethodNotAllowed": "the server does not allow this request: check CAMQ_S3_ENDPOINT",
    "NotImplemented": "the server does not have this request: check CAMQ_S3_ENDPOINT",
    "InvalidRequest": "check CAMQ_S3_ENDPOINT, CAMQ_S3_SECURE and the policy of the bucket",
}
_KMS = "check the key that encrypts the bucket, and the right to use it"
_REGION_IN_TEXT = re.compile(r"(?:expecting|use region) '?([a-z0-9-]+)")


def refusal(code: str | None, what: str, *, bucket: str, account: Account, answer: Any = None) -> CamqError:
    """Our error for an answer that means the request for `what` is in vain for now.

    `answer` is the client's error, which may name the region. Outside camq's own bucket a refusal is the object's own
    fate, as far as it is not one of the credentials.
    """
    elsewhere = what.startswith(SCHEME)
    at = account.endpoint
    named = f"{what!r} at {at}" if elsewhere else f"{what!r} in the bucket {bucket!r} at {at}"
    status = getattr(getattr(answer, "response", None), "status", 0)
    if code in MISSING:
        return NotFoundError(f"nothing under {named} ({code})")
    if code == "InvalidObjectState":
        return UnavailableError(f"{named} is in cold storage ({code}): restore it, then retry")
    if code in _WRONG_REGION:
        return _wrong_region(code, named, answer, account.region, elsewhere=elsewhere)
    sentence = partial(_sentence, named, code, answer, account)
    if code in _NOT_KNOWN:
        return CredentialsError(sentence(_NOT_KNOWN[code]))
    kms = (code or "").startswith("KMS.")
    if code in _OPERATORS or kms or status in (401, 403):
        kind = UnavailableError if elsewhere and status not in (401, 403) else DeniedError
        return kind(sentence(_KMS if kms else _OPERATORS.get(code or "", _OPERATORS["AccessDenied"])))
    return UnavailableError(sentence("check CAMQ_S3_ENDPOINT and the bucket's settings"))


def _sentence(named: str, code: str | None, answer: Any, account: Account, way: str) -> str:
    """With the server's own words where it has any beside the code, and the settings of this account."""
    said = " ".join(str(getattr(answer, "message", None) or "").split())[:160]
    told = f": {said}" if said and said.lower() not in ("none", "access denied", "access denied.") else ""
    way = re.sub(r"CAMQ_S3(?=_(?:ENDPOINT|ACCESS|SECRET|SESSION|SECURE))", account.prefix, way)
    return f"S3 storage refuses access to {named} ({code or 'no code'}{told}): {way}"


def _wrong_region(code: str | None, named: str, answer: Any, region: str, *, elsewhere: bool) -> CamqError:
    found = _region(answer)
    ours = f"the region asked for was {region!r}" if elsewhere else f"CAMQ_S3_REGION is {region!r}"
    if elsewhere:
        where = f"is in the region {found!r}" if found else "is in another region"
        way = f"CAMQ_INPUT_S3_REGION={found}" if found else "CAMQ_INPUT_S3_REGION to its region"
        return UnavailableError(f"{named} {where}, and {ours} ({code}): set {way}, and CAMQ_INPUT_S3_ENDPOINT to match")
    if found and found != region:
        return DeniedError(f"{named} is in the region {found!r}, and {ours} ({code}): set CAMQ_S3_REGION={found}")
    return DeniedError(
        f"S3 storage refuses access to {named} ({code}), and {ours}: check CAMQ_S3_REGION, CAMQ_S3_ENDPOINT and"
        " CAMQ_S3_SECURE"
    )


def _region(answer: Any) -> str | None:
    """The region that an answer names, in a header, in its body or in its sentence."""
    response = getattr(answer, "response", None)
    header = getattr(response, "headers", {}).get("x-amz-bucket-region")
    body = getattr(response, "data", b"") or b""
    element = re.search(rb"<Region>([a-z0-9-]{1,40})</Region>", body if isinstance(body, bytes) else b"")
    text = _REGION_IN_TEXT.search(str(getattr(answer, "message", "")))
    found = header or (element[1].decode() if element else None) or (text[1] if text else None)
    return found if found and re.fullmatch(r"[a-z0-9-]{1,40}", found) else None
