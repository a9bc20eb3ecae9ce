"""The ledger's Lua scripts: read from their files, run atomically by Redis, errors translated."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from shared import keys
from shared.config import Settings, redis_address
from shared.errors import UnreachableError, UsageError
from shared.redis_url import check, sentinels

#: It answers, and refuses until somebody makes room (memory, disk) or the failover is over (a replica that is not the
#: master yet, a master without its replicas). redis-py knows some by their class and leaves others to their first
#: word, which stands after a minus or a colon when a script or a pipeline passes the error on.
_REFUSALS = (redis.exceptions.OutOfMemoryError, redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)
_REFUSES = re.compile(r"(^|-|: )(OOM|MISCONF|NOREPLICAS|MASTERDOWN|READONLY|LOADING) ")


def _text(name: str) -> str:
    return (files("shared.ledger") / "lua" / f"{name}.lua").read_text("utf-8")


#: Lua that sets `NOW` from Redis' own clock. Tests with a simulated clock give another text to `Scripts`.
CLOCK = _text("_clock")


def connect(settings: Settings, tries: int = 2, timeout_s: float = 5) -> redis.Redis:
    """A client that never hangs: every call ends within seconds, and a blip is tried again.

    A connection that is silent from the start costs `tries` times `tries` timeouts: redis-py repeats the
    connecting inside the repeated command.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, 3),
        "health_check_interval": 10,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), tries - 1),
        "client_name": "camq",
        "decode_responses": True,
        # Bytes that are not UTF-8 are not ours, and must not hide what is.
        "encoding_errors": "backslashreplace",
    }
    check(settings.redis_url)
    if not settings.redis_url.startswith("unix:"):  # a socket of this machine has no keepalive, and refuses to be asked
        options["socket_keepalive"] = True
    try:
        if found := sentinels(settings.redis_url):
            watch: Any = redis.Sentinel(found.hosts, sentinel_kwargs=options | found.login)  # type: ignore[no-untyped-call]
            login = {"username": found.username, "password": found.password}
            client: redis.Redis = watch.master_for(found.master, db=found.database, **login, **options)
            return client
        return redis.Redis.from_url(settings.redis_url, **options)
    except ValueError:
        # The library's reason may quote a piece of the password, so it is not passed on.
        raise UsageError(
            "CAMQ_REDIS_URL is not a Redis address (redis://[:password@]host:port/db); in a password write # as %23, "
            "/ as %2F, ? as %3F, @ as %40"
        ) from None


def _setting_at_fault(error: redis.ResponseError) -> str | None:
    """What Redis refuses because of CAMQ_REDIS_URL, and what to change; None for any other fault."""
    said = " ".join(str(error).split())[:200]
    if isinstance(error, redis.exceptions.NoPermissionError) or "NOPERM" in said or "ACL failure" in said:
        return (
            f"does not permit this to the user of CAMQ_REDIS_URL ({said}): give it ~* &* (camq's keys and channels, and"
            " Celery's, in a Redis of their own) and +@all -@dangerous +info"
        )
    if "DB index is out of range" in said or "SELECT is not allowed" in said:
        return f"does not have the database of CAMQ_REDIS_URL ({said}): name another, as in redis://host:6379/0"
    return None


#: Writes and reads as the ledger's scripts do.
_RIGHTS = """
redis.call('HSET', KEYS[1], 'a', '1') redis.call('EXPIRE', KEYS[1], 5) redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1]) redis.call('ZRANGE', KEYS[1], 0, -1) redis.call('TIME')
"""


class Scripts:
    """Runs scripts by name: `scripts("claim", job, chunk, 1)` runs lua/claim.lua with these ARGV."""

    def __init__(self, client: redis.Redis, address: str, clock: str = CLOCK) -> None:
        # redis-py's types do not know that `decode_responses` makes every answer a str.
        self.client: Any = client
        self._address = address
        self._clock = clock
        self._scripts: dict[str, Callable[..., Any]] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> "Scripts":
        """Scripts on the Redis of the settings; connects at the first call."""
        return cls(connect(settings), redis_address(settings))

    def __call__(self, name: str, *arguments: str | int | float) -> Any:
        """The script's answer. Raises UnreachableError when Redis does not answer or is still loading."""
        if name not in self._scripts:
            self._scripts[name] = self.client.register_script(source(name, self._clock))
        with self.translated():
            return self._scripts[name](args=list(arguments))

    def hash_at(self, key: str) -> dict[str, str]:
        """A hash's fields; none where camq did not write what is there."""
        with self.translated(), self.client.pipeline(transaction=False) as pipe:
            pipe.hgetall(key)
            return executed(pipe)[0] or {}

    def try_rights(self) -> None:
        """Use every kind of right that camq needs, on keys of its own and of Celery's, and leave nothing behind.

        UsageError names one that the user of CAMQ_REDIS_URL lacks.
        """
        with self.translated():
            self.client.eval(_RIGHTS, 1, keys.PROBE)
            self.client.publish(keys.EVENTS % "rights", "")
            self.client.exists("_kombu.binding.camq")
            self.client.publish("celery-task-meta-camq", "")
            self.client.llen("celery-task-meta-camq")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns a lost connection, and a refusal that passes, into UnreachableError naming the address.

        Other errors pass through.
        """
        try:
            yield
        except redis.AuthenticationError:
            raise UsageError(f"Redis at {self._address} refused the password; set CAMQ_REDIS_URL") from None
        except redis.sentinel.MasterNotFoundError as error:
            refused = any(word in str(error) for word in ("Authentication", "WRONGPASS", "NOAUTH", "username-password"))
            way = "they refuse the login: set sentinel_password=" if refused else "check master="
            text = f"the Sentinels at {self._address} name no master; {way} in CAMQ_REDIS_URL"
            raise UnreachableError(text) from None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            # The client's own trace is sixty lines of retries that say no more.
            raise UnreachableError(f"Redis at {self._address} does not answer ({type(error).__name__})") from None
        except redis.exceptions.InvalidResponse:
            raise UnreachableError(f"the server at {self._address} is not Redis; check CAMQ_REDIS_URL") from None
        except redis.ResponseError as error:
            # It answers, and refuses every write until it has room, or is a master that has its data, again.
            if isinstance(error, _REFUSALS) or _REFUSES.search(str(error)):
                raise UnreachableError(f"Redis at {self._address} takes no writes ({error})") from None
            if fault := _setting_at_fault(error):
                raise UsageError(f"Redis at {self._address} {fault}") from None
            raise


@cache
def source(name: str, clock: str = CLOCK) -> str:
    """A script's full text: key templates, clock, common part, its own part."""
    return keys.lua_constants() + clock + _text("_common") + _text(name)


def executed(pipe: Any) -> list[Any]:
    """A pipeline's answers; None where a key holds another type of value, which camq did not write there."""
    answers: list[Any] = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and "WRONGTYPE" not in str(answer):
            raise answer
    return [None if isinstance(answer, Exception) else answer for answer in answers]


class LedgerSide:
    """What every side of the ledger is made of: the settings, and the scripts on the Redis that they name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scripts = Scripts.from_settings(settings)
