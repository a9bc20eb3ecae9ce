"""The ledger in every interleaving that hypothesis can think of, on a real Redis with a simulated clock."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.ledger import RedisLedger
from shared.ledger.scripts import Scripts
from tests.ports.ledger_machine import CLOCK
from tests.ports.webhook_machine import WebhookMachine

pytestmark = pytest.mark.servers


def run(ledger: RedisLedger, *, examples: int, steps: int) -> None:
    ledger.scripts = Scripts(ledger.scripts.client, "the test's Redis", clock=CLOCK)
    bounds = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: WebhookMachine(ledger), settings=bounds)


def test_no_interleaving_loses_or_repeats_an_image(ledger: RedisLedger) -> None:
    """Counters, chunks and states agree after each step, stale attempts never commit, and every job can end."""
    run(ledger, examples=30, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_long_interleaving_does_either(ledger: RedisLedger) -> None:
    """The same, for longer."""
    run(ledger, examples=1000, steps=80)
