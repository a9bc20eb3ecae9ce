"""The Python API: `Client` submits and finds jobs."""

from __future__ import annotations

import logging
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from producer.api.job import Job
from producer.inputs.data_sets import items
from producer.inputs.expand import Expansion
from producer.lookup import find_job
from producer.results.objects import ImageResult, Prediction
from producer.services import Services
from producer.submission.request import Request, checked_tags
from producer.submission.submit import Listener, submit
from shared.config import Settings, redis_address
from shared.errors import CamqError, ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from shared.contract import JobStatus, TruthFrom, WorkerInfo
    from shared.storage import ObjectStore

__all__ = ["Client", "ImageResult", "Job", "Prediction"]

log = logging.getLogger("camq")


class Client:
    """Connects to camq's servers when used. Settings come from `CAMQ_*` variables unless given."""

    def __init__(self, settings: Settings | None = None, *, store: ObjectStore | None = None) -> None:
        self._services = Services(settings or Settings.load(), store=store)

    def submit(
        self,
        images: object,
        *,
        model: str | None = None,
        priority: str | None = None,
        job_id: str | None = None,
        name: str | None = None,
        webhook: str | None = None,
        tags: Iterable[str] = (),
        source_column: str | None = None,
        truth: TruthFrom | None = None,
        **options: Any,
    ) -> Job:
        """Submit one image or many: paths, folders, .zip and .tar archives, patterns, URLs, s3:// addresses, bytes,
        open files, PIL images, arrays, tensors; or what holds them: a list, a mapping from ids of yours to one picture
        each, a data set of pairs (picture, label), a data frame whose pictures are in `source_column`. Results carry
        ids, and labels and further columns as `fields`.

        `options` are those of the command with underscores (`top_k=5`, `classes=[283, "tabby"]`,
        `output="s3://bucket/prefix"`). Raises UsageError before anything is uploaded, UnreachableError when a
        service cannot be reached. With the same `job_id` and content it resumes an interrupted submission, or does
        nothing. With `truth="labels"` or `truth="folders"`, the labels of pictures, or the names of their folders, must
        be classes of the model; results carry `truth` wherever a label is one. `webhook` is a URL that receives the
        final status; `CAMQ_WEBHOOK_HOSTS` must allow its host.
        """
        request = Request(
            model=model,
            options=options,
            priority=priority,
            job_id=job_id,
            name=name,
            webhook=webhook,
            tags=checked_tags(tags),
            truth=truth,
        )
        given = images if source_column is None else items(images, source_column)
        return Job(self._services, submit(self._services, given, request, Listener(notice=log.warning)))

    def explain(self, picture: object, *, timeout: float | None = None, **options: Any) -> ImageResult:
        """Submit one picture and wait for its result; `options` as in `submit`.

        Raises UsageError when `picture` is not exactly one, ImageError when it cannot be explained, and
        TimeoutError after `timeout` seconds; then, and when it is interrupted, the job is cancelled.
        """
        one = list(islice(Expansion(picture, store=lambda: self._services.store), 2))
        if len(one) != 1:
            raise UsageError(f"explain takes one picture, but {picture!r} is several: use submit")
        job = self.submit(one, **options)
        try:
            job.wait(timeout)
        except BaseException:
            with suppress(CamqError):  # the first error says more than a service that cannot be reached for this
                job.cancel()
            raise
        (result,) = job.results()
        if result.error:
            code, message = result.error.code, result.error.message
            raise ImageError(code, message if result.source in message else f"{result.source}: {message}")
        return result

    def job(self, job: str) -> Job:
        """A job by its id, the beginning of its id, its name, or `latest` (the newest one that is no evaluation).

        Raises UnknownJobError when there is none, and UsageError when several jobs are meant.
        """
        return Job(self._services, find_job(self._services.ledger, job))

    def jobs(self, limit: int = 100, *, tags: Collection[str] = ()) -> list[JobStatus]:
        """The newest jobs first; with `tags`, only jobs with all of them."""
        return self._services.ledger.jobs(limit, tags)

    def workers(self) -> list[WorkerInfo]:
        """The live workers."""
        return self._services.ledger.workers()

    def close(self) -> None:
        """Close the connections. Jobs continue."""
        self._services.close()

    def __repr__(self) -> str:
        settings = self._services.settings
        return f"Client({redis_address(settings)}, {settings.s3_endpoint}/{settings.bucket})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
