"""The producer's side of the ledger: submit, read, cancel."""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice

import redis

from shared import keys
from shared.contract import (
    CALL_PREFIX,
    SCHEMA_VERSION,
    ChunkMessage,
    ErrorInfo,
    ImageState,
    JobStatus,
    Options,
    Priority,
    decode,
    differing,
    encode,
)
from shared.errors import DeletionError, TakenError, UnknownJobError, UsageError
from shared.ledger.chunks import Records, damaged_of, done_of, in_order, submitted_of
from shared.ledger.record import count_of, failures_of, states_of, status_of
from shared.ledger.scripts import LedgerSide, executed
from shared.ledger.values import BATCH, CANCELLED_AT_ONCE, Done, NewChunk, Snapshot

#: Jobs looked at together for those with a tag, which may be few and far between; ids of jobs read together.
TAGGED_PAGE, MOST_IDS = 200, 10_000
#: `wait_for_news` looks this often although no event came: events are a convenience, not a promise.
NEWS_EVERY_S = 0.5


class RedisJobs(LedgerSide):
    """A producer's side. Unknown job ids raise UnknownJobError, a silent Redis UnreachableError."""

    def open_job(
        self,
        job: str,
        *,
        model: str,
        options: Options,
        priority: Priority,
        name: str | None,
        tags: Sequence[str] = (),
        webhook: str | None = None,
        trace: str = "",
    ) -> bool:
        """Begin or resume a submission; True if it is new. UsageError if the id holds another request. A `trace` is
        kept for whoever claims its chunks."""
        raw = encode(options).decode()
        content = f"{model} {raw} {webhook}" if webhook else f"{model} {raw}"
        fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
        fields = {"schema_version": str(SCHEMA_VERSION), "model": model, "options": raw}
        fields |= {"priority": priority, "name": name or ""}
        optional = {"trace": trace, "webhook": webhook, "tags": encode(tags).decode() if tags else ""}
        fields |= {field: value for field, value in optional.items() if value}
        flat = [part for pair in fields.items() for part in pair]
        answer = self.scripts("open_job", job, fingerprint, *flat)
        if answer == "deleting":
            raise DeletionError(f"job {job} cannot start again while `camq rm` or `camq gc` deletes its data")
        if answer == "collecting":
            raise DeletionError(f"job {job} cannot begin while `camq gc --now` deletes inputs")
        if answer == "differs":
            there = self._differing(job, model, options, webhook) or "as another release writes them"
            raise TakenError(f"job {job} exists with other options: {there}; repeat those, or take another --job-id")
        return bool(answer == "created")

    def _differing(self, job: str, model: str, options: Options, webhook: str | None) -> str:
        """What the job has that this request has not, such as `method cam (here gradcam)`. No webhook's address: it
        may hold a secret."""
        with self.scripts.translated():
            known = self.scripts.client.hmget(keys.JOB % job, "model", "options", "webhook")
        if known[0] is None or known[1] is None:  # removed in this moment
            return "unknown"
        pairs = [("model", known[0], model)] if known[0] != model else []
        pairs += differing(decode(known[1], Options), options)
        found = [f"{name} {there} (here {here})" for name, there, here in pairs]
        return ", ".join(found + ["webhook"] * ((known[2] or None) != (webhook or None)))

    def status(self, job: str) -> JobStatus:
        """The counters and times of a job."""
        found = self._statuses([job])
        if not found:
            raise _unknown(job)
        return found[0]

    def jobs(
        self, limit: int, tags: Collection[str] = (), *, before: str | None = None, calls: bool = True
    ) -> list[JobStatus]:
        """The newest jobs first, of those that carry all of these tags, and with `before` only those older than that
        job; without `calls` none of one picture that a program waits for. UnknownJobError when the index does not know
        `before`.

        The index also names jobs whose record is gone, so it is read until enough are found.
        """
        found: list[JobStatus] = []
        wanted, page = set(tags), max(limit, TAGGED_PAGE) if tags else limit
        names = self._newest(before, page)
        listed = (name for name in names if calls or not name.startswith(CALL_PREFIX))
        while len(found) < limit and (some := list(islice(listed, page))):
            found += [status for status in self._statuses(some) if wanted.issubset(status.tags)]
        return found[:limit]

    def _newest(self, before: str | None, page: int) -> Iterator[str]:
        """The ids, in pages that grow: behind the first may lie a million calls."""
        start = 0 if before is None else self._place(before) + 1
        seen: set[str] = set()  # of the last page: jobs that begin meanwhile move all others on
        while True:
            with self.scripts.translated():
                names = self.scripts.client.zrevrange(keys.JOBS, start, start + page - 1)
            if not names:
                return
            yield from (name for name in names if name not in seen)
            seen = set(names)
            start, page = start + page, max(page, min(4 * page, MOST_IDS))

    def _place(self, job: str) -> int:
        with self.scripts.translated():
            place = self.scripts.client.zrevrank(keys.JOBS, job)
        if place is None:
            raise _unknown(job)
        return int(place)

    def _statuses(self, names: Sequence[str]) -> list[JobStatus]:
        with self.scripts.translated(), self.scripts.client.pipeline(transaction=False) as pipe:
            pipe.time()
            for name in names:
                pipe.hgetall(keys.JOB % name)
            answers = executed(pipe)
        (seconds, micros), *rows = answers
        found = (status_of(name, row, seconds + micros / 1e6) for name, row in zip(names, rows, strict=True))
        return [status for status in found if status is not None]

    def snapshot(self, job: str) -> Snapshot:
        """All that a reader of the job's results needs, in one round trip; answered in this order.

        The states before the chunks: an image whose commit they show has its results object in `done`. The total last:
        while a job is being submitted, `done` may have images that an earlier total did not count.
        """
        record = keys.JOB % job
        with self.scripts.translated(), self.scripts.client.pipeline(transaction=False) as pipe:
            pipe.time().hgetall(record).get(keys.IMAGES % job).hgetall(keys.FAILURES % job)
            pipe.hgetall(keys.CHUNKS % job).hgetall(record)
            (seconds, micros), row, states, failures, chunks, last = executed(pipe)
            first, latest = (status_of(job, each, seconds + micros / 1e6) for each in (row, last))
            if first is None or latest is None:
                raise _unknown(job)
        records = in_order(chunks)
        return Snapshot(
            name=first.name,
            tags=first.tags,
            options=decode(row["options"], Options),
            total=latest.total,
            states=states_of(states),
            failures=failures_of(failures),
            done=done_of(records),
            # The images of an earlier total are in the chunks that were read after it, or their record is gone.
            submitted=submitted_of(records, first.total, latest.total),
            damaged=damaged_of(chunks),
        )

    def options(self, job: str) -> Options:
        """The options the job was submitted with."""
        with self.scripts.translated():
            raw = self.scripts.client.hget(keys.JOB % job, "options")
        if raw is None:
            raise _unknown(job)
        return decode(raw, Options)

    def chunks(self, job: str) -> list[str]:
        """The chunks as they were submitted, in the order of their images, then those whose records are damaged.

        Chunks split or retried from them are left out, for they share their references.
        """
        raw = self.scripts.hash_at(keys.CHUNKS % job)
        return [*(chunk for chunk, record in in_order(raw) if record.parent is None), *damaged_of(raw)]

    def submitted(self, job: str) -> list[NewChunk]:
        """The chunks as they were submitted, in the order of their images; see `submitted_of`."""
        with self.scripts.translated(), self.scripts.client.pipeline(transaction=False) as pipe:
            pipe.hget(keys.JOB % job, "total").hgetall(keys.CHUNKS % job).hget(keys.JOB % job, "total")
            known, raw, total = executed(pipe)
        try:
            return submitted_of(in_order(raw), count_of(known), count_of(total))
        except (TypeError, ValueError):
            raise _unknown(job) from None

    def holders(self, job: str, indices: Iterable[int]) -> dict[str, set[int]]:
        """Those of them that hold these images, in their order, and which ones each holds."""
        wanted = sorted(set(indices))
        found = {}
        for part in self.submitted(job):
            low, high = (bisect_left(wanted, edge) for edge in (part.first, part.first + part.count))
            if part.chunk and low < high:
                found[part.chunk] = set(wanted[low:high])
        return found

    def attempts(self, job: str) -> list[ChunkMessage]:
        """The newest attempt of every chunk that was ever sent, in chunk order: their task ids."""
        return [
            ChunkMessage(job=job, chunk=chunk, attempt=record.attempt)
            for chunk, record in self._records(job)
            if record.attempt
        ]

    def done(self, job: str) -> list[Done]:
        """The chunks that ended, committed or failed without a worker, in the order of their images."""
        return done_of(self._records(job))

    def _records(self, job: str) -> Records:
        return in_order(self.scripts.hash_at(keys.CHUNKS % job))

    def failures(self, job: str) -> dict[int, ErrorInfo]:
        """Why images failed, by index (capped; the counters are exact)."""
        return failures_of(self.scripts.hash_at(keys.FAILURES % job))

    def image_states(self, job: str) -> list[ImageState]:
        """The state of every image, by index.

        Gaps of an interrupted submission count as queued.
        """
        with self.scripts.translated():
            return states_of(self.scripts.client.get(keys.IMAGES % job))

    def cancel(self, job: str) -> bool:
        """Stop the job; False if it had finished already."""
        answer = self.scripts("cancel", job)
        if answer == "gone":
            raise _unknown(job)
        while self.scripts("cancel_images", job, CANCELLED_AT_ONCE):
            pass  # should this end here, a worker's reaper does the rest
        return bool(answer == "ok")

    def retry(self, job: str, indices: Sequence[int]) -> int:
        """Queue these failed images again; returns their number. Images in another state are left alone.

        Each image goes into a new chunk beside the one whose references hold it.
        """
        flat: list[str] = []
        for chunk, held in self.holders(job, indices).items():
            flat += [chunk, encode(sorted(held)).decode()]
        taken = 0
        for start in range(0, len(flat), 2 * BATCH):
            answer = self.scripts("retry", job, *flat[start : start + 2 * BATCH])
            if answer == "gone":
                raise _unknown(job)
            if answer == "cancelled":
                raise UsageError(f"job {job} was cancelled; its images cannot be retried; submit them again")
            taken += answer
        return taken

    def remove(self, job: str) -> None:
        """Drop the job's record, if there is one; the index of jobs keeps its id until `forget`."""
        self.scripts("remove", job)

    def wait_for_news(self, job: str, answered: Callable[[str], object] = lambda _: None) -> Iterator[None]:
        """Yields at once, then whenever the job moved, and at least every half second.

        `answered` is called before with the `Answer` of a lone picture, as it was sent. A lost connection raises
        UnreachableError; the caller may ask again.
        """
        with self.scripts.translated(), self.scripts.client.pubsub(ignore_subscribe_messages=True) as news:
            news.subscribe(keys.EVENTS % job, keys.ANSWERS % job)
            yield
            while True:
                _drain(news, keys.ANSWERS % job, answered)
                yield

    def all_news(self) -> Iterator[str | None]:
        """The id of each job that moved, whichever it is; None at least every half second.

        A lost connection raises UnreachableError; the caller may ask again.
        """
        start = keys.EVENTS % ""
        with self.scripts.translated(), self.scripts.client.pubsub(ignore_subscribe_messages=True) as news:
            news.psubscribe(f"{start}*")
            while True:
                message = news.get_message(timeout=NEWS_EVERY_S)
                yield None if message is None else str(message["channel"]).removeprefix(start)


def _drain(news: "redis.client.PubSub", answers: str, answered: Callable[[str], object]) -> None:
    """Waits for one event, then swallows those that came with it: one look at the status answers them all."""
    message = news.get_message(timeout=NEWS_EVERY_S)
    while message is not None:
        if message["channel"] == answers:
            answered(message["data"])
        message = news.get_message(timeout=0)


def _unknown(job: str) -> UnknownJobError:
    return UnknownJobError(
        f"no job {job!r}: it never existed, was removed, expired, or its record is damaged; see `camq jobs`"
    )
