"""What producers and workers may ask of the ledger, and the values that pass."""

from dataclasses import dataclass, field
from typing import Literal

from shared.contract import ChunkMessage, ErrorInfo, ImageState, Options, Priority

#: Chunks or jobs handled by one call: bounds how long the script blocks Redis.
BATCH = 200
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
    is known of it), `carried` the content of a small one, if the digest says so; `indices` are those of its images to
    work on. A chunk in `quarantine` holds one picture, to be run in a process that holds nothing else. `trace` is where
    its job came from (see `shared.tracing`), empty when its producer was not traced.
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
    carried: bytes = field(default=b"", repr=False)


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
    #: Of the claim that was committed.
    token: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the ledger says of a job at one moment, for a reader of its results; see the methods of these names.

    `damaged` are the chunks whose records cannot be read.
    """

    name: str | None
    tags: tuple[str, ...]
    options: Options
    total: int
    states: list[ImageState]
    failures: dict[int, ErrorInfo]
    done: list[Done]
    submitted: list[NewChunk]
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageAt:
    """One image of a job at one moment."""

    state: ImageState
    failure: ErrorInfo | None
    #: The submitted chunk whose references hold it, and their digest.
    chunk: str
    digest: str
    #: The ended chunks that it was part of, oldest first: the last one has its answer.
    done: tuple[Done, ...]


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one look for lost work brought back."""

    leases: int
    hints: int
    quarantined: int = 0
    #: `job/chunk` whose record in Redis cannot be read: left alone, so that it harms no other.
    broken: tuple[str, ...] = ()
    #: Job and number of its images that failed because no worker held them and nobody would have sent them.
    lost: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A webhook to send now. `end` tells the job's ends apart; `attempt` counts the tries to tell this one."""

    job: str
    url: str
    end: str
    attempt: int
