"""Tags and the name of a job: what they may be, where they are kept, and how a job is found by its tags."""

from typing import Any

import pytest
import redis

from producer import Client
from producer.results.records import records
from producer.results.table import rows
from producer.services import Services
from producer.submission.request import LONGEST_TAG, MOST_TAGS, checked_tags
from shared import keys
from shared.errors import UsageError
from shared.ledger import RedisLedger
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore, pictures, send


def test_tags_keep_their_order_and_stand_once() -> None:
    """One text is one tag, not its letters."""
    assert checked_tags(["b", "a", "b"]) == ("b", "a")
    assert checked_tags("nightly run") == ("nightly run",)
    assert checked_tags([]) == ()


@pytest.mark.parametrize("tag", ["", "a,b", " a", "a\n", "x" * (LONGEST_TAG + 1), "\udcff", 7])
def test_what_cannot_be_a_tag_is_named(tag: object) -> None:
    """With what a tag is; a comma separates tags in a table."""
    with pytest.raises(UsageError, match=rf"expected 1 to {LONGEST_TAG} printable"):
        checked_tags([tag])


def test_a_job_has_a_limited_number_of_tags() -> None:
    """Every line of its results repeats them."""
    assert len(checked_tags(map(str, range(MOST_TAGS)))) == MOST_TAGS
    with pytest.raises(UsageError, match=f"{MOST_TAGS + 1} tags given: a job has at most {MOST_TAGS}"):
        checked_tags(map(str, range(MOST_TAGS + 1)))


@pytest.mark.usefixtures("worker")
def test_tags_are_stored_once_per_job(
    services: Services, store: CountingStore, ledger: RedisLedger, empty_redis: redis.Redis
) -> None:
    """In its hash and nowhere else; a job without any has no field for them."""
    tagged = send(services, pictures(6), tags=("nightly", "cats"))
    plain = send(services, pictures(1))

    assert ledger.status(tagged).tags == ("nightly", "cats")
    assert ledger.status(plain).tags == ()
    assert empty_redis.hget(keys.JOB % tagged, "tags") == b'["nightly","cats"]'
    assert not empty_redis.hexists(keys.JOB % plain, "tags")
    assert not [key for key in store.written if b"nightly" in store.get(key)]


@pytest.mark.usefixtures("worker")
def test_a_wrong_tag_is_refused_before_anything_is_stored(client: Client, store: CountingStore) -> None:
    """As any other wrong request."""
    with pytest.raises(UsageError, match="invalid tag"):
        client.submit(picture(), tags=["a,b"])

    assert (store.written, client.jobs()) == ([], [])


@pytest.mark.usefixtures("worker")
def test_jobs_are_found_by_all_of_their_tags(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first, and as many as were asked for, however far back they lie."""
    monkeypatch.setattr("shared.ledger.producer_side.TAGGED_PAGE", 2)
    ids = [client.submit(picture(), tags=tags).id for tags in (["a", "b"], ["a"], [], [], ["b", "c", "a"])]

    assert [status.job for status in client.jobs(tags=["a"])] == [ids[4], ids[1], ids[0]]
    assert [status.job for status in client.jobs(tags=["a", "b"])] == [ids[4], ids[0]]
    assert [status.job for status in client.jobs(2, tags=["a"])] == [ids[4], ids[1]]
    assert client.jobs(tags=["d"]) == []


def test_results_carry_the_name_and_the_tags_of_their_job(
    client: Client, services: Services, worker: ScriptedWorker
) -> None:
    """Every line and every row, also of images that no worker has seen yet."""
    job = client.submit(pictures(5), name="holiday", tags=["nightly", "cats"])
    first = worker.claim_next(job.id)
    assert first is not None
    worker.finish(first)

    lines = list(records(services.ledger, services.store, job.id))

    assert {(line.name, line.tags) for line in lines} == {("holiday", ("nightly", "cats"))}
    assert {(row["name"], row["tags"]) for row in rows(lines)} == {("holiday", "nightly,cats")}
    assert list(job.to_pandas()["tags"].unique()) == ["nightly,cats"]


@pytest.mark.usefixtures("worker")
def test_a_resumed_job_keeps_its_tags(client: Client) -> None:
    """They are the first submission's, as its name is."""
    client.submit(pictures(2), job_id="mine", tags=["first"])

    again = client.submit(pictures(2), job_id="mine", tags=["second"])

    assert again.status().tags == ("first",)


@pytest.mark.parametrize("name", ["x" * 201, "two\nlines", "\x1b]0;title\x07", "\u202egnp.exe", 7])
def test_a_name_that_lists_cannot_show_is_refused(services: Services, store: CountingStore, name: Any) -> None:
    """Every list of jobs shows the whole name, the live page each second. 200 letters of any script are allowed."""
    with pytest.raises(UsageError, match=r"invalid name .* expected at most 200 printable characters"):
        send(services, pictures(1), name=name)
    assert not store.written


@pytest.mark.usefixtures("worker")
def test_a_name_of_two_hundred_letters_is_kept(services: Services) -> None:
    """Of any script, with spaces."""
    name = "é 犬" + "x" * 197
    assert services.ledger.status(send(services, pictures(1), name=name)).name == name
