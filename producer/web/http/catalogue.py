"""What is there to work with: models and workers."""

from functools import partial
from typing import Annotated

from litestar import get
from litestar.params import PathParameter

from producer.web.http import V1
from producer.web.http.bearer import NEEDS
from producer.web.http.bodies import Model
from producer.web.http.work import Desk
from shared.contract import ModelCard, WorkerInfo
from shared.errors import NotFoundError

#: What needs the scope `read`.
_get = partial(get, opt={NEEDS: "read"}, tags=["Models and workers"])


@_get("/v1/models", operation_id="listModels", summary="List the known models", sync_to_thread=True)
def models(work: Desk) -> list[Model]:
    """The newest first."""
    return [Model(model=name, served=served) for name, served in work.services.ledger.models().items()]


@_get("/v1/models/{model:str}", operation_id="modelCard", summary="Show a model's card", sync_to_thread=True)
def card(work: Desk, model: Annotated[str, PathParameter(max_length=300, description="Its name@digest.")]) -> ModelCard:
    """Labels, methods, input sizes and layers."""
    card = work.services.ledger.card(model)
    if card is None:
        raise NotFoundError(f"there is no model {model[:100]!r}; {V1}/models lists them by name@digest")
    return card


@_get("/v1/workers", operation_id="listWorkers", summary="List the live workers", sync_to_thread=True)
def workers(work: Desk) -> list[WorkerInfo]:
    """What each one serves and does."""
    return work.services.ledger.workers()


CATALOGUE = (
    models,
    card,
    workers,
)
