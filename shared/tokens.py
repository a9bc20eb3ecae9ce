"""Access tokens of the HTTP API: who may do what, until when. Redis holds their hashes alone."""

import hashlib
import secrets
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Literal, get_args

import msgspec

from shared import keys
from shared.contract import decode, encode, prepare
from shared.errors import MessageError, UsageError
from shared.ledger.scripts import Scripts

#: Each scope includes those before it: `read` looks, `submit` begins jobs, `manage` cancels, retries and deletes.
Scope = Literal["read", "submit", "manage"]
SCOPES: tuple[str, ...] = get_args(Scope)
#: The longest name of a token, in characters.
_LONGEST_NAME = 100
_START = "camq"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `camq token list`. Times are ISO 8601 in UTC."""

    id: str
    name: str | None
    scope: Scope
    created_at: str
    expires_at: str

    def allows(self, scope: Scope) -> bool:
        """Whether this token may do what needs `scope`."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    token: Token
    #: SHA-256 of the secret. It is random and long, so that a fast hash is enough.
    digest: str


prepare(_Stored)


class Tokens:
    """Tokens by id. Redis forgets each one when it expires."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def create(self, scope: Scope, name: str | None, ttl_s: int) -> tuple[Token, str]:
        """A new token, and the text that its holder sends, which is not stored.

        UsageError for an invalid name or time.
        """
        if name is not None and (not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable()):
            raise UsageError(f"invalid name {name[:40]!r}: expected 1 to {_LONGEST_NAME} printable characters")
        if not 1 <= ttl_s <= keys.TOKEN_TTL_S:
            most = keys.TOKEN_TTL_S // keys.DAY
            raise UsageError(f"invalid time {ttl_s} s: expected from 1 second to {most} days")
        client, secret = self._scripts.client, secrets.token_urlsafe(32)
        with self._scripts.translated():
            seconds, micros = client.time()
            now = seconds + micros / 1e6
            token = Token(
                id=secrets.token_hex(4), name=name, scope=scope, created_at=_iso(now), expires_at=_iso(now + ttl_s)
            )
            with client.pipeline() as pipe:
                pipe.set(keys.TOKEN % token.id, encode(_Stored(token=token, digest=_digest(secret))), ex=ttl_s)
                pipe.zadd(keys.TOKENS, {token.id: now})
                pipe.zremrangebyscore(keys.TOKENS, 0, now - keys.TOKEN_TTL_S)
                pipe.expire(keys.TOKENS, keys.TOKEN_TTL_S)
                pipe.execute()
        return token, f"{_START}_{token.id}_{secret}"

    def valid(self) -> list[Token]:
        """Every valid token, oldest first."""
        client = self._scripts.client
        with self._scripts.translated():
            names = client.zrange(keys.TOKENS, 0, -1)
            lines = client.mget([keys.TOKEN % name for name in names]) if names else []
        found = (_readable(line) for line in lines)
        return [stored.token for stored in found if stored is not None]

    def revoke(self, token: str) -> bool:
        """The token of this id is not valid any more; False if it was not."""
        client = self._scripts.client
        with self._scripts.translated(), client.pipeline() as pipe:
            pipe.delete(keys.TOKEN % token)
            pipe.zrem(keys.TOKENS, token)
            return bool(pipe.execute()[0])

    def opened_by(self, text: str) -> Token | None:
        """The token that this text opens, if it is valid."""
        start, _, rest = text.partition("_")
        name, _, secret = rest.partition("_")
        if start != _START or not name.isalnum() or not name.isascii():
            return None
        with self._scripts.translated():
            stored = _readable(self._scripts.client.get(keys.TOKEN % name))
        return stored.token if stored and compare_digest(stored.digest, _digest(secret)) else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _readable(line: str | None) -> _Stored | None:
    """None for a line that camq did not write: it opens nothing."""
    try:
        return None if line is None else decode(line, _Stored)
    except MessageError:
        return None
