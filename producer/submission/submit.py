"""Submit: check the request, upload, register chunk by chunk, send hints. Interrupted, it can be resumed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat

from producer.inputs.expand import Expansion
from producer.inputs.left_out import LeftOut
from producer.inputs.source import Source
from producer.outage import Patience
from producer.parallel import ordered
from producer.services import Services
from producer.submission.expected import MOST_CHECKED, Expected
from producer.submission.request import HIGH_AT_MOST, Request, new_job_id, prove_writable, resolve_request
from producer.submission.upload import Uploader
from shared.contract import MAX_IMAGES_PER_JOB, SLOW_METHODS, ImageRef, Options, Priority
from shared.errors import DeletionError, TakenError, UnreachableError, UsageError
from shared.ledger.submission import add_chunk

#: This many images are listed before the first upload, so that usual jobs know their total; more are streamed.
LOOK_AHEAD = 10_000
#: A job's first images travel in small chunks: many workers get a share, and little is done again after a death.
SMALL = 32
#: So many of them; who has more images than these hold counts images per second. A message costs a worker some ten
#: milliseconds of a core whatever it carries, so larger chunks then cost a third as much per image.
SMALL_ONES = 256
#: Not as large as they could be: an urgent job waits until a worker has finished a chunk, reckoned 3 seconds for
#: ResNet18 on two cores (45 images/s); 13 seconds at 10 images/s, where `CAMQ_CHUNK_SIZE=32` when submitting helps.
LARGE = 128
#: Of pictures whose maps are evaluated, each of which takes some fifty forwards for every method.
EVALUATED = 8


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Listener:
    """Functions that are called while a submission runs."""

    #: The job's id: before the first upload, or, of a job id that was used before, once the pictures proved the same.
    job: Callable[[str], None] = _ignore
    #: Images uploaded so far, and how many there are, once that is known.
    progress: Callable[[int, int | None], None] = _ignore
    #: A sentence for the user that is not an error.
    notice: Callable[[str], None] = _ignore
    #: Which model the settings chose, where the request names none.
    chosen: Callable[[str], None] = _ignore


def submit(services: Services, images: object, request: Request, listener: Listener | None = None) -> str:
    """Submit `images` as one job; its id. The request is checked before the first upload.

    The same request with the same `job_id` resumes where it was interrupted, or does nothing.
    """
    listener = listener or Listener()
    request = request.validate(services.settings)
    job = request.job_id or new_job_id()
    expansion = Expansion(images, store=lambda: services.store, notice=listener.notice)
    stream = iter(expansion)
    head = _look_ahead(stream, checked=request.truth is not None)
    following = list(islice(stream, 1))  # one more tells whether these are all
    card, served, options = resolve_request(services, request)
    expected = Expected(card, request.truth, options)
    head = list(map(expected, head))
    expected.check_some()
    priority = request.priority_for(len(head))
    if request.model is None and services.settings.model:
        listener.chosen(f"model: {card.model}, from CAMQ_MODEL")
    if not served:
        listener.notice(f"no worker serves {card.model} now; the job waits until one does")
    services.store  # noqa: B018 - connects: an outage shows before the job is opened
    if options.output:
        prove_writable(services.store, job, options.output)
    with services.tracing.span("submit", "producer", job=job, model=card.model, priority=priority) as span:
        submission = _Submission(services, job, card.model, listener)
        submission.open(options, priority, request, span.context)
        every = chain(head, map(expected, chain(following, stream)))
        span.set(images=submission.run(every, None if following else len(head), expansion.left_out))
    for said in (str(expansion.left_out), expected.left):
        if said:
            listener.notice(said)
    return job


class _Submission:
    """Registers one job in the ledger, chunk by chunk."""

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
                tags=tuple(request.tags),
                webhook=request.webhook,
                trace=trace,
            )

        try:
            is_new = begin()
        except DeletionError:  # Redis is there; the deletion ends by itself, `gc --now` within ten minutes
            is_new = self._patient(begin)
        self._resumed = not is_new
        if self._chunk_size is None and options.evaluate:
            self._chunk_size = EVALUATED
        elif self._chunk_size is None and options.method in SLOW_METHODS:
            self._chunk_size = SMALL
        if is_new:
            self._listener.job(self._job)

    def run(self, sources: Iterable[Source], total: int | None, left_out: LeftOut) -> int:
        """Upload and register all images, then seal the job with what was left out; the number of images."""
        settings = self._services.settings
        count = 0
        try:
            upload = Uploader(
                self._services.store, limit=settings.max_image_bytes, patient=self._patient, lone=total == 1
            )
            with closing(ordered(upload, enumerate(sources), threads=settings.io_threads)) as images:
                for number, chunk in enumerate(chunks(self._counted(images, total), self._chunk_size)):
                    count += len(chunk)
                    add = partial(add_chunk, self._ledger, self._services.store, self._job, f"{number:06d}", chunk)
                    self._patient(add)
                    self._refill()
            self._seal(count, left_out)
        finally:
            self._patient.give_up()  # else an upload that waits for storage would outlive us
        return count

    def _counted(self, images: Iterable[ImageRef], total: int | None) -> Iterator[ImageRef]:
        for count, image in enumerate(images, 1):
            if count > MAX_IMAGES_PER_JOB:
                raise UsageError(f"a job has at most {MAX_IMAGES_PER_JOB} images; submit the others as another job")
            yield image
            self._listener.progress(count, total)

    def _seal(self, count: int, left_out: LeftOut) -> None:
        if self._resumed and self._patient(lambda: self._ledger.status(self._job)).total != count:
            raise TakenError(f"job {self._job} already exists with other pictures or ids; use another --job-id")
        self._patient(lambda: self._ledger.seal(self._job, left_out.counts))
        if self._resumed:
            self._listener.job(self._job)

    def _refill(self) -> None:
        """Send what has a place in the queue now, so that an idle worker starts at once."""
        hints = self._patient(lambda: self._ledger.refill(self._model))
        with suppress(UnreachableError):  # a hint that was not sent is found overdue by a worker's reaper
            self._services.sender.send(hints)


def _look_ahead(stream: Iterator[Source], *, checked: bool) -> list[Source]:
    """The first pictures; all of them, within reason, where each must be `checked` before the first upload."""
    head: list[Source] = []
    for source in stream:
        head.append(source)
        checked = checked or source.notes.classes is not None
        most = MOST_CHECKED if checked else LOOK_AHEAD
        if len(head) >= most or (source.held and len(head) > HIGH_AT_MOST):
            break
    return head


def chunks(images: Iterable[ImageRef], size: int | None) -> Iterator[list[ImageRef]]:
    """`size` images each, or as many as suit the job. A submission that is resumed makes the same ones."""
    sizes = chain(repeat(SMALL, SMALL_ONES), repeat(LARGE)) if size is None else repeat(size)
    left = iter(images)
    for room in sizes:
        chunk = list(islice(left, room))
        if not chunk:
            return
        yield chunk
