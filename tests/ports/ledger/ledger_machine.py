"""A model of everything that can happen to the ledger, for hypothesis to put together in any order."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared import keys
from shared.contract import ChunkMessage, ErrorInfo, ImageState, Options
from shared.errors import LostLeaseError, UsageError
from shared.ledger import Claim, Hint, NewChunk, RedisLedger
from tests.support.jobs.ledgers import MODEL, enter, serve

#: Stands in the place of lua/_clock.lua.
CLOCK = "local NOW = tonumber(redis.call('GET', 'test:now'))\n"
JOBS, WORKERS = ("a", "b"), ("w0", "w1", "w2")
FINAL = {ImageState.SUCCEEDED, ImageState.FAILED, ImageState.CANCELLED}
STATES = {state.byte: state for state in ImageState}
PICK = st.integers(0, 1_000_000)
#: Allowed steps of one image. `running → queued` is a hand-back; `failed → queued` is a retry.
TRANSITIONS: dict[ImageState, frozenset[ImageState]] = {
    ImageState.QUEUED: frozenset({ImageState.RUNNING, ImageState.FAILED, ImageState.CANCELLED}),
    ImageState.RUNNING: frozenset({ImageState.QUEUED, ImageState.SUCCEEDED, ImageState.FAILED, ImageState.CANCELLED}),
    ImageState.SUCCEEDED: frozenset(),
    ImageState.FAILED: frozenset({ImageState.QUEUED}),
    ImageState.CANCELLED: frozenset(),
}


@dataclass
class Held:
    """A claim as its worker remembers it; it may be long out of date."""

    claim: Claim
    worker: str
    token: str
    committed: bool = False


class LedgerMachine(RuleBasedStateMachine):
    """Two jobs, three workers, a lossy and repeating broker, and a clock that jumps."""

    def __init__(self, ledger: RedisLedger) -> None:
        super().__init__()
        self.ledger = ledger
        self.redis: Any = ledger.scripts.client
        self.redis.flushall()
        self.now = 1_000_000.0
        self.advance(0)
        self.queues: dict[str, list[Hint]] = {"high": [], "bulk": []}
        self.held: list[Held] = []
        self.sizes: dict[str, int] = {}
        self.before: dict[str, str] = {}
        self.retried: set[tuple[str, int]] = set()
        self.counted: Counter[tuple[str, int]] = Counter()
        self.tokens = self.backs = 0
        for worker in WORKERS:
            serve(ledger, worker)

    # What producers do.

    @rule(job=st.sampled_from(JOBS), chunks=st.integers(1, 3), size=st.integers(1, 4), high=st.booleans())
    def submit(self, job: str, chunks: int, size: int, high: bool) -> None:
        if job not in self.sizes:
            priority: Any = "high" if high else "bulk"
            hook = "https://h/" if job == "a" else None
            self.ledger.open_job(job, model=MODEL, options=Options(), priority=priority, name=None, webhook=hook)
            enter(self.ledger, job, *(NewChunk(f"{n:06}", n * size, size, str(n)) for n in range(chunks)))
            self.sizes[job] = chunks * size

    @rule(job=st.sampled_from(JOBS))
    def seal(self, job: str) -> None:
        if job in self.sizes:
            self.ledger.seal(job)

    @rule(job=st.sampled_from(JOBS))
    def cancel(self, job: str) -> None:
        if job in self.sizes:
            self.ledger.cancel(job)

    @rule(job=st.sampled_from(JOBS), indices=st.sets(st.integers(0, 11)))
    def retry(self, job: str, indices: set[int]) -> None:
        if job not in self.sizes:
            return
        failed = {i for i, state in enumerate(self.ledger.image_states(job)) if state is ImageState.FAILED}
        try:
            taken = self.ledger.retry(job, sorted(indices))
        except UsageError:
            assert self.redis.hget(keys.JOB % job, "cancel")
        else:
            assert taken == len(failed & indices)
            self.retried |= {(job, index) for index in failed & indices}

    # What the broker does.

    @rule()
    def refill(self) -> None:
        for hint in self.ledger.refill(MODEL):
            self.queues[hint.priority].append(hint)

    @rule(priority=st.sampled_from(("high", "bulk")))
    def lose_a_message(self, priority: str) -> None:
        if self.queues[priority]:
            self.queues[priority].pop(0)

    @rule(priority=st.sampled_from(("high", "bulk")))
    def repeat_a_message(self, priority: str) -> None:
        if self.queues[priority]:
            self.queues[priority].append(self.queues[priority][0])

    # What workers do.

    @rule(worker=st.sampled_from(WORKERS), priority=st.sampled_from(("high", "bulk")), reply_lost=st.booleans())
    def take(self, worker: str, priority: str, reply_lost: bool) -> None:
        if self.queues[priority]:
            self.claim(self.queues[priority].pop(0).message, worker, twice=reply_lost)

    def claim(self, message: ChunkMessage, worker: str, *, twice: bool = False) -> None:
        self.tokens += 1
        token = f"token-{self.tokens}"
        record = self.records(message.job)[message.chunk]
        free = record["s"] == "h" and record["a"] == message.attempt
        answer = self.ledger.claim(message, token, worker)
        assert isinstance(answer, Claim) == (free and not self.redis.hget(keys.JOB % message.job, "cancel"))
        if twice:
            assert self.ledger.claim(message, token, worker) == answer
        if isinstance(answer, Claim):
            self.held.append(Held(answer, worker, token))

    @rule(worker=st.sampled_from(WORKERS), job=st.sampled_from(JOBS), pick=PICK, reply_lost=st.booleans())
    def take_without_a_hint(self, worker: str, job: str, pick: int, reply_lost: bool) -> None:
        records = self.records(job)
        if not records:
            return
        chunk = sorted(records)[pick % len(records)]
        self.tokens += 1
        token = f"token-{self.tokens}"
        free = records[chunk]["s"] in "ph" and not self.redis.hget(keys.JOB % job, "cancel")
        answer = self.ledger.take(job, chunk, token, worker)
        assert isinstance(answer, Claim) == free
        if reply_lost and free:
            assert self.ledger.take(job, chunk, token, worker) == answer
        if isinstance(answer, Claim):
            self.held.append(Held(answer, worker, token))

    @rule(worker=st.sampled_from(WORKERS))
    def renew(self, worker: str) -> None:
        mine = [held for held in self.held if held.worker == worker]
        answers = self.ledger.renew([held.claim for held in mine])
        for held, answer in zip(mine, answers, strict=True):
            assert (answer == "lost") == (not self.owns(held))

    @precondition(lambda self: self.held)
    @rule(pick=PICK, failures=st.sets(st.integers(0, 3)))
    def commit(self, pick: int, failures: set[int]) -> None:
        held = self.held[pick % len(self.held)]
        owned = self.owns(held)
        message = held.claim.message
        cancelled = bool(self.redis.hget(keys.JOB % message.job, "cancel"))
        good = ImageState.CANCELLED if cancelled else ImageState.SUCCEEDED
        states = [ImageState.FAILED if n in failures else good for n in range(len(held.claim.indices))]
        errors = {
            index: ErrorInfo("empty", "no bytes")
            for index, state in zip(held.claim.indices, states, strict=True)
            if state is ImageState.FAILED
        }
        try:
            self.ledger.commit(held.claim, states, errors)
        except LostLeaseError:
            assert not owned
            assert not held.committed
        else:
            assert owned or held.committed, "a stale attempt was committed"
            held.committed = True

    @precondition(lambda self: self.held)
    @rule(pick=PICK, spent=st.booleans())
    def hand_back(self, pick: int, spent: bool) -> None:
        held = self.held[pick % len(self.held)]
        owned = self.owns(held)
        try:
            self.ledger.release(held.claim, spent=spent)
        except LostLeaseError:
            assert not owned
        else:
            assert owned

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        self.stop(worker)
        self.held = [held for held in self.held if held.worker != worker]

    @rule(worker=st.sampled_from(WORKERS))
    def stop(self, worker: str) -> None:
        self.redis.delete(keys.WORKER % worker)

    @rule(worker=st.sampled_from(WORKERS))
    def beat(self, worker: str) -> None:
        serve(self.ledger, worker)

    # What time does.

    @rule(seconds=st.sampled_from((0.5, 2, 5, 11, 13, 60)))
    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.redis.set("test:now", repr(self.now))

    @rule(seconds=st.sampled_from((3, 40, 4000)))
    def set_the_clock_back(self, seconds: float) -> None:
        self.backs += 1
        self.advance(-seconds - self.backs / 1000)  # no moment comes twice

    @rule()
    def reap(self) -> None:
        self.ledger.reap(MODEL, high_empty=not self.queues["high"], bulk_empty=not self.queues["bulk"])

    # What must hold in every interleaving.

    def records(self, job: str) -> dict[str, dict[str, Any]]:
        raw = self.redis.hgetall(keys.CHUNKS % job)
        return {chunk: msgspec.json.decode(line) for chunk, line in raw.items()}

    def owns(self, held: Held) -> bool:
        message = held.claim.message
        record = self.records(message.job).get(message.chunk, {})
        return bool(record.get("s") == "l" and record["a"] == message.attempt)

    @invariant()
    def counters_equal_the_images(self) -> None:
        for job, size in self.sizes.items():
            row = self.redis.hgetall(keys.JOB % job)
            counted = Counter(STATES[byte] for byte in self.redis.get(keys.IMAGES % job))
            assert sum(counted.values()) == int(row["total"]) == size
            for state in (ImageState.RUNNING, *FINAL):
                assert int(row[state.value]) == counted[state]
            ended = row["sealed"] == "1" and sum(counted[state] for state in FINAL) == size
            assert ended == ("finished_at" in row)

    @invariant()
    def no_image_leaves_its_end(self) -> None:
        for job in self.sizes:
            images = self.redis.get(keys.IMAGES % job)
            for index, (old, new) in enumerate(zip(self.before.get(job, images), images, strict=True)):
                if old != new and (job, index) not in self.retried:
                    # One rule may take two steps (a lease that runs out is put back and reaped).
                    assert STATES[new] in TRANSITIONS[STATES[old]]
            self.before[job] = images
        self.retried.clear()

    @invariant()
    def every_open_image_has_exactly_one_live_chunk(self) -> None:
        leases = set(self.redis.zrange(keys.LEASES, 0, -1))
        hints = {m for p in self.queues for m in self.redis.zrange(keys.HINTS % (MODEL, p), 0, -1)}
        waits = self.redis.zrange(keys.LATER % MODEL, 0, -1)
        assert all(self.records(job)[chunk]["s"] == "p" for job, chunk in (member.split("/") for member in waits))
        for job in self.sizes:
            row = self.redis.hgetall(keys.JOB % job)
            fresh = set(self.redis.zrange(keys.PENDING % job, 0, -1))
            again = {
                m.partition("/")[2] for m in self.redis.lrange(keys.AGAIN % MODEL, 0, -1) if m.startswith(f"{job}/")
            }
            later = {member.partition("/")[2] for member in waits if member.startswith(f"{job}/")}
            pending = fresh | again | later
            live: Counter[int] = Counter()
            for chunk, record in self.records(job).items():
                if record["s"] not in "phl" or (row.get("cancel") and record["s"] != "l"):
                    continue
                live.update(record.get("x") or range(record["f"], record["f"] + record["n"]))
                where = {"p": chunk in pending, "h": f"{job}/{chunk}" in hints, "l": f"{job}/{chunk}" in leases}
                assert where[record["s"]], f"chunk {chunk} is {record['s']} and nobody will find it"
                assert sum(where.values()) == 1
            open_images = {i for i, byte in enumerate(self.redis.get(keys.IMAGES % job)) if byte in "qr"}
            assert live == dict.fromkeys(open_images, 1)
            if fresh:
                assert job in self.redis.lrange(keys.TURNS % (MODEL, row["priority"]), 0, -1)

    def teardown(self) -> None:
        """Whatever happened, one healthy worker brings every sealed job to its end."""
        for job in self.sizes:
            self.ledger.seal(job)
        for _ in range(30):
            self.advance(13)
            serve(self.ledger, "last")
            self.reap()
            self.refill()
            for queue in self.queues.values():
                while queue:
                    self.claim(queue.pop(0).message, "last")
            for held in self.held:
                if self.owns(held):
                    self.ledger.commit(held.claim, [ImageState.SUCCEEDED] * len(held.claim.indices), {})
            self.held.clear()
        for job in self.sizes:
            assert self.ledger.status(job).state.finished, f"{job} never ends"
