"""What travels and what is stored, as one release writes it: fixtures for the releases that follow.

`python -m tests.support.jobs.wire` writes `tests/data/wire/v<schema version>/`. Run it when a release is made; after
that the files are history, and a change that cannot read them needs a new schema version.
"""

import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from producer.local.embedded import Stack
from shared import keys
from shared.contract import (
    SCHEMA_VERSION,
    ChunkMessage,
    ErrorInfo,
    ImageRecord,
    ImageRef,
    ImageState,
    ModelCard,
    Options,
    PredictionRecord,
    WorkerInfo,
    encode,
    encode_lines,
)
from shared.ledger import Claim, NewChunk, RedisLedger
from tests.support.jobs.ledgers import enter

FOLDER = Path(__file__).parents[2] / "data" / "wire"
MODEL = "resnet18@0123456789ab"
JOB = "20261123-080000-abcdef"

MESSAGE = ChunkMessage(job=JOB, chunk="000001", attempt=2)
OPTIONS = Options(
    top_k=5,
    classes=(3, 7),
    method="gradcam++",
    target="softmax",
    target_layer="layer4",
    scale="shared",
    colormap="viridis",
    alpha=0.25,
    resize="center-crop",
    input_size=448,
    overlay="input",
    overlay_size=1024,
    format="webp",
    box_threshold=0.5,
    heatmaps=True,
    keep_maps=True,
)
REFERENCES = [
    ImageRef(index=0, key="inputs/ab/abcd", source="cats/tom.jpg"),
    ImageRef(index=1, key="s3://other/dog.png", source="s3://other/dog.png"),
    ImageRef(index=2, source="gone.jpg", error=ErrorInfo("not_found", "no such file")),
]
_PREDICTION = PredictionRecord(
    rank=1,
    class_index=281,
    label="tabby, tabby cat",
    probability=0.75,
    overlay=f"jobs/{JOB}/overlays/0-1.jpg",
    box=(1, 2, 30, 40),
    map_min=-1.5,
    map_max=2.5,
    flat=False,
)
RECORDS = [
    ImageRecord(
        index=0,
        source="cats/tom.jpg",
        state=ImageState.SUCCEEDED,
        width=640,
        height=480,
        model=MODEL,
        method="cam",
        predictions=(_PREDICTION,),
    ),
    ImageRecord(index=2, source="gone.jpg", state=ImageState.FAILED, error=ErrorInfo("not_found", "no such file")),
]
CARD = ModelCard(model=MODEL, labels=("tench", "goldfish"), input_size=224, methods=("cam", "gradcam"))
WORKER = WorkerInfo(
    worker="host-1-ab12", host="host", pid=1, device="cuda:0 A100", models=(MODEL,), state="busy",
    images_per_second=12.5, images_done=100, slots=3,
)  # fmt: skip

DOCUMENTS: dict[str, bytes] = {
    "message.json": encode(MESSAGE),
    "options.json": encode(OPTIONS),
    "references.jsonl": encode_lines(REFERENCES),
    "results.jsonl": encode_lines(RECORDS),
    "card.json": encode(CARD),
    "worker.json": encode(WORKER),
}


def half_done(ledger: RedisLedger) -> None:
    """A job of three chunks of two images: one committed with a failure, one in hand, one waiting."""
    ledger.publish(CARD)
    ledger.open_job(JOB, model=MODEL, options=Options(), priority="bulk", name="a name")
    enter(ledger, JOB, *(NewChunk(f"{n:06d}", 2 * n, 2, f"digest-{n}") for n in range(3)))
    ledger.seal(JOB)
    first, second = (hint.message for hint in ledger.refill(MODEL))
    claims = [ledger.claim(message, f"token-{message.chunk}", WORKER.worker) for message in (first, second)]
    assert isinstance(claims[0], Claim)
    states = [ImageState.SUCCEEDED, ImageState.FAILED]
    ledger.commit(claims[0], states, {1: ErrorInfo("truncated", "the picture ends early")})


def dump(client: Any) -> dict[str, list[Any]]:
    """Every key of ours: its type and its value."""
    readers = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    found = {}
    for key in sorted(client.scan_iter(f"{keys.PREFIX}*")):
        kind = client.type(key)
        found[key] = [kind, readers[kind](key)]
    return found


def restore(client: Any, stored: dict[str, list[Any]]) -> None:
    """The keys of a dump, as they were."""
    for key, (kind, value) in stored.items():
        match kind:
            case "string":
                client.set(key, value)
            case "hash":
                client.hset(key, mapping=value)
            case "list":
                client.rpush(key, *value)
            case "zset":
                client.zadd(key, dict(value))


def main() -> None:
    """Write the fixtures of this release."""
    folder = FOLDER / f"v{SCHEMA_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in DOCUMENTS.items():
        (folder / name).write_bytes(text)
    with (
        tempfile.TemporaryDirectory() as data,
        Stack(Path(data)) as stack,
        closing(RedisLedger(stack.settings)) as ledger,
    ):
        half_done(ledger)
        stored = dump(ledger.scripts.client)
    (folder / "ledger.json").write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
