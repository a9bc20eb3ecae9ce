"""Where a worker's time goes, and the stages of one chunk beside the worker's own."""

import threading

from worker.timing.measurements import Measurements, stages_of_chunk


def test_a_stage_belongs_to_the_chunk_in_which_it_began() -> None:
    """An image waits for the engine, whose thread ends the wait and works for many chunks."""
    measurements = Measurements()
    with stages_of_chunk() as stages:
        waiting = measurements.stage("wait")
        waiting.__enter__()
        engine = threading.Thread(target=waiting.__exit__, args=(None, None, None))
        engine.start()
        engine.join()

    assert set(stages.seen) == {"wait"}
