"""Webhooks that are due, and what became of them."""

from collections.abc import Mapping
from typing import Literal, cast

from shared.checks.destinations import shown_webhook
from shared.contract import WebhookStatus
from shared.ledger.scripts import LedgerSide
from shared.ledger.values import WebhookCall

#: A sender silent for this long has died. Longer than its try, the name server and the report together.
SENDER_LEASE_S = 60.0


class RedisWebhooks(LedgerSide):
    """Webhooks that are due, for any worker to send."""

    def claim_webhook(self, lease_s: float) -> WebhookCall | None:
        """One that is due, if any; it is due again after `lease_s`, should its sender not report."""
        answer = self.scripts("webhook_claim", lease_s)
        if not answer:
            return None
        job, url, end, attempt = answer
        return WebhookCall(job, url, end, int(attempt))

    def report_webhook(self, call: WebhookCall, fault: str | None, *, again_s: float, most_s: float) -> str:
        """What became of it: `delivered`, `waiting` (for the next try in `again_s`), `failed` (that would be more
        than `most_s` after the job's end) or `stale` (the job went on, or another sender took over)."""
        return str(self.scripts("webhook_report", call.job, call.end, call.attempt, fault or "", again_s, most_s))


def webhook_of(row: Mapping[str, str]) -> WebhookStatus | None:
    """What a job's hash says of its webhook; None when it has none."""
    if "webhook" not in row:
        return None
    return WebhookStatus(
        url=shown_webhook(row["webhook"]),
        state=cast(Literal["waiting", "delivered", "failed"], row.get("webhook_state", "waiting")),
        attempts=int(row.get("webhook_attempts", 0)),
        reason=row.get("webhook_reason"),
    )
