"""The ledger in every interleaving that hypothesis can think of, on a real Redis with a simulated clock."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.ledger import RedisLedger
from shared.ledger.scripts import Scripts
from tests.ports.ledger.again_machine import AgainMachine
from tests.ports.ledger.ledger_machine import CLOCK
from tests.ports.ledger.webhook_machine import WebhookMachine

pytestmark = pytest.mark.servers


MACHINES = (WebhookMachine, AgainMachine)


def run(machine: type[WebhookMachine | AgainMachine], ledger: RedisLedger, *, examples: int, steps: int) -> None:
    ledger.scripts = Scripts(ledger.scripts.client, "the test's Redis", clock=CLOCK)
    bounds = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: machine(ledger), settings=bounds)


def test_no_interleaving_loses_or_repeats_an_image(ledger: RedisLedger) -> None:
    """Counters, chunks and states agree after each step, stale attempts never commit, and every job can end."""
    run(WebhookMachine, ledger, examples=30, steps=40)


@pytest.mark.slow
def test_no_interleaving_mixes_two_jobs_of_one_id_or_deletes_what_is_used(ledger: RedisLedger) -> None:
    """Submissions, removals and collections stop at any step; workers of the removed job come back late."""
    run(AgainMachine, ledger, examples=30, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("machine", MACHINES)
def test_no_long_interleaving_does_either(machine: type[WebhookMachine | AgainMachine], ledger: RedisLedger) -> None:
    """The same, for longer."""
    run(machine, ledger, examples=1000, steps=80)
