"""What an image may read."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.contract import ChunkMessage, ImageRef, Options
from shared.errors import CredentialsError, UsageError
from shared.ledger import Claim
from shared.states import ImageState
from shared.storage import MemoryStore, ObjectStore
from worker.core.types import Limits
from worker.explainer import Explainer


def go_on() -> None:
    pass


CLAIM = Claim(ChunkMessage(job="j", chunk="000000", attempt=1), Options(), "net@1", "bulk", "000000", (0,))


def explainer(store: ObjectStore) -> Explainer:
    """One that gets as far as the download."""
    return Explainer(
        network=cast(Any, SimpleNamespace(model="net@1")),
        batcher=cast(Any, SimpleNamespace(coming=lambda: nullcontext(go_on))),
        store=store,
        patience=cast(Any, lambda check, call, *args, **kwargs: call(*args, **kwargs)),
        limits=Limits(),
        in_place=("s3://mine/",),
        compute=cast(Any, None),
        decoding=cast(Any, None),
        stage=lambda _: nullcontext(),
    )


class RefusingStore(MemoryStore):
    """A declared test adapter: a server that answers every read with the same error."""

    error: Exception

    def get(self, key: str, max_bytes: int | None = None) -> bytes:
        raise self.error


def test_a_picture_that_may_not_be_read_fails_but_refused_credentials_fail_none() -> None:
    """Rotated keys are an operator's matter: the chunk is tried again when they are mended."""
    store = RefusingStore(buckets={"mine": {}})
    ref = ImageRef(index=0, key="s3://mine/a.jpg")

    store.error = UsageError("refused (AccessDenied)")
    assert explainer(store).record(ref, CLAIM, go_on).state is ImageState.FAILED
    store.error = CredentialsError("refused (ExpiredToken)")
    with pytest.raises(CredentialsError):
        explainer(store).record(ref, CLAIM, go_on)


@pytest.mark.parametrize(
    ("key", "said"),
    [("s3://other/a.jpg", "CAMQ_INPUT_PREFIXES"), ("s3://mine/a.jpg", "object store"), ("inputs/a", "object store")],
)
def test_input_in_place_is_limited_to_the_named_prefixes(key: str, said: str) -> None:
    """An address outside them is not even asked for; camq's own inputs are never limited."""
    store = MemoryStore(buckets={"camq": {}, "mine": {}, "other": {"a.jpg": cast(Any, None)}})
    record = explainer(store).record(ImageRef(index=0, key=key), CLAIM, go_on)

    assert record.state is ImageState.FAILED
    assert record.error is not None
    assert record.error.code == "not_found"
    assert said in record.error.message
