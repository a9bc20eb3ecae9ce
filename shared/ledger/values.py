"""What producers and workers may ask of the ledger, and the values that pass."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.contract import ChunkMessage, ErrorInfo, JobStatus, ModelCard, Options, Priority, WorkerInfo
from shared.states import ImageState

#: Images that one script cancels: it keeps Redis busy for 10 to 25 ms.
CANCELLED_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True)
class NewChunk:
    """Images `first` .. `first + count - 1` of a job; `digest` fingerprints their references."""

    chunk: str
    first: int
    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class Hint:
    """A message to send: this attempt of this chunk may be claimed. `priority` names the queue, which is `high`
    for what is sent again."""

    message: ChunkMessage
    model: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a chunk until the lease runs out. `token`, unique to this claim, is the fence.

    `references` names the chunk whose reference file holds the images, `digest` is that file's SHA-256 (empty: nothing
    is known of it); `indices` are those of its images to work on. A chunk in `quarantine` holds one picture, to be run
    in a process that holds nothing else. `trace` is where its job came from (see `shared.tracing`), empty when its
    producer was not traced.
    """

    message: ChunkMessage
    options: Options
    model: str
    priority: Priority
    references: str
    indices: tuple[int, ...] = ()
    quarantine: bool = False
    trace: str = ""
    token: str = ""
    digest: str = ""


#: Why a chunk was not claimed: another attempt is newer (`stale`), has it (`held`) or is `done`, the job is cancelled,
#: or is gone.
Refusal = Literal["stale", "held", "done", "cancelled", "gone"]


@dataclass(frozen=True, slots=True)
class Done:
    """A chunk that ended: where its results object is. `parent` is the chunk it was split or retried from."""

    chunk: str
    attempt: int
    #: Its first image, and how many it has.
    first: int
    count: int
    parent: str | None = None
    #: Ends of a job's chunks are numbered as they happen.
    end: int = 0
    #: No worker committed it: its one image failed in quarantine, and the ledger alone has the reason.
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one look for lost work brought back."""

    leases: int
    hints: int
    quarantined: int = 0
    #: `job/chunk` whose record in Redis cannot be read: left alone, so that it harms no other.
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A webhook to send now. `end` tells the job's ends apart; `attempt` counts the tries to tell this one."""

    job: str
    url: str
    end: str
    attempt: int


class Jobs(Protocol):
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

    def reserve(self, job: str, chunk: NewChunk) -> bool:
        """The chunk's references may be written; True if it is registered already, so that they need not be.
        UsageError if it is known with other content."""

    def register(self, job: str, chunk: NewChunk) -> None:
        """A reserved chunk joins the job, once. UsageError if it is known with other content, or it is too late;
        DeletionError if the job was removed and begun again since, and the chunk must be reserved once more."""

    def seal(self, job: str) -> None:
        """No more chunks will come."""

    def status(self, job: str) -> JobStatus:
        """The counters and times of a job."""

    def jobs(self, limit: int, tags: Collection[str] = ()) -> list[JobStatus]:
        """The newest jobs first, of those that carry all of these tags."""

    def options(self, job: str) -> Options:
        """The options the job was submitted with."""

    def attempts(self, job: str) -> list[ChunkMessage]:
        """The newest attempt of every chunk that was ever sent, in chunk order: their task ids."""

    def digests(self, job: str) -> dict[str, str]:
        """Of the chunks as they were submitted: what their references had as SHA-256 when they were registered."""

    def chunks(self, job: str) -> list[str]:
        """The chunks as they were submitted, in the order of their images."""

    def holders(self, job: str, indices: Iterable[int]) -> dict[str, set[int]]:
        """Those of them that hold these images, in their order, and which ones each holds."""

    def done(self, job: str) -> list[Done]:
        """The chunks that ended, committed or failed without a worker, in the order of their images."""

    def failures(self, job: str) -> dict[int, ErrorInfo]:
        """Why images failed, by index (capped; the counters are exact)."""

    def image_states(self, job: str) -> list[ImageState]:
        """The state of every image, by index."""

    def cancel(self, job: str) -> bool:
        """Stop the job; False if it had finished already."""

    def retry(self, job: str, indices: Sequence[int]) -> int:
        """Queue these failed images again; how many it were. Images in another state are left alone."""

    def remove(self, job: str) -> None:
        """Drop the job's record, if there is one; the index of jobs keeps its id until `forget`."""

    def known_jobs(self, *, expired: bool = False) -> list[str]:
        """The ids of all jobs, oldest first; with `expired` also of those whose record is gone."""

    def unsealed(self) -> list[str]:
        """The jobs whose submission has not ended."""

    def deleting(self, job: str, wait_s: float = ...) -> AbstractContextManager[Callable[[], None]]:
        """A job's objects are deleted while this lasts; no job of this id can begin meanwhile.

        The function is to be called every few seconds. DeletionError when another process deletes them for longer than
        `wait_s`, or does so already because this deletion was silent for too long.
        """

    def collecting(self) -> AbstractContextManager[Callable[[], bool]]:
        """Inputs of any age are deleted while this lasts, and no job can begin; it ends by itself after ten minutes.
        The function answers whether there is time left. DeletionError when another process does the same."""

    def held(self, job: str) -> bool:
        """Whether a worker may still write for the job: it was removed, and the worker has not heard yet."""

    def forget(self, jobs: Iterable[str]) -> None:
        """Take jobs out of the index of which nothing is left anywhere; one that has a record again stays."""

    def refill(self, model: str) -> list[Hint]:
        """Hints to send now: the caller sends every one of them."""

    def wait_for_news(self, job: str) -> Iterator[None]:
        """Yields at once, then whenever the job moved, and at least every half second."""


class Flow(Protocol):
    """A worker's side."""

    def claim(self, message: ChunkMessage, token: str, worker: str) -> Claim | Refusal:
        """Own the chunk, or learn why not. `token` is unique to this call, so that it can be repeated; `worker` is the
        incarnation that is charged if it dies with the chunk in hand. NewerSchemaError, and nothing changes, when only
        a newer release can read the job."""

    def take(self, job: str, chunk: str, token: str, worker: str) -> Claim | Refusal:
        """Own the chunk without a hint, as its next attempt, or learn why not. Otherwise like `claim`."""

    def renew(self, claims: Sequence[Claim]) -> list[Literal["held", "lost", "cancelled"]]:
        """Keep the leases of the chunks in hand."""

    def commit(self, claim: Claim, states: Sequence[ImageState], failures: Mapping[int, ErrorInfo]) -> None:
        """Count the chunk's images, one state each as in `Claim.indices`. LostLeaseError if it is not ours."""

    def release(self, claim: Claim, *, spent: bool = False, raised: str = "") -> None:
        """Hand the chunk back, uncharged. LostLeaseError if it is not ours.

        `spent`: the process of its quarantine ended, so it waits longer each time and is failed in the end.
        `raised`: what its work raised and nobody foresaw. It waits longer each time, then goes to quarantine, where
        a picture that raises again fails as `internal` with this text.
        """

    def refill(self, model: str) -> list[Hint]:
        """Hints to send now: the caller sends every one of them."""

    def reap(self, model: str, *, high_empty: bool, bulk_empty: bool) -> Reaped:
        """Make pending again what was lost: leases that ran out, and overdue messages whose queue is empty or
        from which one sent later was claimed."""


class Webhooks(Protocol):
    """Who is to be told of a job's end, by any worker."""

    def claim_webhook(self, lease_s: float) -> WebhookCall | None:
        """One that is due, if any; it is due again after `lease_s`, should its sender not report."""

    def report_webhook(self, call: WebhookCall, fault: str | None, *, again_s: float, most_s: float) -> str:
        """What became of it: `delivered`, `waiting` (for the next try in `again_s`), `failed` (that would be more
        than `most_s` after the job's end) or `stale` (the job went on, or another sender took over)."""

    def status(self, job: str) -> JobStatus:
        """The counters and times of a job."""


class Registry(Protocol):
    """Who serves what."""

    def beat(self, info: WorkerInfo) -> None:
        """The worker is alive."""

    def leave(self, info: WorkerInfo) -> None:
        """The worker is gone now."""

    def workers(self) -> list[WorkerInfo]:
        """The live workers."""

    def publish(self, card: ModelCard) -> None:
        """What the model offers; kept after its last worker left."""

    def card(self, model: str) -> ModelCard | None:
        """A model's card by its full `name@digest`."""

    def models(self) -> dict[str, bool]:
        """Every known model, newest first, and whether a live worker serves it."""
