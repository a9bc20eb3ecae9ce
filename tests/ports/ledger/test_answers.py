"""The answer that counts is the one that the ledger counts, whatever its chunk is called and however it came."""

from collections.abc import Sequence
from itertools import count

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producer.results.records import record_at, records
from producer.results.stream import arrivals
from shared import keys
from shared.config import Settings
from shared.contract import ErrorInfo, ImageRecord, ImageRef, ImageState, Options, WorkerInfo, encode_lines
from shared.errors import LostLeaseError
from shared.ledger import Claim, RedisLedger
from shared.ledger.submission import add_chunk
from shared.storage import MemoryStore
from tests.support.jobs.ledgers import MODEL

pytestmark = pytest.mark.servers

#: More than ten: in quarantine the names of the last ones are longer than those of the first.
IMAGES = 13
CHUNKS = 2


class Run:
    """A job of two chunks on a real ledger, and what it must show."""

    def __init__(self, ledger: RedisLedger, hasty: RedisLedger, store: MemoryStore, job: str) -> None:
        self.ledger, self.hasty, self.store, self.job = ledger, hasty, store, job
        self.expected = ["queued"] * (IMAGES * CHUNKS)
        self.zombies: list[Claim] = []
        self._numbers = count()
        ledger.open_job(job, model=MODEL, options=Options(), priority="bulk", name=None)
        for number in range(CHUNKS):
            first = number * IMAGES
            references = [ImageRef(index=i, key=f"inputs/{i}", source=f"{i}.jpg") for i in range(first, first + IMAGES)]
            add_chunk(ledger, store, job, f"{number:06d}", references)
        ledger.seal(job)

    def claims(self, ledger: RedisLedger) -> list[Claim]:
        """What can be claimed now; pauses are over at once."""
        client = ledger.scripts.client
        for member in client.zrange(keys.LATER % MODEL, 0, -1):
            client.zadd(keys.LATER % MODEL, {member: 1.0})
        found = [
            ledger.claim(hint.message, f"token {next(self._numbers)}", f"worker {next(self._numbers)}")
            for hint in ledger.refill(MODEL)
        ]
        return [claim for claim in found if isinstance(claim, Claim)]

    def work(self, bad: frozenset[int]) -> None:
        """Commits what can be claimed; images whose place is in `bad` fail."""
        for claim in self.claims(self.ledger):
            self.commit(claim, bad)

    def commit(self, claim: Claim, bad: frozenset[int]) -> None:
        lines = [self._line(index, index % IMAGES in bad) for index in claim.indices]
        self.store.put(keys.results_object(self.job, claim.message.chunk, claim.message.attempt), encode_lines(lines))
        failures = {line.index: line.error for line in lines if line.error}
        self.ledger.commit(claim, [line.state for line in lines], failures)
        for line in lines:
            self.expected[line.index] = line.error.message if line.error else line.source

    def die(self) -> None:
        """Workers die with what they claimed; they may wake up and commit later."""
        self.zombies += self.claims(self.hasty)
        self.ledger.reap(MODEL, high_empty=True, bulk_empty=True)

    def wake(self) -> None:
        """Late commits of what was taken away count nothing."""
        for claim in self.zombies:
            with pytest.raises(LostLeaseError):
                self.ledger.commit(claim, [ImageState.SUCCEEDED] * len(claim.indices), {})
        self.zombies.clear()

    def raises(self) -> None:
        """The work of what can be claimed raises; in quarantine that fails the picture in the end."""
        why = f"error {next(self._numbers)}"
        for claim in self.claims(self.ledger):
            self.ledger.release(claim, raised=why)
            for index in claim.indices:
                if self.ledger.image_states(self.job)[index] is ImageState.FAILED:
                    self.expected[index] = self.ledger.failures(self.job)[index].message
                    assert self.expected[index].startswith(why)

    def retry(self) -> None:
        failed = [i for i, state in enumerate(self.ledger.image_states(self.job)) if state is ImageState.FAILED]
        self.ledger.retry(self.job, failed)
        for index in failed:
            self.expected[index] = "queued"

    def check(self) -> None:
        found = list(records(self.ledger, self.store, self.job, threads=1))
        assert [_shown(record) for record in found] == self.expected
        for index in (0, 10, IMAGES, 2 * IMAGES - 1):
            assert record_at(self.ledger, self.store, self.job, index) == found[index]
        status = self.ledger.status(self.job)
        if status.state.finished:
            streamed = arrivals(self.ledger, self.store, self.job, [status], threads=1)
            assert sorted(_shown(record) for record in streamed) == sorted(self.expected)

    def _line(self, index: int, bad: bool) -> ImageRecord:
        text = f"answer {next(self._numbers)}"
        if bad:
            return ImageRecord(
                index=index, source=f"{index}.jpg", state=ImageState.FAILED, error=ErrorInfo("truncated", text)
            )
        return ImageRecord(index=index, source=text, state=ImageState.SUCCEEDED)


def _shown(record: ImageRecord) -> str:
    if record.error is not None:
        return record.error.message
    return record.source if record.state is ImageState.SUCCEEDED else record.state.value


STEPS = st.lists(
    st.sampled_from(
        [
            ("work", frozenset({10})),
            ("work", frozenset({0, 11})),
            ("work", frozenset()),
            *((name, None) for name in ("die", "die", "wake", "raises", "raises", "retry")),
        ]
    ),
    max_size=14,
)


def run(settings: Settings, client: redis.Redis, steps: Sequence[tuple[str, frozenset[int] | None]]) -> None:
    client.flushall()
    store = MemoryStore()
    store.ensure_bucket()
    ledger = RedisLedger(settings)
    hasty = RedisLedger(msgspec.structs.replace(settings, lease_s=1e-6))
    try:
        ledger.beat(WorkerInfo(worker="w", host="h", pid=1, device="cpu", models=(MODEL,), state="ready", slots=20))
        made = Run(ledger, hasty, store, "job")
        for name, bad in steps:
            if name == "work":
                made.work(bad or frozenset())
            else:
                getattr(made, name)()
            made.check()
    finally:
        ledger.close()
        hasty.close()


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_results_show_the_answer_that_the_ledger_counts(
    request: pytest.FixtureRequest, steps: list[tuple[str, frozenset[int] | None]]
) -> None:
    """Quarantine, retries, late commits and failures without a worker, in any order."""
    run(request.getfixturevalue("settings"), request.getfixturevalue("redis_client"), steps)


@pytest.mark.parametrize(
    "steps",
    [
        ["die", "die", {10}, "retry", {}],
        ["die", "die", {10}, "retry", "die", "die", {10}, "retry", {}],
        ["raises"] * 5 + ["raises", "raises", "retry", {}],
        [{10}, "retry", "raises", "raises", "raises", "raises", "raises", "raises", "raises"],
    ],
    ids=["quarantine, then retry", "twice", "internal, then retry", "a retry that ends as internal"],
)
def test_a_retry_after_quarantine_is_what_results_show(
    settings: Settings, redis_client: redis.Redis, steps: list[str | set[int]]
) -> None:
    """The name of a chunk of quarantine may be longer than that of a later retry."""
    run(settings, redis_client, [(s, None) if isinstance(s, str) else ("work", frozenset(s)) for s in steps])
