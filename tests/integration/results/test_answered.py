"""A lone picture's result and overlay come with the commit: whoever waited for it asks storage for nothing."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from producer import Job
from producer.services import Services
from shared import keys
from shared.config import Settings
from shared.contract import Answer, ImageState, decode, encode, encode_lines
from shared.errors import LostLeaseError, UnreachableError
from shared.ledger import Claim, RedisLedger
from tests.support.jobs.ledgers import MODEL, claim, submit
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import Requests, pictures, send
from tests.support.worker.chunk_desk import MESSAGE, Desk
from worker.chunk.pipeline import Outcome
from worker.image.lone import MOST_SENT, Lone

servers = pytest.mark.servers
OVERLAY = keys.overlay_object("job", 0, 1, "jpg")


@servers
def test_an_answer_comes_with_the_commit_that_counts(ledger: RedisLedger) -> None:
    """And not with one that came too late."""
    submit(ledger, chunks=1, size=1, priority="high")
    heard: list[str] = []
    news = ledger.wait_for_news("job", heard.append)
    next(news)
    held = claim(ledger, *ledger.refill(MODEL), token="right")
    answer = Answer("right", b"{}\n", {OVERLAY: b"\xff\xd8"})
    with pytest.raises(LostLeaseError):
        ledger.commit(replace(held, token="wrong"), [ImageState.SUCCEEDED], {}, Answer("wrong", b"", {}))
    ledger.commit(held, [ImageState.SUCCEEDED], {}, answer)
    while not ledger.status("job").state.finished or not heard:
        next(news)

    assert [decode(each, Answer) for each in heard] == [answer]
    news.close()


@servers
@pytest.mark.parametrize("counts", [True, False])
def test_what_was_heard_is_not_read_again_if_it_counts(
    settings: Settings, empty_redis: redis.Redis, counts: bool
) -> None:
    """The ledger's record of the chunk has the token of the claim that was committed; any other answer is not used."""
    store = Requests()
    store.ensure_bucket()
    with Services(settings, store=store) as services:
        worker = ScriptedWorker(services.ledger, store)
        job = Job(services, send(services, pictures(1), options={"top_k": 1}))
        worker.work_off(job.id)
        lines = store.get(keys.results_object(job.id, "000000", 1))
        overlay = picture((5, 5), (9, 9, 9), "jpeg")
        token = f"token-{job.id}.000000.1" if counts else "another"
        sent = Answer(token, lines, {keys.overlay_object(job.id, 0, 1, "jpg"): overlay})
        job._answered.heard("no answer of camq's")
        job._answered.heard(encode(sent).decode())
        store.made.clear()
        (result,) = job.results()

        assert result.state == "succeeded"
        assert result.predictions[0].overlay().size == ((5, 5) if counts else (8, 6))
        assert store.made["get"] == (0 if counts else 2)


class Drawing:
    """A declared test adapter: writes and keeps an overlay as an explainer does."""

    def __init__(self, inner: object, size: int) -> None:
        self._inner, self._size = inner, size

    def record(self, *given: object) -> object:
        lone = given[4]
        assert isinstance(lone, Lone)
        lone.write(OVERLAY, bytes(self._size), "image/jpeg")
        lone.drawn(OVERLAY, bytes(self._size))
        return self._inner.record(*given)  # type: ignore[attr-defined]


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(limit_s=0.1)
    assert isinstance(made.ledger.claimed, Claim)
    made.ledger.claimed = replace(made.ledger.claimed, indices=(0,), priority="high", token="right")
    yield made
    made.pipeline.close()


@pytest.mark.parametrize(("size", "travels"), [(100, True), (MOST_SENT + 1, False)])
def test_a_lone_pictures_overlays_travel_if_they_are_small(desk: Desk, size: int, travels: bool) -> None:
    """They and the results object are stored in any case."""
    desk.pipeline._explainer = Drawing(desk.explainer, size)  # type: ignore[assignment]

    assert desk.pipeline.run(MESSAGE) is Outcome.DONE
    assert len(desk.store.get(OVERLAY)) == size
    overlays = {OVERLAY: bytes(size)} if travels else {}
    assert desk.ledger.answer == Answer("right", encode_lines(desk.results()), overlays)


def test_nothing_counts_that_is_not_stored(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The overlay is written beside the results object, and the commit waits for both."""
    desk.pipeline._explainer = Drawing(desk.explainer, 1)  # type: ignore[assignment]
    put = desk.store.put

    def refused(key: str, data: bytes, content_type: str = "") -> None:
        if key == OVERLAY:
            raise UnreachableError("storage is away")
        put(key, data, content_type)

    monkeypatch.setattr(desk.store, "put", refused)

    assert desk.pipeline.run(MESSAGE) is Outcome.HANDED_BACK
    assert desk.ledger.committed is None
