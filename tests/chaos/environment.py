"""What a run needs: both servers, a proxy before each, workers that are replaced when they die, and producers."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from producer.local.embedded import Stack
from shared.config import Settings
from shared.ledger import RedisLedger
from shared.storage import S3Store
from tests.chaos.fleet import ROOT, WorkerProcess
from tests.chaos.proxy import Proxy

#: Seconds that one run may take.
RUN_LIMIT_S = 1200.0


class Environment:
    """`with Environment(folder, workers, network) as environment:`; its ledger and store bypass the proxies."""

    def __init__(self, folder: Path, workers: int, network: dict[str, str]) -> None:
        self.folder = folder
        self._wanted = workers
        self._network = network
        self._resources = ExitStack()
        self.workers: list[WorkerProcess] = []
        self.started = 0

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.stack = undo.enter_context(Stack(self.folder / "stack"))
            direct = msgspec.structs.replace(self.stack.settings, **self._network)
            address = urlsplit(direct.redis_url)
            assert address.port is not None
            self.redis_proxy = undo.enter_context(Proxy(address.port))
            self.s3_proxy = undo.enter_context(Proxy(int(direct.s3_endpoint.rpartition(":")[2])))
            self.settings: Settings = msgspec.structs.replace(
                direct,
                redis_url=direct.redis_url.replace(f":{address.port}", f":{self.redis_proxy.port}"),
                s3_endpoint=f"127.0.0.1:{self.s3_proxy.port}",
            )
            self.ledger = RedisLedger(direct)
            undo.callback(self.ledger.close)
            self.store = S3Store.from_settings(direct)
            undo.callback(self.store.close)
            undo.callback(self._end_workers)
            self._resources = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def tend(self) -> None:
        """Start the workers that are missing."""
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]
        while len(self.workers) < self._wanted:
            self.started += 1
            self.workers.append(WorkerProcess(self.settings, self.folder / f"worker-{self.started}.log"))

    def submit(self, pictures: Path, job: str, options: Sequence[str]) -> "subprocess.Popen[bytes]":
        """A producer as a process, through the proxies; the same call again resumes the submission."""
        return self.command(f"producer-{job}", "submit", str(pictures), "--job-id", job, *options)

    def command(self, log_name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """`camq` with these arguments as a process, through the proxies; what it says is in the log of this name."""
        command = [sys.executable, "-c", "from producer.cli.main import main; main()", *arguments]
        env = {"PATH": "", **self.settings.environment()}
        with (self.folder / f"{log_name}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _end_workers(self) -> None:
        for worker in self.workers:
            worker.end()
