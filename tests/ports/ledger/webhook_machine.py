"""The model of the ledger, with workers that tell of a job's end."""

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from shared import keys
from shared.ledger import RedisLedger, WebhookCall
from tests.ports.ledger.ledger_machine import PICK, LedgerMachine


class WebhookMachine(LedgerMachine):
    """Senders that fail, die and report late, between everything else that happens."""

    def __init__(self, ledger: RedisLedger) -> None:
        super().__init__(ledger)
        self.calls: list[WebhookCall] = []
        self.told: set[str] = set()

    @rule(taken=st.booleans(), lease_s=st.sampled_from((1, 60)))
    def tell(self, taken: bool, lease_s: float) -> None:
        call = self.ledger.claim_webhook(lease_s)
        if call is not None:
            assert self.ledger.status(call.job).state.finished
            self.calls.append(call)
            self.report(call, taken)

    @precondition(lambda self: self.calls)
    @rule(pick=PICK, taken=st.booleans())
    def report_late(self, pick: int, taken: bool) -> None:
        self.report(self.calls[pick % len(self.calls)], taken)

    def report(self, call: WebhookCall, taken: bool) -> None:
        known = call.end in self.told
        answer = self.ledger.report_webhook(call, None if taken else "HTTP 503", again_s=5, most_s=120)
        if answer == "delivered":
            assert taken
            assert not known, "one end was delivered twice"
            self.told.add(call.end)

    @invariant()
    def an_end_waits_to_be_told_or_was(self) -> None:
        for job in self.sizes:
            status = self.ledger.status(job)
            waits = status.webhook is not None and status.state.finished and status.webhook.state == "waiting"
            assert waits == (self.redis.zscore(keys.WEBHOOKS, job) is not None)
