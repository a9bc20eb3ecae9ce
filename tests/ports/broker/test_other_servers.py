"""Redis behind Sentinel and TLS, and RabbitMQ as the broker: each on a real server, in one walk through the queue."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from producer.local.embedded import Spec, Supervisor
from producer.local.embedded.redis import RedisServer, find_server
from producer.local.embedded.stack import free_ports
from shared.broker import Sender
from shared.config import Settings
from shared.errors import UnreachableError
from shared.ledger import RedisLedger
from tests.support.jobs import ledgers
from tests.support.jobs.ledgers import MODEL
from tests.support.servers.other_servers import work_off, works
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

RABBITMQ = next(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"), None)


@contextmanager
def tls_in_front_of(settings: Settings, folder: Path) -> Iterator[str]:
    """A door with TLS before the session's Redis, whose own build has none; yields its address."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = urlsplit(settings.redis_url)
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_serve, args=(door, context, (server.hostname, server.port)), daemon=True).start()
        yield f"rediss://:{server.password}@localhost:{door.getsockname()[1]}/0?ssl_ca_certs={certificate}"


def _serve(door: socket.socket, context: ssl.SSLContext, target: Any) -> None:
    while True:
        try:
            client, _ = door.accept()
        except OSError:
            return
        threading.Thread(target=_pass_on, args=(client, context, target), daemon=True).start()


def _pass_on(client: socket.socket, context: ssl.SSLContext, target: Any) -> None:
    with (
        suppress(OSError),
        context.wrap_socket(client, server_side=True) as near,
        socket.create_connection(target) as far,
    ):
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_redis_over_tls(settings: Settings, empty_redis: Any, tmp_path: Path) -> None:
    """Ledger, broker and task states; a certificate that nobody vouches for is refused."""
    with tls_in_front_of(settings, tmp_path) as url:
        works(Settings(redis_url=url))
        distrusted = Settings(redis_url=url.partition("?")[0])
        with closing(RedisLedger(distrusted)) as ledger, pytest.raises(UnreachableError):
            ledger.check()
        with closing(Sender(distrusted)) as sender, pytest.raises(UnreachableError):
            sender.depth(MODEL, "bulk")


@pytest.fixture
def unix_socket(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis that listens on a socket of this machine."""
    server = RedisServer(tmp_path / "redis", "secret")
    server.prepare()
    port = next(free_ports())
    spec = server.spec(port, tmp_path)
    with TemporaryDirectory() as folder, Supervisor() as supervisor:  # a socket's path has a short limit
        path = Path(folder) / "redis.sock"
        with (tmp_path / "redis" / "server.conf").open("a") as config:
            config.write(f"unixsocket {path}\n")
        supervisor.start(spec)
        wait_until(lambda: server.ready(port), "Redis is ready")
        yield f"unix://:secret@{path}?db=0"


def test_redis_over_a_unix_socket(unix_socket: str) -> None:
    """Ledger, broker and task states."""
    works(Settings(redis_url=unix_socket))


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """A master, its replica and one Sentinel; the settings that lead there, and what kills the master."""
    ports = free_ports()
    one, two, watcher = next(ports), next(ports), next(ports)
    with Supervisor() as supervisor:
        for name, port, master in (("one", one, None), ("two", two, one)):
            folder = tmp_path / name
            server = RedisServer(folder, "secret", name=name)
            server.prepare()
            spec = server.spec(port, tmp_path)
            with (folder / "server.conf").open("a") as config:
                config.write(f"masterauth secret\n{f'replicaof 127.0.0.1 {master}' if master else ''}\n")
            supervisor.start(spec)
            wait_until(lambda server=server, port=port: server.ready(port), f"{name} is ready")
        (tmp_path / "sentinel.conf").write_text(
            f"port {watcher}\nbind 127.0.0.1\nsentinel monitor camq 127.0.0.1 {one} 1\n"
            "sentinel auth-pass camq secret\nsentinel down-after-milliseconds camq 1000\n"
            "sentinel failover-timeout camq 5000\nrequirepass watch/me\n"
        )
        argv = [str(find_server()), "sentinel.conf", "--sentinel"]
        supervisor.start(Spec(name="sentinel", argv=argv, env={}, cwd=tmp_path, log=tmp_path / "sentinel.log"))
        settings = Settings(
            redis_url=f"redis+sentinel://:secret@127.0.0.1:{watcher}/0?master=camq&sentinel_password=watch%2Fme"
        )
        with closing(RedisLedger(settings)) as ledger:
            wait_until(lambda: replicated(ledger), "the replica follows, and Sentinel knows it", 30)
        yield settings, lambda: supervisor.stop("one")


@pytest.mark.slow
def test_redis_behind_sentinel_survives_its_master(sentinel: tuple[Settings, Callable[[], None]]) -> None:
    """After the fail-over the same clients find the new master, and the job is there."""
    settings, kill_master = sentinel
    works(settings)
    with closing(RedisLedger(settings)) as ledger:
        ledgers.submit(ledger, "kept")
        wait_until(lambda: ledger.scripts.client.wait(1, 1000) == 1, "the replica has it")
        kill_master()
        wait_until(lambda: images_of(ledger, "kept") == 6, "the new master answers", timeout_s=40)
    work_off(settings, "kept")


def test_sentinels_that_refuse_or_know_no_master_say_so(sentinel: tuple[Settings, Callable[[], None]]) -> None:
    """Their password is not the master's."""
    url = sentinel[0].redis_url
    for wrong, says in (
        (url.partition("&")[0], "set sentinel_password="),
        (url.replace("watch%2Fme", "wrong"), "set sentinel_password="),
        (url.replace("master=camq", "master=other"), "name no master; check master= in CAMQ_REDIS_URL"),
    ):
        with closing(RedisLedger(Settings(redis_url=wrong))) as ledger, pytest.raises(UnreachableError) as caught:
            ledger.check()
        assert says in str(caught.value)
        assert "watch" not in str(caught.value)


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[str]:
    """A RabbitMQ of our own; its address."""
    ports = free_ports()
    port, dist, epmd = next(ports), next(ports), next(ports)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_NODENAME": f"camq{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(dist),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "mnesia"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(tmp_path / "plugins"),
    }
    with Supervisor() as supervisor:
        supervisor.start(Spec(name="rabbitmq", argv=[str(RABBITMQ)], env=env, log=tmp_path / "out", stop_s=30))
        wait_until(lambda: "Starting broker... completed" in (tmp_path / "out").read_text(), "RabbitMQ is up", 90)
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    subprocess.run(["epmd", "-port", str(epmd), "-kill"], env=env, capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(RABBITMQ is None, reason="no RabbitMQ here (Debian package rabbitmq-server)")
def test_rabbitmq_as_the_broker(rabbitmq: str, settings: Settings, empty_redis: Any) -> None:
    """Messages travel through it, ledger and task states stay in Redis; when it is away the sender says so."""
    works(Settings(redis_url=settings.redis_url, broker_url=rabbitmq))
    assert not empty_redis.keys("_kombu*")
    away = Settings(redis_url=settings.redis_url, broker_url="amqp://guest:guest@127.0.0.1:1//")
    with closing(Sender(away)) as sender, pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 does not answer"):
        sender.depth(MODEL, "bulk")


def replicated(ledger: RedisLedger) -> bool:
    with suppress(UnreachableError, redis.ConnectionError):  # the Sentinel may not listen yet
        return bool(ledger.scripts.client.info("replication").get("connected_slaves") == 1)
    return False


def images_of(ledger: RedisLedger, job: str) -> int:
    with suppress(UnreachableError):
        return ledger.status(job).total
    return 0
