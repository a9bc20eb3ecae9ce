"""The S3 clients that the settings name: their addresses, and whose credentials they sign with."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import AWSConfigProvider, EnvAWSProvider, IamAwsProvider, Provider

from shared.config import Settings
from shared.errors import CredentialsError, UsageError
from shared.storage.http import trusted_roots

#: The metadata service of a cloud machine is next to it; elsewhere nobody answers at its address.
_METADATA_S = 1.0
_LOCAL = ("127.", "localhost", "[::1]")
#: Each names where a container gets its role's credentials.
_ROLES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


@dataclass(frozen=True, slots=True)
class Account:
    """One server and how to sign for it. `prefix` begins the names of the settings that it came from."""

    endpoint: str
    access_key: str
    secret_key: str
    session_token: str
    region: str
    secure: bool
    addressing: str
    prefix: str = "CAMQ_S3"

    def client(self, pool: urllib3.PoolManager) -> Minio:
        """A client; it connects to nothing yet. UsageError for an endpoint that is not `host:port`."""
        try:
            client = Minio(
                self.endpoint,
                secure=self.secure,
                region=self.region,  # given, so that the client never asks the server for it
                http_client=pool,
                credentials=self._provider(),
            )
        except ValueError as error:
            name = self.prefix
            raise UsageError(
                f"{name}_ENDPOINT must be host:port, no http:// or path (TLS: {name}_SECURE=true): {error}"
            ) from error
        if self.addressing == "virtual":
            client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        elif self.addressing == "path":
            client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        return client

    def _provider(self) -> Provider:
        if self.access_key:
            return _Given(Credentials(self.access_key, self.secret_key, self.session_token or None))
        return Surroundings(os.environ, role=not self.endpoint.startswith(_LOCAL))


def own_account(settings: Settings) -> Account:
    """Where camq's bucket is. Without a key of camq's own, AWS' variable for the region counts as well."""
    region = settings.s3_region
    if not settings.s3_access_key and region == Settings().s3_region:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or region
    return Account(
        settings.s3_endpoint,
        settings.s3_access_key,
        settings.s3_secret_key,
        settings.s3_session_token,
        region,
        settings.s3_secure,
        settings.s3_addressing,
    )


def public_account(settings: Settings) -> Account:
    """The same under the address that signed links have; `https://` before it is TLS, `http://` is none."""
    own, public = own_account(settings), settings.s3_public_endpoint
    if not public:
        return own
    scheme, _, host = public.rpartition("://")
    secure = scheme == "https" if scheme else own.secure
    return replace(own, endpoint=host.rstrip("/"), secure=secure, prefix="CAMQ_S3_PUBLIC")


def input_account(settings: Settings) -> Account | None:
    """Where pictures are read in place, if elsewhere; what is not set is as in camq's own account."""
    given = (settings.input_s3_endpoint, settings.input_s3_access_key, settings.input_s3_region)
    if not any(given):
        return None
    own = own_account(settings)
    other_key = bool(settings.input_s3_access_key)
    return Account(
        settings.input_s3_endpoint or own.endpoint,
        settings.input_s3_access_key if other_key else own.access_key,
        settings.input_s3_secret_key if other_key else own.secret_key,
        settings.input_s3_session_token if other_key else own.session_token,
        settings.input_s3_region or own.region,
        own.secure if settings.input_s3_secure is None else settings.input_s3_secure,
        own.addressing,
        "CAMQ_INPUT_S3",
    )


class _Given(Provider):
    """Those of the settings."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def retrieve(self) -> Credentials:
        return self._credentials


class Surroundings(Provider):
    """AWS' own: its variables, its file, and the role of a container or a machine, renewed before they expire.

    Where there are none at all, requests go out unsigned: public buckets answer them. CredentialsError for those that
    are announced but cannot be had.
    """

    def __init__(self, environ: Mapping[str, str], *, role: bool) -> None:
        self._provider: Provider | None = None
        if environ.get("AWS_ACCESS_KEY_ID"):
            self._provider, self._source = EnvAWSProvider(), "AWS_ACCESS_KEY_ID"
        elif environ.get("AWS_PROFILE") or _credentials_file(environ).is_file():
            self._provider, self._source = AWSConfigProvider(), str(_credentials_file(environ))
        elif named := next((name for name in _ROLES if environ.get(name)), None):
            # Of AWS' service for tokens, or of another one that speaks its language.
            service = environ.get("AWS_ENDPOINT_URL_STS") if named == _ROLES[0] else None
            region = environ.get("AWS_DEFAULT_REGION")
            found = IamAwsProvider(http_client=_pool(10.0), custom_endpoint=service, region=region)
            self._provider, self._source = found, named
        #: Asked once, when the first request is made: nobody announces it.
        self._machine = role and environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true"
        self._one_at_a_time = Lock()

    def retrieve(self) -> Any:
        """Credentials, or None. CredentialsError."""
        with self._one_at_a_time:
            if self._provider is None and self._machine:
                self._ask_machine()
            if self._provider is None:
                return None
            try:
                return self._provider.retrieve()
            except Exception as error:
                raise CredentialsError(f"no S3 credentials from {self._source}: {error}") from error

    def _ask_machine(self) -> None:
        self._machine = False
        found = IamAwsProvider(http_client=_pool(_METADATA_S))
        with suppress(Exception):  # whatever answers there, or does not, is no machine with a role
            found.retrieve()
            self._provider, self._source = found, "the role of this machine"


def _credentials_file(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")


def _pool(timeout_s: float) -> urllib3.PoolManager:
    retries = urllib3.Retry(1, redirect=False, raise_on_status=False)
    return urllib3.PoolManager(timeout=timeout_s, retries=retries, ca_certs=trusted_roots())
