"""`camq summary` of a job on a real ledger."""

import json
from contextlib import nullcontext

import pytest

from producer import Client
from producer.cli.main import main
from producer.services import Services
from shared.config import Settings
from shared.contract import JobSummary, decode
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore, send

pytestmark = pytest.mark.servers


def job(services: Services, worker: ScriptedWorker, **request: object) -> str:
    """Nine pictures of three classes, of which the worker knows the first, and one that is broken."""
    pairs = [(picture(colour=(n, 0, 0)), ("tench", "goldfish", "salt, sea")[n % 3]) for n in range(9)]
    found = send(services, [*pairs, (b"broken", "tench")], **request)
    worker.work_off(found)
    return found


def test_a_summary_is_of_every_result(services: Services, worker: ScriptedWorker, store: CountingStore) -> None:
    """From Python, in one pass over the results."""
    made = job(services, worker, truth="labels", options={"top_k": 2})
    client = Client(services.settings, store=store)

    found = client.job(made).summary()

    assert (found.images, found.failed, found.with_truth, found.k) == (10, 1, 9, 2)
    assert (found.top1, found.top_k) == (pytest.approx(3 / 9), pytest.approx(6 / 9))
    assert [(pair.truth, pair.predicted, pair.count) for pair in found.confusions] == [
        ("goldfish", "tench", 3),
        ("salt, sea", "tench", 3),
    ]
    client.close()


@pytest.fixture
def terminal(settings: Settings, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own services read the store of this test."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("producer.cli.commands.summary.services", lambda: nullcontext(services))


@pytest.mark.usefixtures("terminal")
def test_the_command_prints_tables_or_json(
    services: Services, worker: ScriptedWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON is the contract's; the tables name the worst class first."""
    made = job(services, worker, truth="labels")

    for arguments in (["summary", made], ["summary", made, "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    *lines, document = capsys.readouterr().out.splitlines()

    assert lines[:2] == [
        "10 images, 9 with ground truth, 1 failed",
        "accuracy: 33.3%, among the best 3: 66.7%; calibration error: 16.7%",
    ]
    assert [line.split() for line in lines[2:6]] == [
        ["least", "often", "found", "images", "recall", "precision"],
        ["goldfish", "3", "0.0%"],
        ["salt,", "sea", "3", "0.0%"],
        ["tench", "3", "100.0%", "33.3%"],
    ]
    found = decode(document, JobSummary)
    assert (found.job, found.top1) == (made, pytest.approx(1 / 3))
    assert json.loads(document)["suspects"] == []


@pytest.mark.usefixtures("terminal")
def test_without_ground_truth_it_says_how_to_give_it(
    services: Services, worker: ScriptedWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr; the JSON has nulls."""
    made = send(services, [picture()])
    worker.work_off(made)

    with pytest.raises(SystemExit) as ended:
        main(["summary", made, "--json"])

    captured = capsys.readouterr()
    assert ended.value.code == 0
    assert (json.loads(captured.out)["with_truth"], json.loads(captured.out)["top1"]) == (0, None)
    assert "no result has ground truth: submit with --truth folders" in captured.err
