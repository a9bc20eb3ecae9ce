"""Steps that many tests of the ledger share."""

from shared import keys
from shared.contract import Options, Priority, WorkerInfo
from shared.ledger import Claim, Hint, NewChunk, RedisLedger

MODEL = "net@0123456789ab"


def submit(
    ledger: RedisLedger, job: str = "job", *, chunks: int = 2, size: int = 3, priority: Priority = "bulk"
) -> None:
    """A sealed job of `chunks` times `size` images."""
    ledger.open_job(job, model=MODEL, options=Options(), priority=priority, name="a name")
    enter(ledger, job, *(NewChunk(f"{i:06d}", i * size, size, f"digest-{i}") for i in range(chunks)))
    ledger.seal(job)


def enter(ledger: RedisLedger, job: str, *chunks: NewChunk) -> None:
    """The chunks become part of the job."""
    for chunk in chunks:
        ledger.reserve(job, chunk)
        ledger.register(job, chunk)


def claim(ledger: RedisLedger, hint: Hint, token: str = "token", worker: str = "w") -> Claim:
    """The claim, which must be given."""
    answer = ledger.claim(hint.message, token, worker)
    assert isinstance(answer, Claim)
    return answer


def serve(ledger: RedisLedger, worker: str = "w", slots: int = 1) -> WorkerInfo:
    """A worker shows a sign of life."""
    info = WorkerInfo(worker=worker, host="h", pid=1, device="cpu", models=(MODEL,), state="ready", slots=slots)
    ledger.beat(info)
    return info


def come_due(ledger: RedisLedger) -> list[float]:
    """Seconds until each chunk that waits would have been sent again; now they are due."""
    client = ledger.scripts.client
    seconds, micros = client.time()
    waiting = client.zrange(keys.LATER % MODEL, 0, -1, withscores=True)
    for member, _ in waiting:
        client.zadd(keys.LATER % MODEL, {member: 1.0})
    return [due - seconds - micros / 1e6 for _, due in waiting]
