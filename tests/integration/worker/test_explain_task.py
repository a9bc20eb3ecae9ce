"""`camq.explain` on a real ledger: what is refused, what is answered, and that a call is never done twice."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
import redis

from producer.results.records import records
from shared import keys
from shared.broker import worker_queues
from shared.config import Settings
from shared.contract import ErrorInfo, ImageRecord, Options, WorkerInfo
from shared.errors import UnreachableError, UsageError
from shared.ledger import Claim, RedisLedger
from shared.storage import MemoryStore
from tests.support.jobs.ledgers import submit
from tests.support.jobs.scripted_worker import MODEL
from tests.support.worker.call_worker import KEY, TASK, Desk
from worker.chunk.pipeline import Outcome

INPUT = f"inputs/ab/{'ab' * 32}"


@pytest.fixture
def ledger(settings: Settings, empty_redis: redis.Redis) -> Iterator[RedisLedger]:
    with closing(RedisLedger(settings)) as made:
        yield made


@pytest.fixture
def desk(ledger: RedisLedger) -> Iterator[Desk]:
    store = MemoryStore()
    store.ensure_bucket()
    made = Desk(ledger, store)
    yield made
    made.pipeline.close()


def line(desk: Desk) -> ImageRecord:
    """What `camq results` would print."""
    (found,) = records(desk.ledger, desk.store, f"explain-{TASK}")
    return found


def test_a_call_is_a_job_of_one_image_and_its_answer_the_result_line(desk: Desk) -> None:
    """Labels work as in the command; the job says what it is."""
    answer = desk.run(top_k=2, classes=["tabby", 0])
    status = desk.ledger.status(f"explain-{TASK}")

    assert answer == line(desk)
    assert (answer.source, answer.state, answer.model) == (KEY, "succeeded", MODEL)  # type: ignore[union-attr]
    assert (status.total, status.state, status.name) == (1, "succeeded", "camq.explain")
    assert desk.ledger.options(f"explain-{TASK}").classes == (2, 0)


def test_a_failed_image_is_an_answer(desk: Desk) -> None:
    """With its code, as in the results."""
    answer = desk.run(key="s3://pictures/broken.jpg")

    assert isinstance(answer, ImageRecord)
    assert answer.error == ErrorInfo("not_an_image", "no picture")


def test_the_same_message_again_finds_its_answer(desk: Desk) -> None:
    """Nothing is computed a second time; another picture under the same id is refused."""
    assert desk.run() == desk.run()
    assert desk.explainer.done == [KEY]
    with pytest.raises(UsageError, match="another picture"):
        desk.run(key="s3://pictures/dog.jpg")
    with pytest.raises(UsageError, match="other options"):
        desk.run(top_k=1)


def test_a_picture_that_was_uploaded_may_be_named_by_its_key(desk: Desk) -> None:
    """As in the references of a job."""
    assert isinstance(desk.run(key=INPUT), ImageRecord)
    assert desk.explainer.done == [INPUT]


def test_a_call_goes_back_while_inputs_of_any_age_are_deleted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waited out here, the call would keep its slot."""
    monkeypatch.setattr("worker.chunk.explain_task.DELETION_S", 0)
    with desk.ledger.collecting():
        assert desk.run(key=INPUT) is Outcome.NOT_TAKEN

    assert isinstance(desk.run(key=INPUT), ImageRecord)


def test_of_two_calls_with_one_id_the_refused_one_has_changed_nothing(desk: Desk) -> None:
    """Both found the id unused; the second to reserve the chunk writes no reference over the first's."""
    reserve = desk.ledger.reserve

    def overtaken(*args: Any) -> bool:
        desk.ledger.reserve = reserve  # type: ignore[method-assign]
        desk.run(key="s3://pictures/dog.jpg")
        return reserve(*args)

    desk.ledger.reserve = overtaken  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="other pictures"):
        desk.run()

    assert line(desk).source == "s3://pictures/dog.jpg"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"key": None}, "needs key"),
        ({"key": 5}, "needs key"),
        ({"key": "cat.jpg"}, "needs key"),
        ({"key": "inputs/../secret"}, "needs key"),
        ({"key": f"jobs/x/results/{'a' * 8}"}, "needs key"),
        ({"key": "s3://elsewhere/cat.jpg"}, "CAMQ_INPUT_PREFIXES"),
        ({"key": "s3://pictures/../elsewhere/x"}, "not an object key"),
        ({"key": "s3://pictures"}, "not an object key"),
        ({"key": "s3://pictures/" + "a" * 2000}, "too long"),
        ({"key": "s3://pictures/\ud800"}, "no text"),
        ({"top_k": 0}, "at least 1"),
        ({"top_k": "3"}, "invalid top_k '3'"),
        ({"tpo_k": 3}, "did you mean top_k"),
        ({"job": "x"}, "unknown option 'job'"),
        ({"classes": [[1]]}, "indices or labels"),
        ({"classes": {"a": 1}}, "indices or labels"),
        ({"classes": [True]}, "indices or labels"),
        ({"classes": "dog"}, "no class 'dog'"),
        ({"method": ["cam"]}, "invalid method"),
        ({"alpha": 2}, "invalid alpha 2"),
        ({"page": 0}, "page 0 is not allowed: give a whole number from 1"),
        ({"page": "2"}, "page 2 is not allowed"),
        ({"page": 10**30}, "page 10{30} is not allowed"),
        ({"page": True}, "page True is not allowed"),
    ],
)
def test_a_bad_call_is_refused_and_leaves_nothing(given: dict[str, object], says: str, desk: Desk) -> None:
    """One sentence says what is wrong."""
    with pytest.raises(UsageError, match=says):
        desk.run(**given)

    assert desk.ledger.jobs(10) == []
    assert list(desk.store.list("")) == []


@pytest.mark.parametrize("task", ["", "a/b", "a.b", "x" * 57, "é"])
def test_a_task_id_that_is_none_is_refused(task: str, desk: Desk) -> None:
    """It becomes a part of keys."""
    with pytest.raises(UsageError, match="task id"):
        desk.run(task)


def test_a_stopping_worker_gives_the_call_back(desk: Desk) -> None:
    """Another one takes it; nothing was begun."""
    desk.keeper.drain(60)

    assert desk.run() is Outcome.NOT_TAKEN
    other = Desk(desk.ledger, desk.store, "w2")
    assert isinstance(other.run(), ImageRecord)
    other.pipeline.close()
    assert desk.explainer.done == []


def test_a_call_that_another_worker_holds_is_left_to_it(desk: Desk) -> None:
    """A message that comes twice at once is worked on once."""
    job = desk.begin()
    assert isinstance(desk.ledger.take(job, "000000", "token", "other"), Claim)

    assert desk.run() is Outcome.SKIPPED
    assert desk.explainer.done == []


def test_when_its_worker_died_whoever_commits_the_image_answers(desk: Desk, settings: Settings) -> None:
    """The call's message comes again in an hour at best; the ledger sends the chunk within seconds."""
    job = desk.begin()
    with closing(RedisLedger(msgspec.structs.replace(settings, lease_s=1e-6))) as hasty:
        assert isinstance(hasty.take(job, "000000", "token", "dead"), Claim)
    assert desk.calls.answer(job) is None
    desk.ledger.reap(MODEL, high_empty=True, bulk_empty=True)
    (hint,) = desk.ledger.refill(MODEL)
    assert desk.pipeline.run(hint.message) is Outcome.DONE

    assert desk.calls.answer(job) == (TASK, line(desk))
    assert desk.run() == line(desk)
    assert desk.explainer.done == [KEY]


def test_an_answer_outlives_a_blip_of_storage(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its caller waits until the message of the dead worker is delivered again, which takes an hour."""
    desk.run()
    get, blips = desk.store.get, [UnreachableError("storage is away")]

    def blipping(key: str, most: int | None = None) -> bytes:
        if blips:
            raise blips.pop()
        return get(key, most)

    monkeypatch.setattr(desk.store, "get", blipping)

    assert desk.calls.answer(f"explain-{TASK}") == (TASK, line(desk))
    assert blips == []


def test_a_submission_that_broke_off_is_resumed(desk: Desk) -> None:
    """Its worker died between two steps."""
    job = f"explain-{TASK}"
    desk.ledger.open_job(job, model=MODEL, options=Options(), priority="high", name="camq.explain")

    assert isinstance(desk.run(), ImageRecord)
    assert desk.ledger.status(job).sealed


def test_a_cancelled_call_says_so(desk: Desk) -> None:
    """As its line in the results does."""
    job = desk.begin()
    desk.ledger.cancel(job)

    answer = desk.run()
    assert isinstance(answer, ImageRecord)
    assert (answer.state, answer.source, answer.error) == ("cancelled", KEY, None)
    assert answer == line(desk)


def test_another_model_of_the_same_name_finds_the_answer_and_does_not_work(desk: Desk) -> None:
    """Workers with other weights share the queue; a call belongs to the model that began it."""
    other = Desk(desk.ledger, desk.store, "w2", model="tiny@ffffffffffff")
    answer = desk.run()

    assert other.run() == answer
    assert other.explainer.done == []
    other.pipeline.close()


def test_a_call_survives_the_roll_over_to_another_model(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun for a model whose workers then left: it goes back while one of them lives, and is refused after that."""
    monkeypatch.setattr("worker.chunk.explain_task.DELETION_S", 0)
    old = WorkerInfo(worker="old", host="h", pid=1, device="cpu", models=(MODEL,), state="draining")
    desk.ledger.beat(old)
    desk.ledger.open_job(f"explain-{TASK}", model=MODEL, options=Options(), priority="high", name="camq.explain")
    new = Desk(desk.ledger, desk.store, "w2", model="tiny@ffffffffffff")
    assert new.run() is Outcome.NOT_TAKEN
    desk.ledger.leave(old)
    with pytest.raises(UsageError, match=f"begun for {MODEL}, which no worker serves any more; call again"):
        new.run()
    new.pipeline.close()


def test_a_job_of_somebody_else_is_nobody_s_call(desk: Desk) -> None:
    """Neither by its id alone nor by its name alone."""
    submit(desk.ledger, "explain-mine")
    submit(desk.ledger, "other")

    assert desk.calls.answer("explain-mine") is None
    assert desk.calls.answer("other") is None


def test_the_queue_is_known_without_the_digest() -> None:
    """An outsider knows the model's name."""
    assert keys.explain_queue("tiny") == "camq.explain.tiny"
    assert [queue.name for queue in worker_queues(MODEL)] == [
        f"camq.{MODEL}.high",
        "camq.explain.tiny",
        f"camq.{MODEL}.bulk",
    ]
