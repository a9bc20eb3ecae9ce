"""Which model a submission asks for, whether anybody serves it, and who is told."""

import json

import msgspec
import pytest

from producer.cli.main import main
from producer.services import Services
from producer.submission.submit import Listener
from shared.config import Settings
from tests.support.jobs.scripted_worker import CARD, MODEL, ScriptedWorker
from tests.support.jobs.submitting import CountingStore, pictures, send


def test_a_job_for_a_model_nobody_serves_now_waits_with_a_notice(services: Services, worker: ScriptedWorker) -> None:
    """Its card is known, so the request can be checked all the same."""
    worker.leave()
    heard: list[str] = []

    job = send(services, pictures(1), Listener(notice=heard.append), model=CARD.name)

    assert services.ledger.status(job).model == MODEL
    assert heard == [f"no worker serves {MODEL} now; the job waits until one does"]


def test_the_status_of_a_job_says_that_nobody_serves_its_model(
    services: Services, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that `--json` stays JSON; as long as somebody serves it there is nothing to say."""
    job = send(services, pictures(1))
    for name, value in services.settings.environment().items():
        monkeypatch.setenv(name, value)
    heard = []
    for serve in (worker.beat, worker.leave):
        serve()
        with pytest.raises(SystemExit):
            main(["status", job, "--json"])
        heard.append(capsys.readouterr())

    assert [json.loads(said.out)["state"] for said in heard] == ["queued", "queued"]
    assert [said.err for said in heard] == ["", f"no worker serves {MODEL} now; the job waits for one\n"]


def test_a_model_that_the_settings_chose_is_said(
    settings: Settings, worker: ScriptedWorker, store: CountingStore
) -> None:
    """Whoever loaded an env file an hour ago may have forgotten what it names."""
    heard: list[str] = []
    with Services(msgspec.structs.replace(settings, model="tiny"), store=store) as services:
        send(services, pictures(1), Listener(chosen=heard.append))
        send(services, pictures(1), Listener(chosen=heard.append), model="tiny")

    assert heard == [f"model: {MODEL}, from CAMQ_MODEL"]
