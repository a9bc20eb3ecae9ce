"""Releases side by side: what an older one wrote is read, what a newer one wrote is left alone."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import redis

from shared.config import Settings
from shared.contract import (
    SCHEMA_VERSION,
    ChunkMessage,
    ImageRecord,
    ImageRef,
    ImageState,
    JobState,
    ModelCard,
    Options,
    WorkerInfo,
    decode,
    decode_lines,
    encode,
)
from shared.errors import MessageError
from shared.ledger import Claim, RedisLedger
from tests.support.jobs import wire
from tests.support.jobs.ledgers import claim, serve, submit

V1 = wire.FOLDER / "v1"


@pytest.fixture
def ledger(settings: Settings, empty_redis: redis.Redis) -> Iterator[RedisLedger]:
    with closing(RedisLedger(settings)) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("message.json", ChunkMessage, wire.MESSAGE),
        ("options.json", Options, wire.OPTIONS),
        ("card.json", ModelCard, wire.CARD),
        ("worker.json", WorkerInfo, wire.WORKER),
    ],
)
def test_a_document_of_version_1_is_read(name: str, kind: Any, expected: object) -> None:
    """Every field with the meaning that it had."""
    assert decode((V1 / name).read_bytes(), kind) == expected


def test_lines_of_version_1_are_read() -> None:
    """References that a producer wrote, and results that a worker wrote."""
    assert decode_lines((V1 / "references.jsonl").read_bytes(), ImageRef) == wire.REFERENCES
    assert decode_lines((V1 / "results.jsonl").read_bytes(), ImageRecord) == wire.RECORDS


@pytest.mark.parametrize(
    ("name", "kind"), [("message.json", ChunkMessage), ("card.json", ModelCard), ("worker.json", WorkerInfo)]
)
def test_a_field_that_a_newer_release_adds_does_no_harm(name: str, kind: Any) -> None:
    """Within a schema version fields may be added; who does not know them goes on without."""
    value = json.loads((V1 / name).read_bytes())
    assert decode(json.dumps(value | {"colour": "red"}), kind) == decode(json.dumps(value), kind)


def test_an_option_that_is_not_known_is_never_ignored() -> None:
    """A worker that ignored it would draw something else than was asked for."""
    value = json.loads((V1 / "options.json").read_bytes()) | {"sharpen": True}
    with pytest.raises(MessageError, match="sharpen"):
        decode(json.dumps(value), Options)


def test_a_job_that_an_older_release_began_is_finished(ledger: RedisLedger) -> None:
    """Its worker commits, its waiting chunk is sent and done, and every image counts once."""
    wire.restore(ledger.scripts.client, json.loads((V1 / "ledger.json").read_text()))
    status = ledger.status(wire.JOB)
    assert (status.state, status.total, status.succeeded, status.failed) == (JobState.RUNNING, 6, 1, 1)
    assert (status.running, status.queued, status.name) == (2, 2, "a name")
    assert ledger.failures(wire.JOB)[1].code == "truncated"
    message = ChunkMessage(job=wire.JOB, chunk="000001", attempt=1)
    in_hand = Claim(message, Options(), wire.MODEL, "bulk", "000001", token="token-000001")
    assert ledger.renew([in_hand, replace(in_hand, token="another")]) == ["held", "lost"]
    ledger.commit(in_hand, [ImageState.SUCCEEDED] * 2, {})
    [hint] = ledger.refill(wire.MODEL)
    claimed = claim(ledger, hint)
    assert claimed.indices == (4, 5)
    ledger.commit(claimed, [ImageState.SUCCEEDED] * 2, {})
    status = ledger.status(wire.JOB)
    assert (status.state, status.succeeded, status.failed) == (JobState.PARTIAL, 5, 1)
    assert ledger.retry(wire.JOB, [1]) == 1


def test_a_field_that_a_newer_release_adds_to_a_job_is_read_past(ledger: RedisLedger) -> None:
    """As `trace` once was new: readers ask for what they know, and the job is claimed and counted as before."""
    serve(ledger)
    submit(ledger, "plain", chunks=1)
    plain = ledger.status("plain")
    ledger.scripts.client.hset("camq:job:plain", mapping={"colour": "red", "trace": "not a trace"})
    assert ledger.status("plain") == plain
    [hint] = ledger.refill("net@0123456789ab")
    assert claim(ledger, hint).indices == (0, 1, 2)


def test_a_newer_producer_s_job_waits_for_a_newer_worker(ledger: RedisLedger) -> None:
    """An older worker fails none of its images: it cannot claim the chunk, which is sent again later."""
    serve(ledger)
    submit(ledger, "new", chunks=1)
    newer = json.loads(encode(Options())) | {"sharpen": True}
    ledger.scripts.client.hset("camq:job:new", "options", json.dumps(newer))
    [hint] = ledger.refill("net@0123456789ab")
    with pytest.raises(MessageError, match="sharpen"):
        ledger.claim(hint.message, "token", "old-worker")
    status = ledger.status("new")
    assert (status.failed, status.cancelled, status.finished_at) == (0, 0, None)


#: Fields that came after the first release, as a document without them reads.
ADDED: dict[str, dict[str, object]] = {
    "worker.json": {"stages": {}, "batch_sizes": {}, "waiting_for": None},
    "card.json": {"layers": [], "target_layer": None, "input_sizes": None, "reason": ""}
    | {"engine": "", "outputs": "softmax", "preprocessing": None},
    "results.jsonl": {"engine": None},
}
#: And those of each prediction.
ADDED_TO_PREDICTIONS: dict[str, object] = {"logit": None}


def test_todays_documents_are_those_of_version_1() -> None:
    """Nothing changes by accident: a new field is written down here, a new meaning is a new version."""
    assert SCHEMA_VERSION == 1
    for name, text in wire.DOCUMENTS.items():
        first = msgspec.json.decode((V1 / name).read_bytes().splitlines()[0])
        if "predictions" in first:
            first["predictions"] = [each | ADDED_TO_PREDICTIONS for each in first["predictions"]]
        assert msgspec.json.decode(text.splitlines()[0]) == first | ADDED.get(name, {})
