"""Submit: check the request, upload, register chunk by chunk, send hints. Interrupted, it can be resumed."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import msgspec

from producer.inputs.expand import Expansion
from producer.inputs.source import Source
from producer.outage import Patience
from producer.parallel import ordered
from producer.services import Services
from producer.submission.chunks import SMALL, chunks
from producer.submission.entrance import Entrance, Placed
from producer.submission.model_choice import resolve
from producer.submission.output import prove_writable
from producer.submission.tags import checked_tags
from shared.config import Settings
from shared.contract import MAX_IMAGES_PER_JOB, PRIORITIES, SLOW_METHODS, JobId, ModelCard, Options, Priority
from shared.errors import DeletionError, UnreachableError, UsageError
from shared.options import check_choice, check_options, check_values
from shared.output import check_output
from shared.webhook import check_webhook

#: A job of at most this many images is somebody waiting; a larger one can wait its turn.
HIGH_AT_MOST = 16
#: So many images are listed before the first upload, so that usual jobs know their total; more are streamed.
LOOK_AHEAD = 10_000


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a submission while it runs."""

    #: The job's id, before the first upload.
    job: Callable[[str], None] = _ignore
    #: Images uploaded so far, and how many there are, once that is known.
    progress: Callable[[int, int | None], None] = _ignore
    #: A sentence about something that is no error.
    notice: Callable[[str], None] = _ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for. `options` has the fields of `shared.contract.Options`; None means its default."""

    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    priority: str | None = None
    job_id: str | None = None
    name: str | None = None
    #: URL that is told of the job's end.
    webhook: str | None = None
    tags: Sequence[str] = ()


def new_job_id() -> str:
    """Short, readable, and later ids sort later."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def check_early(request: Request) -> str:
    """The request's job id, or a new one. UsageError for what is wrong whatever the model is."""
    check_choice("priority", request.priority, PRIORITIES)
    check_values(request.options)
    checked_tags(request.tags)
    return _checked_id(request.job_id)


def check_hook(request: Request, settings: Settings) -> None:
    """UsageError for a webhook that may not be sent."""
    if request.webhook is not None:
        check_webhook(request.webhook, settings.webhook_hosts)


def judge(services: Services, request: Request) -> tuple[ModelCard, bool, Options]:
    """The card of the model that is asked for, whether it is served now, and the options it makes of the request."""
    card, served = resolve(services.ledger, request.model or services.settings.model)
    options = check_options(card, request.options)
    if options.output:
        options = msgspec.structs.replace(options, output=check_output(options.output, services.settings))
    return card, served, options


def submit(services: Services, images: object, request: Request, listener: Listener | None = None) -> str:
    """The id of the job that `images` became. Everything is checked before the first upload.

    The same request again with the same `job_id` goes on where it was interrupted, or does nothing.
    """
    listener = listener or Listener()
    job = check_early(request)
    check_hook(request, services.settings)
    stream = iter(Expansion(images, store=lambda: services.store, notice=listener.notice))
    head = _look_ahead(stream)
    following = list(islice(stream, 1))  # one more tells whether these are all
    card, served, options = judge(services, request)
    priority: Priority = "high" if len(head) <= HIGH_AT_MOST else "bulk"
    if request.priority is not None:
        priority = msgspec.convert(request.priority, Priority)
    if not served:
        listener.notice(f"no worker serves {card.model} now; the job waits until one does")
    services.store  # noqa: B018 - away or not, it shows before the job is opened
    if options.output:
        prove_writable(services.store, job, options.output)
    with services.tracing.span("submit", "producer", job=job, model=card.model, priority=priority) as span:
        submission = _Submission(services, job, card.model, listener)
        submission.open(options, priority, request, span.context)
        span.set(images=submission.run(chain(head, following, stream), None if following else len(head)))
    return job


class _Submission:
    """One job on its way into the ledger."""

    def __init__(self, services: Services, job: str, model: str, listener: Listener) -> None:
        self._services = services
        self._ledger = services.ledger
        self._job = job
        self._model = model
        self._listener = listener
        self._patient = Patience(listener.notice)
        #: An earlier run of the same submission opened the job.
        self._resumed = False
        self._chunk_size = services.settings.chunk_size

    def open(self, options: Options, priority: Priority, request: Request, trace: str) -> None:
        def begin() -> bool:
            return self._ledger.open_job(
                self._job,
                model=self._model,
                options=options,
                priority=priority,
                name=request.name,
                tags=checked_tags(request.tags),
                webhook=request.webhook,
                trace=trace,
            )

        try:
            is_new = begin()
        except DeletionError:  # Redis is there; what is left of an earlier job of this id soon is not
            is_new = self._patient(begin)
        self._resumed = not is_new
        if options.method in SLOW_METHODS and self._chunk_size is None:
            self._chunk_size = SMALL
        self._listener.job(self._job)

    def run(self, sources: Iterable[Source], total: int | None) -> int:
        """How many images the job has."""
        settings = self._services.settings
        count = 0
        try:
            entrance = Entrance(self._services, self._job, self._patient)
            with closing(ordered(entrance.place, enumerate(sources), threads=settings.io_threads)) as images:
                for number, placed in enumerate(chunks(self._counted(images, total), self._chunk_size)):
                    count += len(placed)
                    entrance.register(f"{number:06d}", placed)
                    placed.clear()  # else its sources would be held while the next chunk is collected
                    self._refill()
            self._seal(count)
        finally:
            self._patient.give_up()  # else an upload that waits for storage would outlive us
        return count

    def _counted(self, images: Iterable[Placed], total: int | None) -> Iterator[Placed]:
        for count, placed in enumerate(images, 1):
            if count > MAX_IMAGES_PER_JOB:
                raise UsageError(f"a job has at most {MAX_IMAGES_PER_JOB} images; submit the others as another job")
            yield placed
            self._listener.progress(count, total)

    def _seal(self, count: int) -> None:
        if self._resumed and self._patient(lambda: self._ledger.status(self._job)).total != count:
            raise UsageError(f"job {self._job} exists with other pictures or ids; take another --job-id")
        self._patient(lambda: self._ledger.seal(self._job))
        self._refill()

    def _refill(self) -> None:
        """Send what has a place in the queue now, so that an idle worker starts at once."""
        hints = self._patient(lambda: self._ledger.refill(self._model))
        with suppress(UnreachableError):  # a hint that was not sent is found overdue by a worker's reaper
            self._services.sender.send(hints)


def _look_ahead(stream: Iterator[Source]) -> list[Source]:
    head: list[Source] = []
    for source in islice(stream, LOOK_AHEAD):
        head.append(source)
        if source.held and len(head) > HIGH_AT_MOST:
            break
    return head


def _checked_id(job_id: str | None) -> str:
    try:
        return msgspec.convert(new_job_id() if job_id is None else job_id, JobId)
    except msgspec.ValidationError:
        raise UsageError(
            f"{job_id!r} cannot be a job id: up to 64 letters, digits, '-' and '_', the first a letter or digit"
        ) from None
