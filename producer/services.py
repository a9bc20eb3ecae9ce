"""The ways out of a producer: ledger, object store, broker, traces. Each connects when it is first used."""

from __future__ import annotations

import os
from functools import cached_property
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from shared.config import Settings, redis_address
from shared.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.broker import Sender
    from shared.ledger import RedisLedger
    from shared.storage import ObjectStore
    from shared.tokens import Tokens
    from shared.tracing import Tracing

#: A command whose service is away ends within ten seconds, also when it needs two of them.
FIRST_ANSWER_S = 4.5
_RUNNING = """
Is `camq up` running?"""
_REMEDY = f"""{_RUNNING} Load its settings, in the folder where you started it:
  set -a; . camq-data/camq.env; set +a"""
#: Addresses of servers that `camq up` starts.
_HERE = ("127.0.0.1:", "localhost:")


class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class _once(Generic[T]):  # noqa: N801 - used like `property`
    """A property that is made at its first use. Threads that come at once may make several: the first one is kept, and
    the others are closed. Nobody waits for another's attempt at a service that does not answer."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._lock = Lock()
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, services: Services, owner: type) -> T:
        made = self._make(services)
        with self._lock:
            kept: T = services.__dict__.setdefault(self._name, made)  # found there from now on, before this property
        if kept is not made:
            made.close()
        return kept


class Services:
    """Built from settings once per command or `Client`; a context manager."""

    def __init__(self, settings: Settings, *, store: ObjectStore | None = None) -> None:
        self.settings = settings
        if store is not None:
            self.__dict__["store"] = store  # what `_once` would have put there

    @_once
    def ledger(self) -> RedisLedger:
        """The job ledger. UnreachableError when Redis does not answer soon."""
        from shared.ledger import RedisLedger

        ledger = RedisLedger(self.settings)
        self._answer(ledger.check, f"Redis at {redis_address(self.settings)} does not answer")
        return ledger

    @cached_property
    def tokens(self) -> Tokens:
        """The access tokens of the HTTP API, on the ledger's Redis."""
        from shared.tokens import Tokens

        return Tokens(self.ledger.scripts)

    @_once
    def store(self) -> ObjectStore:
        """The object store. UnreachableError when it does not answer soon, UsageError when its bucket does not exist:
        only `camq up` and a worker create it, so that a mistyped CAMQ_BUCKET is noticed."""
        from shared.storage import S3Store

        store = S3Store.from_settings(self.settings)
        self._answer(store.check, f"S3 storage at {self.settings.s3_endpoint} does not answer")
        return store

    @_once
    def sender(self) -> Sender:
        """The broker, for hints."""
        from shared.broker import Sender

        return Sender(self.settings)

    @_once
    def tracing(self) -> Tracing:
        """Spans, where OTEL_* variables ask for them."""
        from shared.tracing import start

        return start("camq")

    def _answer(self, check: Callable[[], None], silence: str) -> None:
        """Run `check` for a limited time. Without any settings the error says how to load them; with those of
        `camq up`, it asks whether that runs."""
        try:
            within_time(check, silence)
        except UnreachableError as error:
            lost = self.settings.redis_url == Settings().redis_url and "CAMQ_REDIS_URL" not in os.environ
            here = redis_address(self.settings).startswith(_HERE)
            raise UnreachableError(f"{error}{_REMEDY if lost else _RUNNING if here else ''}") from None

    def close(self) -> None:
        """Give back every connection that was made."""
        for name in ("sender", "store", "ledger", "tracing"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def within_time(check: Callable[[], None], silence: str) -> None:
    """Run `check`, but wait for it no longer than `FIRST_ANSWER_S`.

    Clients have timeouts, but a name server that is silent has none of ours, and retries add up.
    """
    outcome: list[BaseException | None] = []

    def work() -> None:
        try:
            check()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            outcome.append(error)
        else:
            outcome.append(None)

    thread = Thread(target=work, name="camq-first-answer", daemon=True)
    thread.start()
    thread.join(FIRST_ANSWER_S)
    if not outcome:
        raise UnreachableError(f"{silence} within {FIRST_ANSWER_S:g} s")
    if outcome[0] is not None:
        raise outcome[0]
