"""Much work for few hands: a small job is not kept waiting, and neither Redis nor memory grows."""

import msgspec
import psutil
import pytest

from producer import Client
from shared import keys
from shared.config import Settings
from shared.ledger import RedisLedger
from tests.chaos.fleet import picture
from tests.faults.conftest import READY_S, Start
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(240)]

MANY = 10_000
#: Images of the bulk job that may be finished while the small job is in the worker: the chunks in hand when it
#: came, and a few micro-batches more.
SLOTS, CHUNK, BATCH = 3, 8, 16
FEW = SLOTS * CHUNK + 6 * BATCH


def test_one_picture_is_answered_within_a_few_micro_batches_of_a_job_of_10_000(
    fast: Settings, ledger: RedisLedger, client: Client, start: Start
) -> None:
    """Counted in images of the other job, not in seconds, so that it holds on any machine. Meanwhile the broker
    holds few messages and the worker's memory stays."""
    settings = msgspec.structs.replace(fast, max_batch_size=BATCH, chunks_in_flight=SLOTS)
    worker = start(settings)
    few = [picture(n) for n in range(50)]
    bulk = client.submit(few * (MANY // len(few)), top_k=1, overlay_size=32)
    wait_until(lambda: bulk.status().done > 200, "the long job runs", READY_S)
    process = psutil.Process(worker.pid)
    memory, redis = process.memory_info().rss, ledger.scripts.client
    (model,) = ledger.workers()[0].models

    def messages() -> int:
        waiting = sum(redis.llen(keys.queue(model, priority)) for priority in ("high", "bulk"))
        return waiting + redis.hlen("unacked")

    held, passed = [], []
    for number in range(5):
        before = bulk.status().done
        single = client.submit([picture(1000 + number)], top_k=1)
        wait_until(lambda: held.append(messages()) or single.status().state.finished, "the answer", READY_S)  # noqa: B023
        passed.append(bulk.status().done - before)
    bulk.cancel()

    assert sorted(passed)[2] <= FEW, passed
    assert max(held) <= 2 * SLOTS * 2 + SLOTS + 2, held
    assert process.memory_info().rss < memory + 200_000_000
    assert wait_until(lambda: bulk.status().state.finished, "the cancelled job ends", READY_S)
