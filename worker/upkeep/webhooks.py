"""Tells other programs that a job has ended: signed, to allowed hosts only, tried again for a day."""

import base64
import binascii
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec
import structlog
import urllib3
from standardwebhooks import Webhook

from shared.checks.destinations import check_webhook, shown_webhook
from shared.config import Settings
from shared.contract import JobStatus, encode
from shared.errors import CamqError, UnknownJobError, UsageError
from shared.ledger import RedisLedger, WebhookCall
from shared.ledger.webhooks import SENDER_LEASE_S
from shared.storage.http import trusted_roots
from shared.storage.timed import POOLS, Attempt

log = structlog.get_logger()

EVENT = "job.finished"
#: For the whole of one try. A receiver that needs longer should answer first and work afterwards.
TRY_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0
#: A receiver that was away for a night gets its webhook all the same; after this time none is sent.
GIVE_UP_S = 24 * 3600.0
#: What the specification asks of a key, in bytes.
KEY_BYTES = range(24, 65)
_MOST_REASON = 200
_LATE = f"TimeoutError: no complete answer within {TRY_S:g} s"
#: Tries at once of one worker: slow receivers do not keep the others waiting.
SENDERS = 8


class WebhookSender:
    """One in every worker; the ledger gives each webhook that is due to one of them."""

    def __init__(self, ledger: RedisLedger, settings: Settings, count: Callable[[str], None]) -> None:
        """`count` is called with each outcome. Raises UsageError for a secret that cannot be one."""
        self._ledger = ledger
        self._hosts = settings.webhook_hosts
        self._signer = signer(settings.webhook_secret)
        self._count = count
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=TRY_S),
            retries=False,  # the ledger counts the tries, and spreads them over a day
            cert_reqs="CERT_REQUIRED",
            ca_certs=trusted_roots(),
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"camq/{version('camq')}",
                "Connection": "close",  # each try opens its own, which ends with it
            },
        )
        self._http.pool_classes_by_scheme = dict(POOLS)

    def send_due(self) -> None:
        """Send every webhook that is due, several at once."""
        call = self._ledger.claim_webhook(SENDER_LEASE_S)
        if call is None:
            return
        helpers = [threading.Thread(target=self._help, name="webhook", daemon=True) for _ in range(SENDERS - 1)]
        for helper in helpers:
            helper.start()
        self._send_all(call)
        for helper in helpers:
            helper.join()

    def _help(self) -> None:
        try:
            self._send_all(self._ledger.claim_webhook(SENDER_LEASE_S))
        except CamqError as error:  # what it had claimed is due again when its lease ends
            log.warning("webhooks are left for later", reason=str(error))

    def _send_all(self, call: WebhookCall | None) -> None:
        while call is not None:
            self._send(call)
            call = self._ledger.claim_webhook(SENDER_LEASE_S)

    def _send(self, call: WebhookCall) -> None:
        try:
            status = self._ledger.status(call.job)
        except UnknownJobError:
            return
        fault = self._fault(call, status)
        again_s = wait_s(call.attempt)
        state = self._ledger.report_webhook(call, fault, again_s=again_s, most_s=GIVE_UP_S)
        outcome = {"waiting": "retried", "stale": "outdated"}.get(state, state)
        self._count(outcome)
        told = {"job": call.job, "url": shown_webhook(call.url), "attempt": call.attempt}
        if fault is None:
            log.info("webhook delivered", **told)
        elif state == "failed":
            log.error("webhook given up", reason=fault, **told)
        else:
            log.warning("webhook not delivered", reason=fault, again_s=round(again_s), **told)

    def _fault(self, call: WebhookCall, status: JobStatus) -> str | None:
        """Sends; why that failed, or None. Nothing of the URL's query is in the reason."""
        try:
            check_webhook(call.url, self._hosts)
        except UsageError as error:
            return str(error)
        if self._signer is None:
            return "CAMQ_WEBHOOK_SECRET is not set for the workers, so nothing can be signed"
        body = encode({"type": EVENT, **msgspec.structs.asdict(status)})
        headers = {**self._http.headers, **signed(self._signer, webhook_id(call), body)}
        with Attempt(TRY_S) as this:
            try:
                answer = self._http.request(
                    "POST", call.url, body=body, headers=headers, redirect=False, preload_content=False
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                reason = f"{type(error).__name__}: {str(error).rpartition(': ')[2]}"[:_MOST_REASON]
                return _LATE if this.is_over.is_set() else reason
        answer.close()  # its body is of no interest, however long
        if this.is_over.is_set():  # its headers were cut off
            return _LATE
        redirects = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        return None if 200 <= answer.status < 300 else f"HTTP {answer.status}{redirects}"


def webhook_id(call: WebhookCall) -> str:
    """The same for every try to tell this end, so that a receiver can drop doubles; another for the next end."""
    return f"{call.job}-{call.end.replace('.', '')}"


def signed(webhook: Webhook, name: str, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks (https://www.standardwebhooks.com)."""
    now = datetime.now(UTC)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.sign(name, now, body.decode()),
    }


def signer(secret: str) -> Webhook | None:
    """What signs with `secret`; None without one. Raises UsageError, which does not quote it."""
    if not secret:
        return None
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in KEY_BYTES:
        raise UsageError(
            f"CAMQ_WEBHOOK_SECRET must be {KEY_BYTES[0]} to {KEY_BYTES[-1]} bytes in base64:"
            " take the output of `openssl rand -base64 32`"
        )
    return Webhook(key)


def wait_s(attempt: int) -> float:
    """Seconds after this failed attempt: doubling from 5 s to an hour, up to half of it less, at random."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt - 1, 12))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing
