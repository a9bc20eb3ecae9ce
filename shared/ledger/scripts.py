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
from shared.redis_url import sentinels

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
    if not settings.redis_url.startswith("unix:"):  # a socket of this machine has no keepalive, and refuses to be asked
        options["socket_keepalive"] = True
    try:
        if found := sentinels(settings.redis_url):
            watch: Any = redis.Sentinel(found.hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
            client: redis.Redis = watch.master_for(found.master, db=found.database, password=found.password, **options)
            return client
        return redis.Redis.from_url(settings.redis_url, **options)
    except ValueError:
        # The library's reason may quote a piece of the password, so it is not passed on.
        raise UsageError(
            "CAMQ_REDIS_URL is not a Redis address (redis://[:password@]host:port/db); in a password write # as %23, "
            "/ as %2F, ? as %3F, @ as %40"
        ) from None


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

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns a lost connection, and a refusal that passes, into UnreachableError naming the address.

        Other errors pass through.
        """
        try:
            yield
        except redis.AuthenticationError:
            raise UsageError(f"Redis at {self._address} refused the password; set CAMQ_REDIS_URL") from None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            # The client's own trace is sixty lines of retries that say no more.
            raise UnreachableError(f"Redis at {self._address} does not answer ({type(error).__name__})") from None
        except redis.exceptions.InvalidResponse:
            raise UnreachableError(f"the server at {self._address} is not Redis; check CAMQ_REDIS_URL") from None
        except redis.ResponseError as error:
            # It answers, and refuses every write until it has room, or is a master that has its data, again.
            if isinstance(error, _REFUSALS) or _REFUSES.search(str(error)):
                raise UnreachableError(f"Redis at {self._address} takes no writes ({error})") from None
            raise


@cache
def source(name: str, clock: str = CLOCK) -> str:
    """A script's full text: key templates, clock, common part, its own part."""
    return keys.lua_constants() + clock + _text("_common") + _text(name)


def executed(pipe: Any) -> list[Any]:
    """A pipeline's answers; that a key holds something which camq did not write there is one of them, not raised."""
    answers: list[Any] = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and "WRONGTYPE" not in str(answer):
            raise answer
    return answers


class LedgerSide:
    """What every side of the ledger is made of: the settings, and the scripts on the Redis that they name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scripts = Scripts.from_settings(settings)
