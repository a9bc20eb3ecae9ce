"""How much work there is: what an autoscaler and a dashboard ask of the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from shared import keys
from shared.contract import PRIORITIES
from shared.ledger.record import count_of
from shared.ledger.scripts import Scripts

_FIELDS = ("model", "priority", "total", "running", "succeeded", "failed", "cancelled", "finished_at")


@dataclass(slots=True)
class Backlog:
    """The unfinished work of one model and priority."""

    jobs: int = 0
    #: Images that wait, and images in a worker's hands.
    queued: int = 0
    running: int = 0
    #: Chunks that wait in the ledger, chunks sent and not yet claimed, chunks in hand.
    pending: int = 0
    sent: int = 0
    held: int = 0


def read_backlog(scripts: Scripts) -> dict[tuple[str, str], Backlog]:
    """By model and priority, for every model known.

    Only jobs with work to do are read: a job has chunks that wait (then it is in a turn), that were sent, or
    that are in hand. So the cost grows with the work that goes on, not with the jobs that are kept.
    """
    client: Any = scripts.client
    with scripts.translated():
        models = client.zrange(keys.MODELS, 0, -1)
        found = {(model, priority): Backlog() for model in models for priority in PRIORITIES}
        with client.pipeline(transaction=False) as pipe:
            pipe.zrange(keys.LEASES, 0, -1)
            for model in models:
                pipe.lrange(keys.AGAIN % model, 0, -1)
                pipe.zrange(keys.LATER % model, 0, -1)
            for pair in found:
                pipe.lrange(keys.TURNS % pair, 0, -1)
                pipe.zrange(keys.HINTS % pair, 0, -1)
            leases, *lists = pipe.execute()
        again, lists = lists[: 2 * len(models)], lists[2 * len(models) :]
        jobs = set(_jobs_of([*leases, *chain(*again)]))
        for entry, turns, hints in zip(found.values(), lists[::2], lists[1::2], strict=True):
            jobs |= {*turns, *_jobs_of(hints)}
            entry.sent = len(hints)
        held = dict.fromkeys(jobs, 0)
        for job in _jobs_of(leases):
            held[job] += 1
        _add_jobs(client, found, held)
    return found


def _add_jobs(client: Any, found: dict[tuple[str, str], Backlog], held: dict[str, int]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for job in held:
            pipe.hmget(keys.JOB % job, _FIELDS)
            pipe.zcard(keys.PENDING % job)
        answers = pipe.execute(raise_on_error=False)
    for (_, chunks), row, pending in zip(held.items(), answers[::2], answers[1::2], strict=True):
        try:
            model, priority, *counts, finished = row
            if model is None or finished is not None:
                continue  # removed, or finished between the two looks
            total, running, *final = map(count_of, counts)
        except (TypeError, ValueError):
            continue  # camq did not write this record, and it must not hide the others
        entry = found.setdefault((model, priority), Backlog())
        entry.jobs += 1
        entry.queued += total - running - sum(final)
        entry.running += running
        entry.pending += pending
        entry.held += chunks


def _jobs_of(members: Iterable[str]) -> list[str]:
    """The jobs of `job/chunk` members, one for each."""
    return [member.partition("/")[0] for member in members]
