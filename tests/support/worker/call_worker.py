"""One worker's answers to `camq.explain`, on a real ledger and an engine that is a declared test adapter."""

from typing import Any

import msgspec

from shared.contract import CALL_PREFIX, EXPLAIN_TASK, ErrorInfo, ImageRecord, ImageRef, ImageState, Options
from shared.ledger import Claim, RedisLedger
from shared.ledger.submission import add_chunk
from shared.outage import Patience
from shared.storage import MemoryStore
from shared.tracing import Untraced
from tests.support.jobs.scripted_worker import CARD, MODEL
from worker.chunk.explain_task import CHUNK, Calls
from worker.chunk.leases import LeaseKeeper
from worker.chunk.pipeline import Outcome, Pipeline
from worker.chunk.traces import ChunkTraces
from worker.timing.measurements import Measurements

KEY = "s3://pictures/cat.jpg"
TASK = "8d7f2f4e-0b7e-4e59-9a0a-0123456789ab"


class Explainer:
    """A declared test adapter: every image succeeds unless its key says otherwise."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def record(self, ref: ImageRef, claim: Claim, check: Any, maps: Any = None, lone: Any = None) -> ImageRecord:
        self.done.append(ref.key)
        failed = "broken" in ref.key
        return ImageRecord(
            index=ref.index,
            source=ref.source,
            state=ImageState.FAILED if failed else ImageState.SUCCEEDED,
            model=claim.model,
            error=ErrorInfo("not_an_image", "no picture") if failed else None,
        )


class Desk:
    """One worker's calls and what they stand on."""

    def __init__(self, ledger: RedisLedger, store: MemoryStore, name: str = "w", model: str = MODEL) -> None:
        self.ledger, self.store, self.explainer = ledger, store, Explainer()
        self.keeper = LeaseKeeper(ledger)
        patience = Patience(1, max_wait_s=0.01)
        self.pipeline = Pipeline(
            ledger=ledger,
            store=store,
            explainer=self.explainer,  # type: ignore[arg-type]
            quarantine=None,  # type: ignore[arg-type]
            keeper=self.keeper,
            patience=patience,
            measurements=Measurements(),
            traces=ChunkTraces(Untraced(), name),
            refill=lambda: None,
            worker=name,
            model=model,
            images=2,
            urgent_images=2,
        )
        self.calls = Calls(
            ledger=ledger,
            store=store,
            pipeline=self.pipeline,
            patience=patience,
            check_taking=self.keeper.check_taking,
            card=msgspec.structs.replace(CARD, model=model),
            in_place=("s3://pictures/",),
        )

    def run(self, task: str = TASK, **given: object) -> ImageRecord | Outcome:
        return self.calls.run(task, {"key": KEY, **given})

    def begin(self, task: str = TASK) -> str:
        """The call is in the ledger, as the worker that took it first left it; its job."""
        job = f"{CALL_PREFIX}{task}"
        options = Options()
        self.ledger.open_job(job, model=MODEL, options=options, priority="high", name=EXPLAIN_TASK)
        add_chunk(self.ledger, self.store, job, CHUNK, [ImageRef(index=0, key=KEY, source=KEY)])
        self.ledger.seal(job)
        return job
