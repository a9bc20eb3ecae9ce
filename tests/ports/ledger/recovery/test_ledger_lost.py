"""Lost messages behind a full queue, and the way of what is sent again."""

import pytest

from shared import keys
from shared.contract import ImageState
from shared.ledger import Reaped, RedisLedger
from shared.ledger.scripts import Scripts
from tests.ports.ledger.ledger_machine import CLOCK
from tests.support.jobs.ledgers import MODEL, claim, serve, submit

pytestmark = pytest.mark.servers

OK = ImageState.SUCCEEDED


def late(ledger: RedisLedger, *chunks: str, by: float = 60) -> None:
    """As if these hints had been sent that many seconds earlier."""
    for chunk in chunks:
        ledger.scripts.client.zincrby(keys.HINTS % (MODEL, "bulk"), -by, f"job/{chunk}")


def test_a_message_is_lost_when_one_sent_after_it_was_claimed(ledger: RedisLedger) -> None:
    """Queues are first in, first out; so a queue that never runs empty hides no loss."""
    submit(ledger, chunks=2)
    lost, following = ledger.refill(MODEL)
    late(ledger, lost.message.chunk)
    assert ledger.reap(MODEL, high_empty=False, bulk_empty=False) == Reaped(0, 0)
    claim(ledger, following)

    assert ledger.reap(MODEL, high_empty=False, bulk_empty=False) == Reaped(0, 1)
    assert [hint.message.attempt for hint in ledger.refill(MODEL)] == [2]


def test_messages_that_merely_wait_are_not_sent_again(ledger: RedisLedger) -> None:
    """Those sent after the claimed one may be overdue for as long as the worker is slow."""
    submit(ledger, chunks=2)
    first, waiting = ledger.refill(MODEL)
    late(ledger, first.message.chunk, by=100)
    claim(ledger, first)
    late(ledger, waiting.message.chunk)

    assert ledger.reap(MODEL, high_empty=True, bulk_empty=False) == Reaped(0, 0)


def test_what_is_sent_again_goes_first(ledger: RedisLedger) -> None:
    """Before other jobs' turns and in the queue that is emptied first: it has waited already."""
    serve(ledger, slots=2)
    submit(ledger, "job", chunks=9)
    submit(ledger, "other", chunks=9)
    held = ledger.refill(MODEL)[0]
    assert held.message.job == "job"
    ledger.release(claim(ledger, held))
    (again,) = ledger.refill(MODEL)

    assert (again.message.chunk, again.message.attempt, again.priority) == (held.message.chunk, 2, "high")
    claimed = claim(ledger, again, "t2")
    assert claimed.priority == "bulk"
    assert ledger.scripts.client.zcard(keys.HINTS % (MODEL, "high")) == 0


def test_late_reapers_do_not_grant_grace_for_ever(ledger: RedisLedger) -> None:
    """One that comes only every few minutes still takes back what was lost, at its second look."""
    submit(ledger, chunks=1)
    (hint,) = ledger.refill(MODEL)
    claim(ledger, hint)
    client = ledger.scripts.client
    taken = 0
    for _ in range(2):
        client.zadd(keys.LEASES, {"job/000000": 1.0})
        note = client.get(keys.REAPED)
        if note:
            client.set(keys.REAPED, f"1.0{note.partition(' ')[1] and ' grace'}", ex=60)
        else:
            client.set(keys.REAPED, "1.0", ex=60)
        taken += ledger.reap(MODEL, high_empty=True, bulk_empty=True).leases

    assert taken == 1


def test_a_commit_must_have_one_state_for_each_image(ledger: RedisLedger) -> None:
    """A short one would shift every image behind it."""
    submit(ledger, chunks=2)
    hint, _ = ledger.refill(MODEL)
    mine = claim(ledger, hint)
    with pytest.raises(ValueError, match="2 states"):
        ledger.commit(mine, [OK, OK], {})

    ledger.commit(mine, [OK, OK, OK], {})
    assert len(ledger.image_states("job")) == 6


def test_a_clock_set_back_before_any_reaper_looked_delays_nothing(ledger: RedisLedger) -> None:
    """Nobody noted the time but those who set deadlines; a lease, and a message, would outlast the difference."""
    client = ledger.scripts.client
    ledger.scripts = Scripts(client, "the test's Redis", clock=CLOCK)
    client.set("test:now", 10_000)
    submit(ledger, chunks=2)
    first, _ = ledger.refill(MODEL)
    claim(ledger, first, worker="dead")
    found = []
    lease_s, hint_s = ledger.settings.lease_s, ledger.settings.hint_s
    for seconds in (0, lease_s + 1, 2 * lease_s + hint_s):  # the second look finds an outage, and gives a grace
        client.set("test:now", 6_000 + seconds)
        found.append(ledger.reap(MODEL, high_empty=True, bulk_empty=True))

    assert found[0] == Reaped(0, 0, 0)
    assert (sum(look.leases for look in found), sum(look.hints for look in found)) == (1, 1)
