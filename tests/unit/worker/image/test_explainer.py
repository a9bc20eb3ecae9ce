"""What an image may read, where its overlays may be written, and what ends it."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from shared.checks.destinations import check_output
from shared.config import Settings
from shared.contract import ChunkMessage, ErrorInfo, ImageRef, ImageState, Options
from shared.errors import (
    CredentialsError,
    DeniedError,
    NotFoundError,
    UnavailableError,
    UnreachableError,
    UsageError,
)
from shared.ledger import Claim
from shared.storage import MemoryStore, ObjectStore
from tests.support.jobs.submitting import Requests
from worker.core.types import ClassMap, Drawing, Explanation, InputSpec, Limits
from worker.errors import CancelledJobError
from worker.image.explainer import Explainer, maps_archive
from worker.pictures.budget import Budget


def go_on() -> None:
    pass


CLAIM = Claim(ChunkMessage(job="j", chunk="000000", attempt=1), Options(), "net@1", "bulk", "000000", (0,))


def explainer(store: ObjectStore) -> Explainer:
    """One that reads from `mine` alone and writes to camq's bucket and `mine`; it has no network."""
    return Explainer(
        network=cast(Any, SimpleNamespace(model="net@1")),
        batcher=cast(Any, SimpleNamespace(coming=lambda: nullcontext(go_on))),
        evaluator=cast(Any, None),
        store=store,
        patience=cast(Any, lambda check, call, *args, **kwargs: call(*args, **kwargs)),
        limits=Limits(),
        in_place=("s3://mine/",),
        checked_output=partial(check_output, settings=Settings(output_prefixes="s3://mine")),
        pictures=cast(Any, None),
        large_files=Budget(1 << 20),
        stage=lambda _: nullcontext(),
    )


class RefusingStore(MemoryStore):
    """A declared test adapter: a server that answers every read with the same error."""

    error: Exception

    def get(self, key: str, max_bytes: int | None = None) -> bytes:
        raise self.error


def test_an_error_of_a_newer_producer_is_kept_as_it_is() -> None:
    """A code that this release does not know fails its image; it must not make the chunk's work raise."""
    error = ErrorInfo("from_the_future", "a sentence")

    record = explainer(MemoryStore()).record(ImageRef(index=0, error=error), CLAIM, go_on)

    assert (record.state, record.error) == (ImageState.FAILED, error)


@pytest.mark.parametrize(
    ("error", "elsewhere", "ours"),
    [
        (DeniedError("refused (AccessDenied)"), "denied", None),
        (CredentialsError("refused (ExpiredToken)"), None, None),
        (UnreachableError("away"), None, None),
        (UnavailableError("in cold storage"), "unavailable", "unavailable"),
        (NotFoundError("nothing there"), "not_found", "not_found"),
        (UsageError("not an object key"), "not_found", None),
        (RuntimeError("InvalidRequest"), "unavailable", None),
    ],
)
def test_the_code_of_a_picture_that_cannot_be_read_says_why(
    error: Exception, elsewhere: str | None, ours: str | None
) -> None:
    """What an operator mends, at our bucket or with our credentials, fails no picture: the chunk is tried again."""
    store = RefusingStore(buckets={"mine": {}})
    store.error = error
    for key, code in (("s3://mine/a.jpg", elsewhere), ("inputs/a", ours)):
        if code:
            assert failure(ImageRef(index=0, key=key), Options(), store).code == code
        else:
            with pytest.raises(type(error)):
                explainer(store).record(ImageRef(index=0, key=key), CLAIM, go_on)


def failure(ref: ImageRef, options: Options, store: MemoryStore) -> ErrorInfo:
    """Why the image failed, which it must."""
    record = explainer(store).record(ref, replace(CLAIM, options=options), go_on)

    assert (record.state, record.id) == (ImageState.FAILED, ref.id)
    assert record.error is not None
    return record.error


@pytest.mark.parametrize(
    ("key", "code", "said"),
    [
        ("s3://other/a.jpg", "denied", "CAMQ_INPUT_PREFIXES"),
        ("s3://mine/a.jpg", "not_found", "object store"),
        ("inputs/a", "not_found", "object store"),
    ],
)
def test_input_in_place_is_limited_to_the_named_prefixes(key: str, code: str, said: str) -> None:
    """An address outside them is not even asked for; camq's own inputs are never limited."""
    store = MemoryStore(buckets={"camq": {}, "mine": {}, "other": {"a.jpg": cast(Any, None)}})

    error = failure(ImageRef(index=0, key=key, id="my-1"), Options(), store)

    assert error.code == code
    assert said in error.message


@pytest.mark.parametrize(("output", "said"), [("s3://other/a", "CAMQ_OUTPUT_PREFIXES"), ("s3://camq/a", "camq's own")])
def test_output_is_limited_to_the_named_prefixes(output: str, said: str) -> None:
    """A worker asks for itself, and before it downloads anything: the store has nothing that it could find."""
    error = failure(ImageRef(index=0, key="inputs/a", id="my-1"), Options(output=output), MemoryStore())

    assert error.code == "output"
    assert said in error.message


def working(store: ObjectStore) -> Explainer:
    """An explainer whose network, device and picture processes always succeed: declared test adapters."""
    labels = tuple("abc")
    maps = [ClassMap(rank, rank - 1, 1.0, 0.5, np.zeros((2, 3), np.float32)) for rank in range(1, 4)]

    class Device:
        def coming(self) -> Any:
            return nullcontext(go_on)

        def explain(self, _pixels: object, options: Options, **_: object) -> Explanation:
            return Explanation(tuple(maps[: options.top_k]), "cam")

    def opened(_data: bytes, options: Options, *_: object, **__: object) -> Any:
        def draw(classes: tuple[ClassMap, ...], _captions: object = ()) -> list[Drawing]:
            heatmap = b"heat" if options.heatmaps else None
            return [Drawing(b"overlay", heatmap, None, None, None, (), 0, 1, False) for _ in classes]

        geometry = SimpleNamespace(width=8, height=6)
        return nullcontext(SimpleNamespace(pixels=None, geometry=geometry, warnings=(), draw=draw))

    return replace(
        explainer(store),
        network=cast(Any, SimpleNamespace(model="net@1", labels=labels)),
        batcher=cast(Any, Device()),
        pictures=cast(Any, SimpleNamespace(open=opened)),
    )


@pytest.mark.parametrize(
    ("options", "puts"),
    [
        (Options(top_k=1), 1),
        (Options(top_k=3), 3),
        (Options(top_k=2, heatmaps=True), 4),
        (Options(top_k=2, keep_maps=True), 3),
        (Options(top_k=3, heatmaps=True, only="below:0.1"), 0),
    ],
)
def test_an_image_costs_one_get_and_a_put_for_each_file(options: Options, puts: int) -> None:
    """As `docs/operations.md` reckons the bill of an object store."""
    store = Requests(buckets={"camq": {}})
    store.put("inputs/a", b"picture")
    store.made.clear()

    record = working(store).record(ImageRef(index=0, key="inputs/a"), replace(CLAIM, options=options), go_on)

    assert (record.state, store.made) == (ImageState.SUCCEEDED, Counter(get=1, put=puts))


def test_a_users_bucket_that_cannot_be_written_fails_the_image_and_ours_does_not() -> None:
    """Camq's own bucket is the operator's to mend, and an outage nobody's fault: the chunk is tried again then."""

    def away(*_: object, **__: object) -> None:
        raise UnreachableError("S3 storage does not answer")

    silent = MemoryStore(buckets={"camq": {}, "mine": {}})
    silent.put("inputs/a", b"picture")
    silent.put = away  # type: ignore[method-assign]
    missing = MemoryStore(buckets={"camq": {}})
    missing.put("inputs/a", b"picture")
    mine = replace(CLAIM, options=Options(output="s3://mine/j"))
    ref = ImageRef(index=0, key="inputs/a")

    error = working(missing).record(ref, mine, go_on).error
    assert error is not None
    assert (error.code, "s3://mine/j" in error.message) == ("output", True)
    for claim in (CLAIM, mine):
        with pytest.raises(UnreachableError):
            working(silent).record(ref, claim, go_on)


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

        def explain(self, pixels: object, options: Options, *, urgent: bool, check: Callable[[], None]) -> None:
            asked.append(options)
            check()

    picture = BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "png")
    store = MemoryStore(buckets={"camq": {}})
    store.put("inputs/a", picture.getvalue())
    waiting = replace(
        explainer(store),
        network=cast(Any, SimpleNamespace(model="net@1", spec=InputSpec())),
        batcher=cast(Any, Busy()),
        pictures=cast(Any, SimpleNamespace(open=lambda *_, **__: nullcontext(SimpleNamespace(pixels=None)))),
    )

    record = waiting.record(ImageRef(index=0, key="inputs/a"), CLAIM, look)

    assert asked == [Options()]
    assert record.state is ImageState.CANCELLED
