"""Webhooks that are due, and what became of them."""

from collections.abc import Mapping
from typing import Literal, cast

from shared.contract import WebhookStatus
from shared.ledger.scripts import Scripts
from shared.ledger.values import WebhookCall
from shared.webhook import shown_webhook

#: A sender silent for this long has died. Longer than its try, the name server and the report together.
SENDER_LEASE_S = 60.0


class RedisWebhooks:
    """Implements `Webhooks`; see there."""

    scripts: Scripts

    def claim_webhook(self, lease_s: float) -> WebhookCall | None:
        """See `Webhooks.claim_webhook`."""
        answer = self.scripts("webhook_claim", lease_s)
        if not answer:
            return None
        job, url, end, attempt = answer
        return WebhookCall(job, url, end, int(attempt))

    def report_webhook(self, call: WebhookCall, fault: str | None, *, again_s: float, most_s: float) -> str:
        """See `Webhooks.report_webhook`."""
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
