"""Causes the faults while the jobs run, and restarts workers and producers as an operator would."""

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from shared import keys
from shared.contract import WorkerInfo
from shared.errors import CamqError
from tests.chaos.environment import RUN_LIMIT_S, Environment
from tests.chaos.errands import Errand
from tests.chaos.fleet import WorkerProcess
from tests.chaos.plan import Fault, Kind
from tests.chaos.proxy import Mode
from tests.chaos.recovery import Recovery

LOOK_S = 0.2
#: Longer than a lease: the worker has lost its chunks when it wakes.
STOPPED_S = 16.0
AWAY_S = 30.0
REFUSED_S = 15.0
#: After an outage, clients still wait for their next attempt.
AFTERMATH_S = 6.0
#: The four ways in which storage goes away, one after the other.
WAYS = (Mode.REFUSE, Mode.SILENT, Mode.BUSY, Mode.RESET)
#: The three ways in which it refuses us.
REFUSALS = (Mode.DENIED, Mode.FULL, Mode.WRONG_REGION)


class Driver:
    """One run: `run` returns when every job is finished, every fault has happened and every errand is done.

    `others` are pictures of the jobs that are cancelled or removed on the way.
    """

    def __init__(
        self,
        environment: Environment,
        jobs: dict[str, Path],
        options: list[str],
        faults: list[Fault],
        seed: int,
        say: Callable[[str], None],
        others: Path | None = None,
    ) -> None:
        self._environment = environment
        self._jobs = jobs
        self._options = options
        self._others = others
        self._total = sum(len(list(folder.iterdir())) for folder in jobs.values())
        self._faults = list(faults)
        self._rng = random.Random(seed)
        self._say = say
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._producers: dict[str, Any] = {}
        self._submitted: set[str] = set()
        self._do: dict[Kind, Callable[[], bool]] = {
            "kill worker": self._kill_worker,
            "stop worker": self._stop_worker,
            "kill picture process": self._kill_picture_process,
            "kill redis": self._kill_redis,
            "storage away": partial(self._storage_unwell, "storage away", WAYS, AWAY_S),
            "storage refuses": partial(self._storage_unwell, "storage refuses", REFUSALS, REFUSED_S),
            "cut connections": self._cut,
            "kill producer": self._kill_producer,
            "cancel job": partial(self._end_job, "cancel job", "cancel"),
            "remove job": partial(self._end_job, "remove job", "rm", "--yes"),
            "retry job": self._retry_job,
            "collect inputs": self._collect,
        }
        self._errands: list[Errand] = []
        #: Commands of errands that had to be repeated.
        self.repeated = 0
        #: Jobs beside the kept ones, by what was done to them.
        self.ended: dict[Kind, list[str]] = {"cancel job": [], "remove job": []}
        self._outage_until = 0.0
        self.recovery = Recovery(environment.ledger)
        self.happened: dict[str, int] = dict.fromkeys(self._do, 0)
        self.resumed = 0
        self.seconds = 0.0
        #: Most messages that the broker ever held, in its queues and delivered but not acknowledged.
        self.most_messages = 0

    def run(self) -> None:
        """Raises TimeoutError when the jobs do not end."""
        while not self._busy("ready", "busy"):  # producers need the first worker's model
            self._environment.tend()
            time.sleep(LOOK_S)
        began = time.monotonic()
        while not self._step():
            self.seconds = time.monotonic() - began
            if self.seconds > RUN_LIMIT_S:
                raise TimeoutError(f"not finished after {RUN_LIMIT_S:g} s; still to come: {self._faults}")
            time.sleep(LOOK_S)

    def _step(self) -> bool:
        self._environment.tend()
        self._tend_producers()
        self._tend_errands()
        for due, work in [item for item in self._later if item[0] < time.monotonic()]:
            self._later.remove((due, work))
            work()
        try:
            done = [self._environment.ledger.status(job) for job in self._submitted_or_begun()]
            self.recovery.look(outage=self._outage())
            self._measure_broker()
        except CamqError:
            self._outage_until = time.monotonic() + AFTERMATH_S
            return False  # Redis was just killed
        share = sum(status.done for status in done) / self._total
        if self._faults and share >= self._faults[0].share:
            fault = self._faults[0]
            if self._do[fault.kind]():
                self._faults.remove(fault)
                self.happened[fault.kind] += 1
                self._say(f"{share:4.0%}  {fault.kind}")
        ended = len(done) == len(self._jobs) and all(status.state.finished for status in done)
        return ended and not self._later and not self._errands and (not self._faults or share == 1.0)

    def _tend_producers(self) -> None:
        for job, folder in self._jobs.items():
            producer = self._producers.get(job)
            if job in self._submitted or (producer is not None and producer.poll() is None):
                continue
            if producer is not None and producer.returncode == 0:
                self._submitted.add(job)
                continue
            self.resumed += producer is not None
            self._producers[job] = self._environment.submit(folder, job, self._options)

    def _tend_errands(self) -> None:
        for errand in list(self._errands):
            if errand.tend(self._environment):
                self._errands.remove(errand)
                self.repeated += errand.repeated

    def _end_job(self, kind: Kind, *command: str) -> bool:
        """A job of the other pictures is submitted, and ended at once by this command."""
        job = f"{command[0]}-{len(self.ended[kind])}"
        self.ended[kind].append(job)
        submit = ["submit", str(self._others), "--job-id", job, *self._options]
        self._errands.append(Errand(job, [submit, [command[0], job, *command[1:]]]))
        return True

    def _retry_job(self) -> bool:
        """The pictures that failed so far fail again, and are counted once."""
        failed = [job for job in self._submitted if self._environment.ledger.status(job).failed]
        if not failed:
            return False
        self._errands.append(Errand("retry", [["retry", self._rng.choice(sorted(failed))]]))
        return True

    def _collect(self) -> bool:
        """It waits until no submission is open."""
        self._errands.append(Errand("gc", [["gc", "--now"]]))
        return True

    def _submitted_or_begun(self) -> list[str]:
        known = {status.job for status in self._environment.ledger.jobs(len(self._jobs) + 20)}
        return [job for job in self._jobs if job in known]

    def _busy(self, *states: str) -> list[tuple[WorkerProcess, WorkerInfo]]:
        wanted = states or ("busy",)
        infos = {info.pid: info for info in self._environment.ledger.workers() if info.state in wanted}
        return [(worker, infos[worker.pid]) for worker in self._environment.workers if worker.pid in infos]

    def _kill_worker(self) -> bool:
        if not (busy := self._busy()):
            return False
        worker, info = self._rng.choice(busy)
        worker.process.kill()
        worker.process.wait()
        self.recovery.killed(info.worker, self._submitted_or_begun())
        return True

    def _stop_worker(self) -> bool:
        if not (busy := self._busy()):
            return False
        worker, _ = self._rng.choice(busy)
        worker.signal(signal.SIGSTOP)
        self._later.append((time.monotonic() + STOPPED_S, lambda: worker.signal(signal.SIGCONT)))
        return True

    def _kill_picture_process(self) -> bool:
        found = [pid for worker, _ in self._busy() for pid in worker.picture_processes()]
        if not found:
            return False
        with suppress(ProcessLookupError):
            os.kill(self._rng.choice(found), signal.SIGKILL)
        return True

    def _kill_redis(self) -> bool:
        pid = self._environment.stack.pids().get("redis")
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        self._outage_until = max(self._outage_until, time.monotonic() + AFTERMATH_S)
        return True

    def _storage_unwell(self, kind: Kind, ways: Sequence[Mode], seconds: float) -> bool:
        if not self._busy() or any(work == self._storage_back for _, work in self._later):
            return False
        self._environment.s3_proxy.set(ways[self.happened[kind] % len(ways)])
        self._later.append((time.monotonic() + seconds, self._storage_back))
        self._outage_until = time.monotonic() + seconds + AFTERMATH_S
        return True

    def _outage(self) -> bool:
        """Whether a service is away, or every worker: then nobody can take up anything."""
        return time.monotonic() < self._outage_until or not self._busy("ready", "busy")

    def _storage_back(self) -> None:
        self._environment.s3_proxy.set(Mode.PASS)

    def _cut(self) -> bool:
        self._rng.choice([self._environment.s3_proxy, self._environment.redis_proxy]).cut()
        return True

    def _kill_producer(self) -> bool:
        running = [p for job, p in self._producers.items() if job not in self._submitted and p.poll() is None]
        if not running or not self._submitted_or_begun():
            return False
        self._rng.choice(running).kill()
        return True

    def _measure_broker(self) -> None:
        client = self._environment.ledger.scripts.client
        queues = [
            keys.queue(info.models[0], priority)
            for info in self._environment.ledger.workers()[:1]
            if info.models
            for priority in ("high", "bulk")
        ]
        held = sum(client.llen(name) for name in queues) + client.hlen("unacked")
        self.most_messages = max(self.most_messages, held)
