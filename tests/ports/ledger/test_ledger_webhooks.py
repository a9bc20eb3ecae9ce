"""The ledger knows who is to be told of which end, and sees to it that one sender at a time does."""

import pytest

from shared import keys
from shared.contract import ImageState, Options, WebhookStatus
from shared.errors import UsageError
from shared.ledger import NewChunk, RedisLedger, WebhookCall
from shared.ledger.scripts import Scripts
from shared.ledger.webhooks import SENDER_LEASE_S
from tests.ports.ledger.ledger_machine import CLOCK
from tests.support.jobs.ledgers import MODEL, claim, enter

pytestmark = pytest.mark.servers

URL = "https://hooks.example.com/camq?token=t0ken"
OK, BAD = ImageState.SUCCEEDED, ImageState.FAILED
DAY = 86400.0


def submit(ledger: RedisLedger, webhook: str | None = URL) -> None:
    ledger.open_job("job", model=MODEL, options=Options(), priority="high", name=None, webhook=webhook)
    enter(ledger, "job", NewChunk("000000", 0, 2, "digest"))
    ledger.seal("job")


def work_off(ledger: RedisLedger, state: ImageState = OK) -> None:
    (hint,) = ledger.refill(MODEL)
    claimed = claim(ledger, hint)
    ledger.commit(claimed, [state] * len(claimed.indices), {})


def due(ledger: RedisLedger, lease_s: float = 60) -> WebhookCall:
    call = ledger.claim_webhook(lease_s)
    assert call is not None
    return call


def seen(ledger: RedisLedger) -> WebhookStatus:
    found = ledger.status("job").webhook
    assert found is not None
    return found


def test_a_webhook_is_due_when_the_job_has_ended_and_not_before(ledger: RedisLedger) -> None:
    """The status says where it stands, without the query."""
    submit(ledger)
    assert ledger.claim_webhook(60) is None
    assert seen(ledger) == WebhookStatus(url="https://hooks.example.com/camq", state="waiting", attempts=0, reason=None)
    work_off(ledger)
    call = due(ledger)
    assert (call.job, call.url, call.attempt) == ("job", URL, 1)
    assert ledger.report_webhook(call, None, again_s=5, most_s=DAY) == "delivered"

    assert ledger.claim_webhook(60) is None
    assert (seen(ledger).state, seen(ledger).attempts) == ("delivered", 1)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_every_kind_of_end_is_told(end: str, ledger: RedisLedger) -> None:
    """A cancelled job ends too."""
    submit(ledger)
    if end == "failed":
        work_off(ledger, BAD)
    else:
        ledger.cancel("job")

    assert due(ledger).job == "job"
    assert ledger.status("job").state == end


def test_a_job_without_a_webhook_is_never_due(ledger: RedisLedger) -> None:
    """And its status says null."""
    submit(ledger, None)
    work_off(ledger)

    assert ledger.claim_webhook(60) is None
    assert ledger.status("job").webhook is None


def test_one_sender_at_a_time_and_a_dead_one_is_replaced(ledger: RedisLedger) -> None:
    """The late failure of the first is nobody's news; its late success is."""
    submit(ledger)
    work_off(ledger)
    first = due(ledger, lease_s=1e-6)
    second = due(ledger)
    assert ledger.claim_webhook(60) is None
    assert (second.end, second.attempt) == (first.end, 2)

    assert ledger.report_webhook(first, "HTTP 503", again_s=0, most_s=DAY) == "stale"
    assert ledger.claim_webhook(60) is None
    assert ledger.report_webhook(first, None, again_s=0, most_s=DAY) == "delivered"
    assert ledger.report_webhook(second, "HTTP 503", again_s=0, most_s=DAY) == "stale"
    assert seen(ledger).state == "delivered"


def test_what_failed_is_due_again_until_it_is_given_up(ledger: RedisLedger) -> None:
    """The reason of the last try stays to be read."""
    submit(ledger)
    work_off(ledger)
    assert ledger.report_webhook(due(ledger), "HTTP 503", again_s=60, most_s=DAY) == "waiting"
    assert ledger.claim_webhook(60) is None
    assert seen(ledger) == WebhookStatus(
        url="https://hooks.example.com/camq", state="waiting", attempts=1, reason="HTTP 503"
    )
    ledger.scripts.client.zadd(keys.WEBHOOKS, {"job": 0})
    assert ledger.report_webhook(due(ledger), "HTTP 500", again_s=DAY + 60, most_s=DAY) == "failed"

    assert ledger.claim_webhook(60) is None
    assert (seen(ledger).state, seen(ledger).attempts, seen(ledger).reason) == ("failed", 2, "HTTP 500")


def test_a_retried_job_that_ends_again_tells_it_again(ledger: RedisLedger) -> None:
    """As another end; what is still on its way for the first one changes nothing."""
    submit(ledger)
    work_off(ledger, BAD)
    first = due(ledger)
    ledger.retry("job", [0, 1])
    assert ledger.report_webhook(first, None, again_s=5, most_s=DAY) == "stale"
    assert (ledger.claim_webhook(60), seen(ledger).attempts) == (None, 0)
    work_off(ledger)
    again = due(ledger)

    assert again.end != first.end
    assert ledger.report_webhook(first, None, again_s=5, most_s=DAY) == "stale"
    assert ledger.report_webhook(again, None, again_s=5, most_s=DAY) == "delivered"


def test_a_removed_job_tells_nobody(ledger: RedisLedger) -> None:
    """Its entry goes with it."""
    submit(ledger)
    work_off(ledger)
    call = due(ledger)
    ledger.remove("job")

    assert ledger.scripts.client.zcard(keys.WEBHOOKS) == 0
    assert ledger.report_webhook(call, "HTTP 503", again_s=0, most_s=DAY) == "stale"
    assert ledger.claim_webhook(60) is None


def test_an_entry_of_a_job_that_is_gone_is_dropped(ledger: RedisLedger) -> None:
    """Jobs expire, and nothing in the due ones may block those behind it."""
    submit(ledger)
    work_off(ledger)
    ledger.scripts.client.zadd(keys.WEBHOOKS, {"expired": 0})

    assert due(ledger).job == "job"
    assert ledger.scripts.client.zscore(keys.WEBHOOKS, "expired") is None


def test_the_same_id_with_another_webhook_is_another_request(ledger: RedisLedger) -> None:
    """It would silently not be told."""
    submit(ledger)
    submit(ledger)
    with pytest.raises(UsageError, match="webhook"):
        submit(ledger, "https://hooks.example.com/other")


@pytest.mark.parametrize(("what", "back_to"), [("due", 996_400), ("being sent", 1_000_050), ("failed", 1_000_150)])
def test_a_clock_that_was_set_back_delays_a_webhook_by_a_sender_s_lease_at_most(
    what: str, back_to: int, ledger: RedisLedger
) -> None:
    """Nobody else noted the time: its deadline alone tells the first reaper that the clock is behind."""
    client = ledger.scripts.client
    ledger.scripts = Scripts(client, "the test's Redis", clock=CLOCK)
    client.set("test:now", 1_000_000)
    submit(ledger)
    ledger.cancel("job")
    if what != "due":
        client.set("test:now", 1_000_100)
        call = due(ledger)
        client.set("test:now", 1_000_200)
        if what == "failed":
            ledger.report_webhook(call, "HTTP 503", again_s=1800, most_s=DAY)
    client.set("test:now", back_to)
    ledger.reap(MODEL, high_empty=True, bulk_empty=True)

    assert client.zscore(keys.WEBHOOKS, "job") <= back_to + SENDER_LEASE_S
    client.delete("test:now")
