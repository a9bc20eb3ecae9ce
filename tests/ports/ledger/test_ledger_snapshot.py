"""What a reader of a job's results asks the ledger for, on a real Redis."""

import pytest

from shared import keys
from shared.contract import ErrorInfo, ImageState
from shared.errors import UnknownJobError
from shared.ledger import RedisLedger
from shared.ledger.values import Snapshot
from tests.support.jobs.ledgers import MODEL, claim, submit

pytestmark = pytest.mark.servers

OK, BAD = ImageState.SUCCEEDED, ImageState.FAILED


def test_a_snapshot_is_what_the_single_questions_answer_in_one_round_trip(
    ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a job that has committed, failed and waiting images; of a job that is not there, or whose record camq did
    not write, it says so like them."""
    submit(ledger)
    hint, _ = ledger.refill(MODEL)
    ledger.commit(claim(ledger, hint), [OK, BAD, OK], {1: ErrorInfo("empty", "no bytes")})
    status = ledger.status("job")
    expected = Snapshot(
        name=status.name,
        tags=status.tags,
        options=ledger.options("job"),
        total=6,
        states=ledger.image_states("job"),
        failures=ledger.failures("job"),
        done=ledger.done("job"),
        submitted=ledger.submitted("job"),
    )
    monkeypatch.setattr(ledger.scripts.client, "execute_command", pytest.fail)

    assert ledger.snapshot("job") == expected
    with pytest.raises(UnknownJobError):
        ledger.snapshot("none")
    monkeypatch.undo()
    ledger.scripts.client.set(keys.JOB % "odd", "text", ex=60)
    with pytest.raises(UnknownJobError):
        ledger.snapshot("odd")
