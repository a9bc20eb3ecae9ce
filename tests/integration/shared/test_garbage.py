"""Records in Redis and objects in the bucket that camq did not write: each is passed over, and hides nothing else."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from producer.cli.main import main
from producer.cli.parameters import recent_jobs
from producer.results.records import records
from producer.retention.delete import remove
from producer.services import Services
from shared import keys
from shared.config import Settings
from shared.contract import encode
from shared.errors import CamqError, UnknownJobError
from shared.ledger import RedisLedger
from tests.support.jobs.garbage import GARBAGE, NUMBERS
from tests.support.jobs.scripted_worker import CARD, MODEL, ScriptedWorker
from tests.support.jobs.submitting import CountingStore, pictures, send
from tests.support.servers.live_page import Ask, live_page

#: Fields that a job's record gets instead of its own; None removes one.
ROWS: list[dict[str, Any]] = [
    {"total": None},
    {"total": "9" * 5000},
    {"running": "1e3"},
    {"succeeded": "-1"},
    {"failed": str(10**300)},
    {"created_at": "1e300"},
    {"producer_seen_at": "soon"},
    {"finished_at": "inf"},
    {"run_at": "now"},
    {"pace": '{"at":1,"chunks":1,"old":[1,1,1]}', "run_at": "1"},
    {"tags": "{broken"},
    {"webhook": "http://x", "webhook_attempts": "many"},
    {"name": b"\xff\xfe"},
    {"model": b"\xff"},
]


@pytest.fixture
def page(services: Services) -> Iterator[Ask]:
    with live_page(services) as ask:
        yield ask


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the test's servers."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)


def camq(*arguments: str) -> int:
    """The command's exit status."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("fields", ROWS, ids=lambda fields: next(iter(fields)))
def test_a_record_that_camq_did_not_write_hides_no_other_job(
    services: Services,
    ledger: RedisLedger,
    worker: ScriptedWorker,
    page: Ask,
    capsys: pytest.CaptureFixture[str],
    fields: dict[str, Any],
) -> None:
    """Neither on the command's list, nor on the live page; the job itself is reported as damaged, or as it is."""
    good, bad = send(services, pictures(1)), send(services, pictures(1))
    for field, value in fields.items():
        if value is None:
            ledger.scripts.client.hdel(keys.JOB % bad, field)
        else:
            ledger.scripts.client.hset(keys.JOB % bad, field, value)

    assert good in [status.job for status in ledger.jobs(10)]
    assert camq("jobs", "--json") == 0
    assert good in capsys.readouterr().out
    overview = page("/?live")
    assert (overview.status, good in overview.data.decode()) == (200, True)
    assert camq("status", good) == 0
    assert camq("status", bad) in (0, 3)
    assert "bug in camq" not in capsys.readouterr().err


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("value", ["text", ["list"]], ids=["text", "list"])
def test_another_kind_of_value_hides_no_other_job(services: Services, ledger: RedisLedger, value: Any) -> None:
    """Where a job's hash should be."""
    good, bad = send(services, pictures(1)), send(services, pictures(1))
    client = ledger.scripts.client
    client.delete(keys.JOB % bad)
    client.set(keys.JOB % bad, value) if isinstance(value, str) else client.rpush(keys.JOB % bad, *value)

    assert [status.job for status in ledger.jobs(10)] == [good]
    with pytest.raises(UnknownJobError, match="its record is damaged"):
        ledger.status(bad)
    assert remove(ledger, services.store, bad).deleted.objects > 0
    assert not client.exists(keys.JOB % bad)


def test_a_heartbeat_or_a_card_that_camq_did_not_write_hides_no_worker(
    ledger: RedisLedger, worker: ScriptedWorker, page: Ask
) -> None:
    """A worker of such a line is not listed, and a model of such a card is not known."""
    client = ledger.scripts.client
    client.zadd(keys.WORKERS, {"other": 1})
    client.set(keys.WORKER % "other", b'{"worker":"\xff"')
    client.zadd(keys.MODELS, {"other@0123456789ab": 1})
    client.set(keys.MODEL % "other@0123456789ab", "[]")

    assert [info.worker for info in ledger.workers()] == [worker.info.worker]
    assert ledger.card("other@0123456789ab") is None
    assert page("/?live").status == 200


@pytest.mark.usefixtures("environment")
def test_nothing_from_redis_reaches_the_terminal_as_a_command(
    services: Services, ledger: RedisLedger, worker: ScriptedWorker, capfd: pytest.CaptureFixture[str]
) -> None:
    """Workers, jobs, JSON, warnings and completion show escape sequences, C1 and direction marks as text."""
    job = send(services, pictures(1))
    evil = "a\x1b]0;title\x07\x7f\x9b31m\u202egnp\nnext"
    info = msgspec.structs.replace(worker.info, worker="evil", host=evil, device=evil, models=(evil,))
    client = ledger.scripts.client
    client.zadd(keys.WORKERS, {"evil": 1})
    client.set(keys.WORKER % "evil", encode(info), ex=60)
    client.hset(keys.JOB % job, mapping={"name": evil, "model": evil})

    for arguments in (
        *(["workers", *more] for more in ([], ["--stages"], ["--json"])),
        *([*name, *more] for name in (["jobs"], ["status", job]) for more in ([], ["--json"])),
    ):
        assert camq(*arguments) == 0
    out, err = capfd.readouterr()
    (offered,) = recent_jobs(click.Context(click.Command("x")), click.Argument(["job"]), job)

    assert "title" in out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", out + err)
    assert not [line for line in out.splitlines() if line.startswith("next")]
    assert offered.help.isprintable()


@dataclass(frozen=True)
class Doors:
    """A finished job that must stay readable, and one whose records in Redis and in the bucket are replaced."""

    ledger: RedisLedger
    store: CountingStore
    page: Ask
    good: str
    bad: str

    def put(self, door: str, field: str, value: bytes) -> None:
        """Replaces what is behind the door."""
        client = self.ledger.scripts.client
        if door == "row":
            client.hset(keys.JOB % self.bad, field, value)
        elif door == "chunk":
            client.hset(keys.CHUNKS % self.bad, "000000", value)
        elif door == "failure":
            client.hset(keys.FAILURES % self.bad, "0", value)
        elif door == "card":
            client.zadd(keys.MODELS, {"other@0": 1})
            client.set(keys.MODEL % "other@0", value)
        elif door == "heartbeat":
            client.zadd(keys.WORKERS, {"other": 1})
            client.set(keys.WORKER % "other", value)
        else:
            at = keys.chunk_object if door == "references" else partial(keys.results_object, attempt=1)
            self.store.put(at(self.bad, "000000"), value)

    def look(self) -> None:
        """Readers see the good job, and of the other one at most an error that is explained."""
        assert self.good in [status.job for status in self.ledger.jobs(10)]
        assert self.ledger.status(self.good).succeeded == 1
        assert [record.index for record in records(self.ledger, self.store, self.good, threads=2)] == [0]
        assert MODEL in self.ledger.models()
        assert {info.worker for info in self.ledger.workers()} >= {f"hand-{CARD.name}"}
        for path in ("/?live", f"/jobs/{self.good}?live", f"/jobs/{self.good}/images"):
            assert self.page(path).status == 200
        with suppress(CamqError):
            self.ledger.status(self.bad)
        with suppress(CamqError):
            list(records(self.ledger, self.store, self.bad, threads=2))


@pytest.fixture
def doors(services: Services, store: CountingStore, worker: ScriptedWorker, page: Ask) -> Doors:
    good, bad = (send(services, pictures(1)) for _ in range(2))
    for job in (good, bad):
        worker.work_off(job)
    return Doors(services.ledger, store, page, good, bad)


@pytest.mark.parametrize("door", ["row", "chunk", "failure", "card", "heartbeat", "references", "results"])
def test_garbage_behind_any_door_harms_nobody_else(doors: Doors, worker: ScriptedWorker, door: str) -> None:
    """Whatever stands there: the other job, the lists and the live page go on, and no reader fails unexplained."""
    fields = sorted(doors.ledger.scripts.client.hkeys(keys.JOB % doors.bad)) if door == "row" else [""]

    @given(field=st.sampled_from(fields), value=GARBAGE | NUMBERS)
    @hypothesis_settings(max_examples=20 if door == "row" else 5, deadline=None, database=None)
    def check(field: str, value: bytes) -> None:
        worker.beat()
        doors.put(door, field, value)
        doors.look()

    check()
