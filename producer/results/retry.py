"""Retry failed images."""

from collections.abc import Collection
from contextlib import suppress

from producer.results.records import records
from producer.services import Services
from shared.contract import ImageState
from shared.errors import UnreachableError


def retry(services: Services, job: str, codes: Collection[str] = ()) -> int:
    """Retry the failed images of a job, all or those that failed with one of `codes`; the number of images retried.

    Raises UnknownJobError, and UsageError for a job that was cancelled.
    """
    ledger = services.ledger
    model = ledger.status(job).model
    taken = ledger.retry(job, _failed_with(services, job, codes) if codes else _failed(services, job))
    with suppress(UnreachableError):  # a hint that was not sent is found overdue by a worker's reaper
        services.sender.send(ledger.refill(model))
    return taken


def _failed(services: Services, job: str) -> list[int]:
    states = services.ledger.image_states(job)
    return [index for index, state in enumerate(states) if state is ImageState.FAILED]


def _failed_with(services: Services, job: str, codes: Collection[str]) -> list[int]:
    lines = records(services.ledger, services.store, job)
    return [line.index for line in lines if line.state is ImageState.FAILED and line.error and line.error.code in codes]
