"""`Job` follows one job and reads its results."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from producer.results import download
from producer.results import records as results
from producer.results import retry as redrive
from producer.results.answered import Answered
from producer.results.folder import NAMED_BY, RESULTS
from producer.results.objects import ImageResult
from producer.watch import follow
from shared.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator

    from pandas import DataFrame  # type: ignore[import-untyped]

    from producer.progress import Display
    from producer.results.analysis.evaluation import MethodEvaluation
    from producer.services import Services
    from shared.contract import JobStatus, JobSummary


class Job:
    """A handle to a submitted job, which runs on the servers whether or not the handle exists."""

    def __init__(self, services: Services, job: str) -> None:
        self.id = job
        self._services = services
        #: The newest status that was asked for: a look at the handle asks no server.
        self._seen: JobStatus | None = None
        self._answered = Answered()

    def __repr__(self) -> str:
        if self._seen is None:
            return f"Job({self.id!r})"
        return f"Job({self.id!r}, {self._seen.state}, {self._seen.done} of {self._seen.total})"

    def _repr_html_(self) -> str:
        """State, progress and counts, for a notebook."""
        from producer.results.notebook import job_html

        return job_html(self.status())

    def status(self) -> JobStatus:
        """The job's state and counts. Raises UnknownJobError when there is no such job."""
        self._seen = self._services.ledger.status(self.id)
        return self._seen

    def wait(self, timeout: float | None = None, progress: bool = False) -> JobStatus:
        """Wait for the final status. Raises TimeoutError after `timeout` seconds; the job continues."""
        from producer.progress import Display

        deadline = None if timeout is None else time.monotonic() + timeout
        with Display(enabled=progress) as display, closing(self._follow(display)) as statuses:
            for status in statuses:
                display.status(status)
                self._seen = status
                if status.state.finished:
                    return status
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"job {self.id} is still {status.state} after {timeout:g} s")
        raise AssertionError("following a job ends with its final status")

    def _follow(self, display: Display) -> Generator[JobStatus, None, None]:
        return follow(self._services.ledger, self.id, display.notice, self._answered.heard)

    def results(self) -> Iterator[ImageResult]:
        """Every image's result so far, by index. Of a job that still runs, some say `queued` or `running`."""
        services, answered = self._services, self._answered
        threads = services.settings.io_threads
        for record in results.records(services.ledger, services.store, self.id, threads=threads, answered=answered):
            yield ImageResult.of(record, services.store, answered.overlay)

    def stream(self) -> Iterator[ImageResult]:
        """Every image's result once, as soon as it has its final state, until the job has finished.

        They come in the order in which chunks are done. An image that is retried meanwhile is not given again.
        """
        from producer.progress import Display
        from producer.results.stream import arrivals

        ledger, store = self._services.ledger, self._services.store
        threads = self._services.settings.io_threads
        with Display(enabled=False) as display, closing(self._follow(display)) as statuses:
            for record in arrivals(ledger, store, self.id, statuses, threads=threads):
                yield ImageResult.of(record, store)

    def to_pandas(self) -> DataFrame:
        """A data frame with one row per prediction, and one for each image without any.

        The columns are those of `camq results --format csv`. CamqError says how to get pandas where it is missing.
        """
        from producer.results import table

        services = self._services
        found = results.records(services.ledger, services.store, self.id, threads=services.settings.io_threads)
        return table.to_pandas(table.rows(found))

    def summary(self) -> JobSummary:
        """How often the answer was right, by class, with confusions and calibration: as `camq summary` has it.

        Reads every result once. Of a job without ground truth, `with_truth` is 0.
        """
        from producer.results.analysis.accuracy import summarise_job

        services = self._services
        return summarise_job(services.ledger, services.store, self.id, threads=services.settings.io_threads)

    def evaluation(self) -> list[MethodEvaluation]:
        """How faithful the maps of each method are: the numbers of `camq evaluate`, so far.

        Empty for a job that was submitted without `evaluate=["cam", "layercam"]` or another list of methods.
        """
        from producer.results.analysis.evaluation import evaluated

        return evaluated(self._services, self.id).methods

    def cancel(self) -> bool:
        """Stop the job; False if it had finished already."""
        return self._services.ledger.cancel(self.id)

    def retry(self, codes: Collection[str] = ()) -> int:
        """Retry the failed images, all or those that failed with one of `codes`; the number of images retried."""
        return redrive.retry(self._services, self.id, codes)

    def report(self, path: str | Path, *, embed: bool = False) -> Path:
        """Write the results as an HTML page, its thumbnails beside it or, with `embed`, inside; the path."""
        from producer.web.report import write_report

        write_report(self._services, self.id, Path(path), embed=embed)
        return Path(path)

    def download(self, folder: str | Path, *, names: str = "index") -> Path:
        """Overlays and `results.jsonl` (written last) into `folder`; the path of that file.

        Overlays are named by their image's index, or with `names="source"` after its picture.
        """
        if names not in NAMED_BY:
            raise UsageError(f"invalid names {names!r}: expected one of {', '.join(NAMED_BY)}")
        services = self._services
        threads = services.settings.io_threads
        files = download.download(services.ledger, services.store, self.id, Path(folder), threads=threads, names=names)
        download.drain(files)
        return Path(folder) / RESULTS
