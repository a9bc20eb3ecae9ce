"""What an image may read, what ends it, and the archive of its maps."""

from contextlib import nullcontext
from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from shared.contract import ChunkMessage, ImageRef, Options
from shared.ledger import Claim
from shared.states import ImageState
from shared.storage import MemoryStore
from worker.core.types import ClassMap, Explanation, InputSpec, Limits
from worker.explainer import Explainer, maps_archive
from worker.leases import CancelledJobError


def go_on() -> None:
    pass


def explainer_with(store: MemoryStore, batcher: object) -> Explainer:
    return Explainer(
        network=cast(Any, SimpleNamespace(model="net@1", spec=InputSpec())),
        batcher=cast(Any, batcher),
        store=store,
        patience=cast(Any, lambda check, call, *args, **kwargs: call(*args, **kwargs)),
        limits=Limits(),
        in_place=("s3://mine/",),
        compute=cast(Any, lambda stage, call, *args, **kwargs: call(*args, **kwargs)),
        decoding=cast(Any, None),
        stage=lambda _: nullcontext(),
    )


def claim() -> Claim:
    message = ChunkMessage(job="j", chunk="000000", attempt=1)
    return Claim(message, Options(), "net@1", "bulk", "000000", (0,))


@pytest.mark.parametrize(
    ("key", "said"),
    [("s3://other/a.jpg", "CAMQ_INPUT_PREFIXES"), ("s3://mine/a.jpg", "object store"), ("inputs/a", "object store")],
)
def test_input_in_place_is_limited_to_the_named_prefixes(key: str, said: str) -> None:
    """An address outside them is not even asked for; camq's own inputs are never limited."""
    store = MemoryStore(buckets={"camq": {}, "mine": {}, "other": {"a.jpg": cast(Any, None)}})
    explainer = explainer_with(store, SimpleNamespace(coming=lambda: nullcontext(go_on)))
    record = explainer.record(ImageRef(index=0, key=key), claim(), go_on)

    assert record.state is ImageState.FAILED
    assert record.error is not None
    assert record.error.code == "not_found"
    assert said in record.error.message


def test_an_image_of_a_cancelled_job_is_cancelled_while_it_waits_for_the_device() -> None:
    """The batcher looks at the lease with the image's own check."""

    asked: list[Options] = []

    def look() -> None:
        if asked:
            raise CancelledJobError("job j was cancelled")

    class Busy:
        """A declared test adapter: the device is busy, and while an image waits its job is cancelled."""

        def coming(self) -> Any:
            return nullcontext(go_on)

        def explain(self, pixels: object, options: Options, *, urgent: bool, check: Any) -> None:
            asked.append(options)
            check()

    picture = BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "png")
    store = MemoryStore(buckets={"camq": {}})
    store.put("inputs/a", picture.getvalue())
    record = explainer_with(store, Busy()).record(ImageRef(index=0, key="inputs/a"), claim(), look)

    assert asked == [Options()]
    assert record.state is ImageState.CANCELLED


def test_kept_maps_have_every_array_that_is_promised() -> None:
    """Raw, signed float32 maps of shape (k, h, w), and for each its class, probability and logit; method and model."""
    values = np.array([[[-3.5, 1e-9, 7.25], [0, 1, 2]], [[9, 8, 7], [6, 5, -4]]], np.float32)
    classes = (ClassMap(1, 283, 12.5, 0.75, values[0]), ClassMap(4, 2, -1.5, 0.125, values[1]))
    with np.load(BytesIO(maps_archive(Explanation(classes, "gradcam++"), "net@1")), allow_pickle=False) as kept:
        assert set(kept.files) == {"maps", "class_index", "probability", "logit", "method", "model"}
        assert (kept["maps"].dtype, kept["maps"].shape) == (np.float32, (2, 2, 3))
        np.testing.assert_array_equal(kept["maps"], values)
        for name, expected in (("class_index", [283, 2]), ("probability", [0.75, 0.125]), ("logit", [12.5, -1.5])):
            assert kept[name].shape == (2,), name
            np.testing.assert_array_equal(kept[name], expected)
        assert kept["class_index"].dtype == np.int64
        assert (str(kept["method"]), str(kept["model"])) == ("gradcam++", "net@1")
