"""What a job's live page reads: its pictures block by block, and what they say all together."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from producer.inputs.source import BytesSource
from producer.results.analysis.accuracy import analyse
from producer.retention.delete import remove
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import submit
from producer.web.live import analyses
from shared.ledger import RedisLedger
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.pictures.dicoms import dicom
from tests.support.servers.live_page import Ask

pytestmark = pytest.mark.servers


def test_pictures_come_in_blocks(
    ask: Ask, services: Services, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is small; a block that will not change says so, and the next one begins where it ends."""
    monkeypatch.setattr("producer.web.live.pictures.FIRST", 2)
    monkeypatch.setattr("producer.web.live.pictures.BLOCK", 3)
    job = submit(
        services, [BytesSource(f"{n}-{'broken' if n == 3 else ''}.png", picture()) for n in range(6)], Request()
    )
    worker.work_off(job)

    def block(first: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(ask(f"/jobs/{job}/images?from={first}").data)
        return found | {"rows": [row[0] for row in found["rows"]]}  # type: ignore[attr-defined]

    first, second, last = block("0"), block("2"), block("5")
    assert (first["rows"], first["next"], first["settled"]) == ([0, 1], 2, True)
    assert (second["rows"], second["next"], second["settled"]) == ([2, 3, 4], 5, False)  # one failed
    assert (last["rows"], last["settled"]) == ([5], False)  # the block is not full
    assert first["paths"] == {
        "original": f"/jobs/{job}/images/{{index}}/original",
        "overlay": f"/jobs/{job}/images/{{index}}/overlays/{{rank}}",
    }
    for wrong in ("-1", "x", "9" * 5000):
        assert ask(f"/jobs/{job}/images?from={wrong}").status == 400


def test_the_summary_is_read_again_when_the_job_moved(
    ask: Ask, services: Services, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only then; of a job without ground truth it is empty."""
    times = []
    monkeypatch.setattr(analyses, "analyse", lambda *a, **k: times.append(1) or analyse(*a, **k))
    small = Services(msgspec.structs.replace(services.settings, chunk_size=2))
    with small:
        job = submit(small, [(picture(), label) for label in ("tench", "goldfish", "tabby", "tench")], Request())
        bare = submit(small, [picture()], Request())
    claim = worker.claim_next(job)
    assert claim is not None
    worker.finish(claim)

    half = [ask(f"/jobs/{job}/answers").data.decode() for _ in range(2)]
    worker.work_off(job)
    worker.work_off(bare)

    assert "2 pictures with ground truth" in half[0] == half[1]
    assert len(times) == 1
    whole = ask(f"/jobs/{job}/answers").data.decode()
    assert "4 pictures with ground truth" in whole
    assert "this job kept no maps" in whole  # the hand has none
    assert " hidden>" in ask(f"/jobs/{bare}/answers").data.decode()
    assert ask("/jobs/none/answers").status == 404


def test_a_summary_at_hand_does_not_wait_for_another_jobs(
    ask: Ask, services: Services, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does any other part of the page, however many ask for the one that takes long."""
    short, long = (submit(services, [(picture(), label)], Request()) for label in ("tench", "tabby"))
    for job in (short, long):
        worker.work_off(job)
    known = ask(f"/jobs/{short}/answers").data
    reads, gate = threading.Event(), threading.Event()

    def slow(*a: Any, **k: Any) -> Any:
        reads.set()
        gate.wait(60)
        return analyse(*a, **k)

    monkeypatch.setattr(analyses, "analyse", slow)
    with ThreadPoolExecutor(12) as tabs:
        asked = [tabs.submit(ask, f"/jobs/{long}/answers") for _ in range(12)]
        try:
            assert reads.wait(30)
            assert ask(f"/jobs/{short}/answers").data == known
            assert ask("/").status == 200
        finally:
            gate.set()
        assert {answer.result().status for answer in asked} == {200}


def test_thumbnails_of_a_job_ask_once_how_it_reads_pictures(
    ask: Ask, services: Services, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later job of the same id may read the same pictures in another way."""
    asked = []
    real = RedisLedger.options
    monkeypatch.setattr(RedisLedger, "options", lambda self, job: asked.append(job) or real(self, job))
    scans = [dicom(np.full((8, 8), 1000 + n, np.uint16)) for n in range(3)]

    def shades(wide: str) -> list[int]:
        sources = [BytesSource(f"{n}.dcm", scan) for n, scan in enumerate(scans)]
        job = submit(services, sources, Request(job_id="again", options={"range": wide}))
        asked.clear()
        pictures = [ask(f"/jobs/{job}/images/{index}/original").data for index in range(3)]
        assert asked == [job]
        remove(services.ledger, services.store, job)
        return [int(np.asarray(Image.open(BytesIO(each)).convert("L")).mean()) for each in pictures]

    assert max(shades("0:8000")) < 60
    assert min(shades("0:1100")) > 200
