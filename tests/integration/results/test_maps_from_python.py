"""Raw maps as NumPy arrays, by the prediction that they belong to."""

import io

import numpy as np
import pytest

from producer.api.client import Client
from producer.services import Services
from shared.errors import CamqError
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore


def test_a_prediction_has_the_map_of_its_class(
    services: Services, store: CountingStore, worker: ScriptedWorker
) -> None:
    """Found by the class, whatever the order in the archive; without a map, the error says why."""
    with Client(services.settings, store=store) as client:
        job = client.submit([picture(), picture()], top_k=2, keep_maps=True)
        worker.work_off(job.id)
        kept = io.BytesIO()
        maps = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
        np.savez(kept, maps=maps, class_index=np.array([1, 0]))
        store.put(f"jobs/{job.id}/maps/1.npz", kept.getvalue())
        damaged, second = job.results()
        other = client.submit([picture()])
        worker.work_off(other.id)
        (without,) = other.results()

        assert np.array_equal(second.predictions[0].map(), maps[1])  # class 0
        assert np.array_equal(second.predictions[1].map(), maps[0])
        for packed in (True, False):  # a small object that unpacks to anything, and a map that is none
            bad = io.BytesIO()
            save, shape = (np.savez_compressed, (2, 3, 4)) if packed else (np.savez, (2, 3))
            save(bad, maps=np.zeros(shape, np.float32), class_index=np.array([1, 0]))
            store.put(f"jobs/{job.id}/maps/0.npz", bad.getvalue())
            with pytest.raises(CamqError, match="compressed" if packed else "fit together"):
                damaged.predictions[0].map()
        with pytest.raises(CamqError, match="keep_maps=True"):
            without.predictions[0].map()
        store.put(f"jobs/{job.id}/maps/0.npz", b"maps")
        with pytest.raises(CamqError, match="damaged"):
            damaged.predictions[0].map()
