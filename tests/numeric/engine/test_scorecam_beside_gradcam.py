"""Score-CAM lets urgent pictures in between its forwards, on the real batcher and the real engine."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext

import numpy as np
import pytest

from shared.contract import Options
from tests.numeric.networks import network, pictures
from tests.support.waiting import wait_until
from worker.core.engine.engine import Engine
from worker.core.types import Explanation
from worker.image.batcher import Batcher

URGENT = Options(method="gradcam", target_layer="layer3", top_k=1)


@pytest.fixture
def engine() -> Engine:
    return Engine(network("resnet18", 10), 64)


@pytest.fixture
def batcher(engine: Engine) -> Iterator[Batcher]:
    def fail(error: BaseException) -> None:
        raise error

    with closing(Batcher(engine, 0.0, lambda _stage: nullcontext(), fail)) as made:
        engine.on_step = made.beat
        yield made


def test_an_urgent_gradcam_picture_succeeds_while_scorecam_runs(engine: Engine, batcher: Batcher) -> None:
    """Its backward pass needs tensors that autograd may use, whatever mode the slow picture runs in."""
    slow_picture, urgent_picture = pictures(2, 32)
    [alone] = engine.run([urgent_picture], [URGENT])
    answers: list[Future[Explanation]] = []

    with ThreadPoolExecutor(2) as threads:

        def let_the_urgent_one_in() -> None:
            if not answers:
                answers.append(threads.submit(batcher.explain, urgent_picture, URGENT, urgent=True))
                wait_until(lambda: batcher.beat() or answers[0].done(), "the urgent picture ran in a beat")  # type: ignore[func-returns-value]

        engine.on_step = let_the_urgent_one_in
        slow = threads.submit(batcher.explain, slow_picture, Options(method="scorecam", top_k=1), urgent=False)
        assert slow.result(60).method == "scorecam"

    assert isinstance(alone, Explanation)
    np.testing.assert_allclose(answers[0].result().classes[0].values, alone.classes[0].values, atol=1e-6)
