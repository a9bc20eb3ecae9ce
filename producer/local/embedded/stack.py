"""Both embedded servers over one data folder, kept running until the `with` block ends."""

import fcntl
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from producer.local.embedded.env_file import private_folder, write_private, write_variables
from producer.local.embedded.redis import RedisServer
from producer.local.embedded.s3 import S3Server
from shared.config import PREFIX, Settings
from shared.errors import EmbeddedError
from shared.processes.supervisor import Supervisor

#: Both start in well under a second; a slow disk or a large append-only file takes longer.
_START_S = 60.0
#: Another program may take a port between our look and the server's bind.
_PORT_ATTEMPTS = 3
#: How long a port of an earlier run is waited for: another program's look for a free one holds it for an instant.
_KEEP_PORT_S = 1.0
#: Below the range systems hand out for outgoing connections (Linux 32768, macOS 49152 and up). A port from
#: that range could be taken while its server restarts, by a client that is just trying to reach it.
_RANGE = range(20_000, 32_000)


class _Identity(msgspec.Struct, frozen=True):
    """What must be the same when the folder is used again: the keys to its data, and if possible the ports."""

    redis_password: str
    s3_access_key: str
    s3_secret_key: str
    redis_port: int | None = None
    s3_port: int | None = None


class Stack:
    """`with Stack(folder) as stack:` runs both servers; `stack.settings` leads to them.

    The folder keeps data, keys and, while they are free, ports, so a second run finds everything again and a
    `camq.env` loaded before it still holds. Raises EmbeddedError when the folder is in use or a server does
    not start.
    """

    def __init__(self, data_dir: Path, on_exit: Callable[[str, int, int], None] | None = None) -> None:
        self.data_dir = Path(data_dir).resolve()
        self.logs = self.data_dir / "logs"
        self.env_file = self.data_dir / "camq.env"
        self._on_exit = on_exit
        self._overrides: dict[str, Any] = {}
        self._supervisor: Supervisor | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            private_folder(self.data_dir)
            undo.enter_context(_locked(self.data_dir))
            supervisor = undo.enter_context(Supervisor(self._on_exit))
            self._start(supervisor)
            self._supervisor, self._resources = supervisor, undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._supervisor = None
        self._resources.close()

    def settings_overrides(self) -> dict[str, Any]:
        """The settings that lead to these servers, for `Settings.load(**…)`; all of them, defaults too."""
        return dict(self._overrides)

    @property
    def settings(self) -> Settings:
        """Settings that lead to these servers, everything else at its default."""
        return Settings(**self._overrides)

    def pids(self) -> dict[str, int]:
        """The servers that run, by name (`redis`, `s3`)."""
        return self._supervisor.pids() if self._supervisor else {}

    def _start(self, supervisor: Supervisor) -> None:
        private_folder(self.logs)
        identity = self._identity()
        redis = RedisServer(self.data_dir / "redis", identity.redis_password)
        s3 = S3Server(self.data_dir / "s3", identity.s3_access_key, identity.s3_secret_key)
        finish_redis = self._launch(supervisor, redis, identity.redis_port)
        finish_s3 = self._launch(supervisor, s3, identity.s3_port)
        redis_port, s3_port = finish_redis(), finish_s3()
        self._overrides = {
            "redis_url": redis.url(redis_port),
            **s3.overrides(s3_port),
            "s3_secure": False,
            "s3_region": "us-east-1",
            "bucket": "camq",
        }
        identity = msgspec.structs.replace(identity, redis_port=redis_port, s3_port=s3_port)
        write_private(self._identity_file, msgspec.json.encode(identity).decode())
        self.write_env({})

    def write_env(self, more: Mapping[str, object]) -> None:
        """Write `camq.env`: the addresses and keys of the servers, and the settings in `more`."""
        variables = {
            PREFIX + name.upper(): _text(value)
            for name, value in {**self._overrides, **more}.items()
            if value is not None
        }
        write_variables(self.env_file, variables)

    def _launch(
        self, supervisor: Supervisor, server: RedisServer | S3Server, preferred: int | None
    ) -> Callable[[], int]:
        """Start one server; the function returned waits until it is ready and tells its port."""
        server.prepare()
        ports = free_ports(preferred)
        port = next(ports)
        supervisor.start(server.spec(port, self.logs))

        def finish() -> int:
            nonlocal port
            for _ in range(_PORT_ATTEMPTS):
                if self._became_ready(supervisor, server, port):
                    return port
                supervisor.stop(server.name)
                # The S3 server may fail once to open a database that was stopped soon after its start ("while opening
                # memtables"), and opens it the next time: so a port is kept as long as nobody else holds it.
                if not _is_free(port):
                    port = next(ports)
                supervisor.start(server.spec(port, self.logs))
            raise EmbeddedError(f"the {server.name} server does not start; {self._last_log_line(server.name)}")

        return finish

    def _became_ready(self, supervisor: Supervisor, server: RedisServer | S3Server, port: int) -> bool:
        deadline = time.monotonic() + _START_S
        while not server.ready(port):
            if supervisor.exits(server.name):
                return False
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"the {server.name} server is not ready after {_START_S:.0f} s; {self._last_log_line(server.name)}"
                )
            time.sleep(0.02)
        return True

    def _last_log_line(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        lines = path.read_text(errors="replace").splitlines()[-5:] if path.exists() else []
        return "\n  ".join([f"the end of {path}:", *lines])

    @property
    def _identity_file(self) -> Path:
        return self.data_dir / "stack.json"

    def _identity(self) -> _Identity:
        if self._identity_file.exists():
            return msgspec.json.decode(self._identity_file.read_bytes(), type=_Identity)
        identity = _Identity(
            redis_password=secrets.token_hex(24),
            s3_access_key=secrets.token_hex(10),
            s3_secret_key=secrets.token_hex(24),
        )
        write_private(self._identity_file, msgspec.json.encode(identity).decode())
        return identity


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees when its holder dies."""
    with os.fdopen(os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip() or "unknown"
            raise EmbeddedError(
                f"{folder} is in use by process {holder}: stop that one, or name another folder with --data"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def free_ports(preferred: int | None = None) -> Iterator[int]:
    """Ports that nobody listens on right now, the preferred one first. Another may still be quicker."""
    if preferred is not None:
        deadline = time.monotonic() + _KEEP_PORT_S
        while not (free := _is_free(preferred)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if free:
            yield preferred
    for port in random.sample(_RANGE, k=len(_RANGE)):
        if _is_free(port):
            yield port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do, so that connections still closing do not count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
