"""Keeps the leases of the chunks in hand, and tells their images when to stop."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import LostLeaseError
from shared.ledger import Claim, RedisLedger
from worker.errors import CancelledJobError, HandBackError


class Lease:
    """One chunk in hand. `check` is called between the stages of each image, and while it waits."""

    def __init__(self, claim: Claim, keeper: "LeaseKeeper") -> None:
        self.claim = claim
        #: Once set it stays: nothing done for this attempt may count any more.
        self.lost = False
        self.cancelled = False
        self._keeper = keeper

    def check(self) -> None:
        """Raises LostLeaseError, CancelledJobError or HandBackError when the work is no longer wanted here."""
        self.check_held()
        if self.cancelled:
            raise CancelledJobError(f"job {self.claim.message.job} was cancelled")

    def check_held(self) -> None:
        """Like `check` while results are being written: a cancelled job is committed as such, not dropped."""
        if self.lost:
            raise LostLeaseError(f"attempt {self.claim.message.task_id} lost its lease")
        if self._keeper.overtime:
            raise HandBackError("the worker is stopping")


class LeaseKeeper:
    """All leases of this process."""

    def __init__(self, ledger: RedisLedger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._held: set[Lease] = set()
        self._drain_until: float | None = None

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Lease]:
        """The chunk's lease is renewed until the block ends; then its images still on their way stop."""
        lease = Lease(claim, self)
        with self._lock:
            self._held.add(lease)
        try:
            yield lease
        finally:
            lease.lost = True
            with self._lock:
                self._held.discard(lease)

    @property
    def held(self) -> int:
        """Chunks in hand."""
        return len(self._held)

    @property
    def draining(self) -> bool:
        """Whether the worker is stopping."""
        return self._drain_until is not None

    @property
    def overtime(self) -> bool:
        """Whether the grace period of a stop is over."""
        return self._drain_until is not None and time.monotonic() > self._drain_until

    def check_taking(self) -> None:
        """Raises HandBackError when the worker is stopping and takes no more chunks."""
        if self.draining:
            raise HandBackError("the worker is stopping")

    def drain(self, grace_s: float) -> None:
        """Chunks in hand may finish within the grace period; then they are handed back."""
        self._drain_until = time.monotonic() + grace_s

    def renew(self) -> None:
        """One round of renewals, called every few seconds."""
        with self._lock:
            leases = list(self._held)
        for lease, answer in zip(leases, self._ledger.renew([lease.claim for lease in leases]), strict=True):
            lease.lost |= answer == "lost"
            lease.cancelled |= answer == "cancelled"
