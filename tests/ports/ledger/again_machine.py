"""A model of ids that are used again while what they left is deleted, for hypothesis to put together in any order.

Submissions, `camq rm` and `camq gc` are generators that stop after each call to the ledger or to storage, in the order
in which `add_chunk` and `retention.delete` make their calls; so any two can meet anywhere. Inputs are old or young:
`gc` takes an old one that no chunk refers to, and a submission writes it again.
"""

import hashlib
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from producer.retention.unused_inputs import inputs, used_inputs
from shared import keys
from shared.contract import ImageRef, ImageState, Options, encode_lines
from shared.errors import DeletionError, LostLeaseError, UnknownJobError, UsageError
from shared.ledger import Claim, Hint, NewChunk, RedisLedger
from shared.storage import MemoryStore
from tests.support.jobs.ledgers import MODEL, serve

JOBS = ("a", "b")
#: Most of what happens is about one of them, else little would meet.
JOB = st.sampled_from(("a", "a", "a", "b"))
PICK = st.integers(0, 1_000_000)
LEASE_S = 12
#: More at once only keep each other from ever meeting.
MOST_PROGRAMS = 4
#: Calls that a program makes in one go; the largest is more than any makes.
STEPS = st.sampled_from((1, 2, 3, 5, 8, 40))
Program = Generator[None, None, None]


@dataclass
class Held:
    """A claim as its worker remembers it, and in which life of the job it was made."""

    claim: Claim
    life: int
    until: float
    heard: bool = False


class AgainMachine(RuleBasedStateMachine):
    """Two ids, two pictures, programs that stop anywhere or for ever, and workers of jobs that are gone."""

    def __init__(self, ledger: RedisLedger) -> None:
        super().__init__()
        self.ledger = ledger
        self.redis: Any = ledger.scripts.client
        self.redis.flushall()
        self.store = MemoryStore()
        self.store.ensure_bucket()
        self.now = 1_000_000.0
        self.advance(0)
        self.programs: list[Program] = []
        self.hints: list[Hint] = []
        self.held: list[Held] = []
        #: How often each id was removed.
        self.lives: Counter[str] = Counter()
        #: Chunks whose references a submission to an earlier life of the job wrote over: their workers find out.
        self.spoilt: set[tuple[str, str]] = set()
        self.tokens = 0
        #: Inputs that were written lately; a season passes only while no submission is under way.
        self.young: set[str] = set()
        serve(ledger)

    # What goes on step by step.

    @precondition(lambda self: len(self.programs) < MOST_PROGRAMS)
    @rule(job=JOB, pictures=st.lists(st.integers(0, 1), min_size=1, max_size=2), steps=STEPS)
    def submit(self, job: str, pictures: list[int], steps: int) -> None:
        self.begin(self.submission(job, pictures), steps)

    @precondition(lambda self: len(self.programs) < MOST_PROGRAMS)
    @rule(job=JOB, steps=STEPS)
    def rm(self, job: str, steps: int) -> None:
        self.begin(self.removal(job), steps)

    @precondition(lambda self: not self.programs)
    @rule()
    def inputs_grow_old(self) -> None:
        self.young.clear()

    @precondition(lambda self: len(self.programs) < MOST_PROGRAMS)
    @rule(steps=STEPS)
    def gc(self, steps: int) -> None:
        self.begin(self.collection(), steps)

    @precondition(lambda self: self.programs)
    @rule(pick=PICK, steps=STEPS)
    def go_on(self, pick: int, steps: int) -> None:
        self.run(self.programs[pick % len(self.programs)], steps)

    @precondition(lambda self: len(self.programs) == MOST_PROGRAMS)
    @rule(pick=PICK)
    def break_off(self, pick: int) -> None:
        self.programs.pop(pick % len(self.programs)).close()

    def begin(self, program: Program, steps: int) -> None:
        self.programs.append(program)
        self.run(program, steps)

    def run(self, program: Program, steps: int) -> None:
        for _ in range(steps):
            if next(program, self) is self:
                self.programs.remove(program)
                break
            self.what_is_referred_to_is_there()

    def submission(self, job: str, pictures: Sequence[int]) -> Program:
        try:
            self.advance(0.001)  # no two lives of a job begin at one moment
            self.ledger.open_job(job, model=MODEL, options=Options(), priority="bulk", name=None)
        except DeletionError:
            return
        yield
        for index, picture in enumerate(pictures):
            yield
            key = keys.input_object(f"{picture:064}")
            yield from self.place(key)
            try:
                yield from self.enter(job, ImageRef(index=index, key=key, source=key))
            except (UsageError, UnknownJobError):
                return
        if job in self.ledger.known_jobs():
            self.ledger.seal(job)

    def place(self, key: str) -> Program:
        if key not in self.young:
            yield
            self.store.put(key, b"a picture")
            self.young.add(key)

    def enter(self, job: str, reference: ImageRef) -> Program:
        raw = encode_lines([reference])
        new = NewChunk(f"{reference.index:06}", reference.index, 1, hashlib.sha256(raw).hexdigest())
        while True:
            yield
            life = self.lives[job]
            registered = self.ledger.reserve(job, new)
            yield
            if not registered:
                self.store.put(keys.chunk_object(job, new.chunk), raw)
                (self.spoilt.discard if life == self.lives[job] else self.spoilt.add)((job, new.chunk))
                yield
            try:
                self.ledger.register(job, new)
            except DeletionError:
                yield
            else:
                return

    def removal(self, job: str) -> Program:
        if self.is_locked(job):
            return
        with self.ledger.deleting(job):
            yield
            life = self.lives[job]
            self.ledger.remove(job)
            self.lives[job] += 1
            yield
            while self.ledger.held(job):
                yield
            for held in self.held:
                if (held.claim.message.job, held.life) == (job, life):
                    assert held.heard or held.until <= self.now, "a worker still writes for the job"
            prefix = keys.job_prefix(job)
            yield
            self.store.delete([key for key, _ in self.store.list(prefix)])

    def collection(self) -> Program:
        listed = [key for key, _ in self.store.list("")]
        for job in JOBS:
            yield
            if self.is_locked(job):
                continue
            with self.ledger.deleting(job):
                yield
                if job not in self.ledger.known_jobs():
                    self.store.delete([key for key in listed if key.startswith(keys.job_prefix(job))])
                    yield
        used = used_inputs(self.ledger, self.store)
        for key in listed:
            yield
            if key.startswith(keys.INPUTS) and key not in used and key not in self.young:
                self.store.delete([key])

    def is_locked(self, scope: str) -> bool:
        return bool(self.redis.exists(keys.DELETING % scope))

    # What workers, broker and time do.

    @rule(pick=PICK, stays=st.booleans())
    def claim(self, pick: int, stays: bool) -> None:
        self.hints += self.ledger.refill(MODEL)
        if not self.hints:
            return
        hint = self.hints[pick % len(self.hints)]
        if not stays:
            self.hints.remove(hint)
        self.tokens += 1
        job, chunk = hint.message.job, hint.message.chunk
        answer = self.ledger.claim(hint.message, f"token-{self.tokens}", "w")
        if isinstance(answer, Claim):
            assert (chunk, answer.digest) in self.registered(job)
            self.held.append(Held(answer, self.lives[job], self.now + LEASE_S))

    @rule()
    def renew(self) -> None:
        answers = self.ledger.renew([held.claim for held in self.held])
        for held, answer in zip(self.held, answers, strict=True):
            if answer == "lost":
                held.heard = True
            else:
                assert held.life == self.lives[held.claim.message.job], "the lease of a removed job was kept"
                held.until = self.now + LEASE_S

    @precondition(lambda self: self.held)
    @rule(pick=PICK, back=st.booleans())
    def end(self, pick: int, back: bool) -> None:
        held = self.held.pop(pick % len(self.held))
        try:
            if back:
                self.ledger.release(held.claim)
            else:
                self.ledger.commit(held.claim, [ImageState.SUCCEEDED], {})
        except LostLeaseError:
            return
        assert held.life == self.lives[held.claim.message.job], "a removed job's answer was counted"

    @rule(seconds=st.sampled_from((2, 13, 60)))
    def reap(self, seconds: float) -> None:
        self.advance(seconds)
        self.ledger.reap(MODEL, high_empty=not self.hints, bulk_empty=not self.hints)

    def registered(self, job: str) -> list[tuple[str, str]]:
        """The job's chunks and the digests of their references."""
        known = job in self.ledger.known_jobs()
        return [(chunk.chunk, chunk.digest) for chunk in self.ledger.submitted(job)] if known else []

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.redis.set("test:now", repr(self.now))

    # What must hold in every interleaving.

    @invariant()
    def what_is_referred_to_is_there(self) -> None:
        for job in JOBS:
            for chunk, digest in self.registered(job):
                if (job, chunk) in self.spoilt:
                    continue
                raw = self.store.get(keys.chunk_object(job, chunk))
                assert hashlib.sha256(raw).hexdigest() == digest, "the references are another submission's"
                for key in inputs(self.store, [keys.chunk_object(job, chunk)]):
                    assert self.store.stat(key), "a picture in use was deleted"

    @invariant()
    def counters_equal_the_images(self) -> None:
        for job in self.ledger.known_jobs():
            status, states = self.ledger.status(job), Counter(self.ledger.image_states(job))
            assert status.total == states.total() == len(self.ledger.chunks(job))
            assert (status.running, status.succeeded) == (states[ImageState.RUNNING], states[ImageState.SUCCEEDED])

    def teardown(self) -> None:
        """Whatever happened, all programs come to an end, and one healthy worker brings every job to its own."""
        for _ in range(200):
            self.renew()
            for program in [program for program in self.programs if next(program, self) is self]:
                self.programs.remove(program)
        assert not self.programs, "a submission or a deletion never ends"
        self.what_is_referred_to_is_there()
        for job in self.ledger.known_jobs():
            self.ledger.seal(job)
        for _ in range(30):
            serve(self.ledger)
            self.reap(13)
            self.claim(0, stays=False)
            while self.hints:
                self.claim(0, stays=False)
            while self.held:
                self.end(0, back=False)
        for job in self.ledger.known_jobs():
            assert self.ledger.status(job).state.finished, f"{job} never ends"
