"""AWS Signature Version 4 for requests on one object.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
import time
from collections.abc import MutableMapping

#: What stands for the hash of a body that TLS protects.
UNSIGNED = "UNSIGNED-PAYLOAD"


class Signer:
    """Signs for one user in one region. A day's key is derived once; it would be a third of the work."""

    def __init__(self, access_key: str, secret_key: str, region: str) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region
        self._key = "", b""

    def __call__(self, method: str, path: str, headers: MutableMapping[str, str]) -> None:
        """Adds the date and the signature to `headers`, whose names are in lower case and hold the body's hash.

        `path` is quoted and without a query. Nothing is added for a user without a name.
        """
        if not self._access_key:
            return
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers["x-amz-date"] = now
        names = sorted(headers)
        signed = ";".join(names)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        request = f"{method}\n{path}\n\n{lines}\n{signed}\n{headers['x-amz-content-sha256']}"
        scope = f"{now[:8]}/{self._region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = _hmac(self._day_key(now[:8]), text).hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )

    def _day_key(self, day: str) -> bytes:
        known, key = self._key
        if known != day:
            key = f"AWS4{self._secret_key}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = _hmac(key, part)
            self._key = day, key
        return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
