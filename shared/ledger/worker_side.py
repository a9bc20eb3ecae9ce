"""The worker's side of the ledger: claim, renew, commit, hand back, refill, reap."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import msgspec

from shared import keys
from shared.contract import (
    SCHEMA_VERSION,
    Answer,
    ChunkMessage,
    ErrorInfo,
    ImageState,
    Options,
    Priority,
    decode,
    encode,
)
from shared.errors import LostLeaseError, MessageError, NewerSchemaError
from shared.ledger.scripts import LedgerSide
from shared.ledger.values import CANCELLED_AT_ONCE, Claim, Hint, Reaped, Refusal
from shared.ledger.webhooks import SENDER_LEASE_S

#: The broker holds this many chunks per live worker slot: enough that no slot runs dry, few enough that a
#: new job's turn comes soon.
CHUNKS_PER_SLOT = 2
#: Hints sent when no worker is alive, so that the first one finds work before its first heartbeat.
LEAST_MARK = 2
#: Failures kept with their message per job; more are counted exactly and can be read in the results objects.
FAILURES_KEPT = 10_000
#: Characters kept of a failure's sentence; the results object has it whole.
MESSAGE_KEPT = 500
#: Chunks taken back in one call: bounds how long a script may block Redis.
REAP_LIMIT = 200
#: Jobs looked at in one call for such as expired, or as have ended although their counters do not say so.
SWEEP_LIMIT = 200
#: Between two such looks at the images of a job that has nothing pending: 40 ms for ten million of them at the worst.
AUDIT_S = 60
#: Of images that are not final although no list names a chunk of their job.
RECORD_LOST = ErrorInfo(
    "internal", "camq's record of this picture in Redis was damaged or removed; submit the picture again"
)
#: Deaths with the same chunk in hand before its pictures are looked at one by one. One may be chance.
CHARGES_TO_QUARANTINE = 2
#: Deaths of its worker, and of its own process outside its own work, before a picture in quarantine is failed. Well
#: above the deaths that chance brings. The pauses between twenty hand-backs add up to 58 minutes: a worker that cannot
#: start processes fails a healthy picture then, unless it is mended or another worker takes the picture meanwhile.
QUARANTINE_TRIES = 20
#: Between two of its tries: it doubles from one second up to this.
LONGEST_PAUSE_S = 300
#: Hand-backs of a chunk whose work raised what nobody foresaw before its pictures are looked at one by one, the pause
#: after the first (it doubles: 5, 10, 20, 40 s), and such hand-backs in quarantine before the picture fails.
RAISED_TO_QUARANTINE = 5
RAISED_PAUSE_S = 5
RAISED_IN_QUARANTINE = 2
#: Pictures of a job that failed so, with none that succeeded since, before the rest of it gets one attempt only.
RAISED_HOPELESS = 8
#: No reaper for this share of a lease means an outage: renewals may have failed as well ...
OUTAGE_SHARE = 0.4
#: ... and after it every holder gets this share of a lease to renew, twice the time between two renewals.
GRACE_SHARE = 0.5


class RedisFlow(LedgerSide):
    """A worker's side: claim, renew, commit, hand back, refill, reap."""

    def claim(self, message: ChunkMessage, token: str, worker: str) -> Claim | Refusal:
        """Own the chunk, or learn why not. `token` is unique to this call, so that it can be repeated; `worker` is the
        incarnation that is charged if it dies with the chunk in hand. NewerSchemaError, and nothing changes, when only
        a newer release can read the job; MessageError, and the chunk waits, when nobody can read its options."""
        answer = self.scripts(
            "claim", message.job, message.chunk, message.attempt, token, worker, self.settings.lease_s, SCHEMA_VERSION
        )
        if answer[0] == "newer":
            raise NewerSchemaError(f"job {message.job} was submitted by a newer release")
        if answer[0] != "claimed":
            return cast(Refusal, answer[0])
        return self._claim(message, answer[1:], token)

    def take(self, job: str, chunk: str, token: str, worker: str) -> Claim | Refusal:
        """Own the chunk without a hint, as its next attempt, or learn why not. Otherwise like `claim`."""
        answer = self.scripts("take", job, chunk, token, worker, self.settings.lease_s, SCHEMA_VERSION)
        if answer[0] == "newer":
            raise NewerSchemaError(f"job {job} was submitted by a newer release")
        if answer[0] != "claimed":
            return cast(Refusal, answer[0])
        return self._claim(ChunkMessage(job=job, chunk=chunk, attempt=int(answer[1])), answer[2:], token)

    def _claim(self, message: ChunkMessage, answer: Sequence[Any], token: str) -> Claim:
        options, model, priority, references, indices, quarantine, trace, digest, carried = answer
        claim = Claim(
            message,
            Options(),
            model,
            cast(Priority, priority),
            references,
            msgspec.json.decode(indices, type=tuple[int, ...]),
            bool(quarantine),
            trace=trace,
            token=token,
            digest=digest,
            carried=carried.encode(),
        )
        try:
            return replace(claim, options=decode(options or "", Options))
        except MessageError as error:
            fault = f"the options of job {message.job} cannot be read: {error}"
            self.release(claim, raised=fault)
            raise MessageError(fault) from None

    def renew(self, claims: Sequence[Claim]) -> list[Literal["held", "lost", "cancelled"]]:
        """Keep the leases of the chunks in hand."""
        if not claims:
            return []
        triples = [part for claim in claims for part in (claim.message.job, claim.message.chunk, claim.token)]
        return list(self.scripts("renew", self.settings.lease_s, *triples))

    def commit(
        self,
        claim: Claim,
        states: Sequence[ImageState],
        failures: Mapping[int, ErrorInfo],
        answer: Answer | None = None,
    ) -> None:
        """Count the chunk's images, one state each as in `Claim.indices`. LostLeaseError if it is not ours.

        An `answer` goes to whoever waits for the job, if the commit counts.
        """
        pairs = [part for index, error in failures.items() for part in (index, encode(_short(error)).decode())]
        colours = "".join(state.byte for state in states)
        message = claim.message
        sent = encode(answer).decode() if answer else ""
        found = self.scripts("commit", message.job, message.chunk, claim.token, colours, FAILURES_KEPT, sent, *pairs)
        if found == "miscounted":
            raise ValueError(f"attempt {message.task_id} has {len(colours)} states, not one for each image")
        if found != "ok":
            raise LostLeaseError(f"attempt {message.task_id} no longer owns its chunk")

    def release(self, claim: Claim, *, spent: bool = False, raised: str = "") -> None:
        """Hand the chunk back, uncharged. LostLeaseError if it is not ours.

        `spent`: the process of its quarantine ended, so it waits longer each time and is failed in the end.
        `raised`: what its work raised and nobody foresaw. It waits longer each time, then goes to quarantine, where
        a picture that raises again fails as `internal` with this text. After RAISED_HOPELESS such pictures in a row
        what else of the job raises fails at once.
        """
        message = claim.message
        why = "raised" if raised else "spent" if spent else "returned"
        bounds = (why, QUARANTINE_TRIES, LONGEST_PAUSE_S)
        kept = raised[:MESSAGE_KEPT]
        faults = (kept, RAISED_TO_QUARANTINE, RAISED_IN_QUARANTINE, RAISED_PAUSE_S, RAISED_HOPELESS)
        if self.scripts("release", message.job, message.chunk, claim.token, *bounds, *faults) != "ok":
            raise LostLeaseError(f"attempt {message.task_id} no longer owns its chunk")

    def refill(self, model: str) -> list[Hint]:
        """Hints to send now: the caller sends every one of them."""
        flat, broken = self.scripts("refill", model, self.settings.hint_s, CHUNKS_PER_SLOT, LEAST_MARK)
        if broken:
            import structlog  # a tenth of a second, which every command would pay

            structlog.get_logger().error("chunk records that cannot be read were left alone", chunks=broken)
        return [
            Hint(ChunkMessage(job=job, chunk=chunk, attempt=int(attempt)), model, priority)
            for job, chunk, attempt, priority in zip(*[iter(flat)] * 4, strict=True)
        ]

    def reap(self, model: str, *, high_empty: bool, bulk_empty: bool) -> Reaped:
        """Make pending again what was lost: leases that ran out, and overdue messages whose queue is empty or
        from which one sent later was claimed."""
        settings = self.settings
        outage = (settings.lease_s * OUTAGE_SHARE, settings.lease_s * GRACE_SHARE)
        times = (settings.lease_s, settings.hint_s)
        ends = (QUARANTINE_TRIES, LONGEST_PAUSE_S, SENDER_LEASE_S)
        empty = (int(high_empty), int(bulk_empty))
        answer = self.scripts("reap", model, *empty, REAP_LIMIT, *outage, CHARGES_TO_QUARANTINE, *times, *ends)
        flat = self.scripts("sweep", SWEEP_LIMIT, AUDIT_S, SCHEMA_VERSION, encode(RECORD_LOST).decode(), FAILURES_KEPT)
        lost = tuple(zip(flat[::2], flat[1::2], strict=True))
        with self.scripts.translated():
            cancelled = self.scripts.client.hkeys(keys.CANCELLING)
        for job in cancelled:  # whoever cancelled them was interrupted
            while self.scripts("cancel_images", job, CANCELLED_AT_ONCE):
                pass
        leases, hints, quarantined, broken = answer
        return Reaped(leases, hints, quarantined, tuple(broken), lost)


def _short(error: ErrorInfo) -> ErrorInfo:
    if len(error.message) <= MESSAGE_KEPT:
        return error
    return msgspec.structs.replace(error, message=error.message[: MESSAGE_KEPT - 1] + "…")
