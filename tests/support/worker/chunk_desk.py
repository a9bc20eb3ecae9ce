"""A pipeline of one chunk, with a ledger, a store and an explainer that misbehave as declared."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared import keys
from shared.contract import (
    ChunkMessage,
    ErrorInfo,
    ImageRecord,
    ImageRef,
    ImageState,
    Options,
    decode_lines,
    encode_lines,
)
from shared.errors import UnreachableError
from shared.ledger import Claim
from shared.outage import Patience
from shared.storage import MemoryStore
from shared.tracing import Tracing, Untraced
from worker.chunk.leases import LeaseKeeper
from worker.chunk.pipeline import Pipeline
from worker.chunk.traces import ChunkTraces
from worker.timing.measurements import Measurements

MESSAGE = ChunkMessage(job="job", chunk="000000", attempt=1)
IMAGES = 3


class Ledger:
    """A declared test adapter: gives one claim and remembers what it is told."""

    def __init__(self) -> None:
        self.claimed: Claim | str = Claim(
            MESSAGE, Options(), "net@0123456789ab", "bulk", "000000", tuple(range(IMAGES))
        )
        self.committed: list[ImageState] | None = None
        self.failures: Mapping[int, ErrorInfo] = {}
        self.answer: Any = None
        self.released = self.spent = False
        self.raised = ""
        self.away = 0
        self.lease = "held"

    def claim(self, message: ChunkMessage, token: str, worker: str) -> Claim | str:
        if self.away:
            self.away -= 1
            raise UnreachableError("Redis is away")
        return self.claimed

    def renew(self, claims: Sequence[Claim]) -> list[str]:
        return [self.lease] * len(claims)

    def commit(
        self, claim: Claim, states: Sequence[ImageState], failures: Mapping[int, ErrorInfo], answer: Any
    ) -> None:
        self.answer = answer
        self.committed, self.failures = list(states), failures

    def release(self, claim: Claim, *, spent: bool = False, raised: str = "") -> None:
        self.released, self.spent, self.raised = True, spent, raised


class Explainer:
    """A declared test adapter: every image succeeds, after what `on` says about its index."""

    def __init__(self) -> None:
        self.on: dict[int, Any] = {}

    def record(self, ref: ImageRef, claim: Claim, check: Any, maps: Any = None, lone: Any = None) -> ImageRecord:
        act = self.on.get(ref.index)
        if act is not None:
            act(check)
        return ImageRecord(index=ref.index, source=ref.source, state=ImageState.SUCCEEDED)


class Desk:
    """A pipeline and everything around it."""

    def __init__(self, limit_s: float = 60, tracing: Tracing | None = None, store: MemoryStore | None = None) -> None:
        self.ledger, self.explainer, self.store = Ledger(), Explainer(), store or MemoryStore()
        self.broker_is_away = False
        self.keeper = LeaseKeeper(self.ledger)  # type: ignore[arg-type]
        self.refills = 0
        self.measured = Measurements()
        self.store.ensure_bucket()
        self.store.put(keys.chunk_object("job", "000000"), encode_lines([ImageRef(index=n) for n in range(IMAGES)]))
        self.pipeline = Pipeline(
            ledger=self.ledger,  # type: ignore[arg-type]
            store=self.store,
            explainer=self.explainer,  # type: ignore[arg-type]
            quarantine=None,  # type: ignore[arg-type]
            keeper=self.keeper,
            patience=Patience(limit_s, max_wait_s=0.01),
            measurements=self.measured,
            traces=ChunkTraces(tracing or Untraced(), "w"),
            refill=self.refill,
            worker="w",
            model="net@0123456789ab",
            images=IMAGES,
            urgent_images=IMAGES,
        )

    def refill(self) -> None:
        if self.broker_is_away:
            raise UnreachableError("the broker is away")
        self.refills += 1

    def results(self) -> list[ImageRecord]:
        return decode_lines(self.store.get(keys.results_object("job", "000000", 1)), ImageRecord)
