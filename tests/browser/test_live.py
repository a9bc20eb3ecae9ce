"""The live page in a browser: a job as it runs, cancel, retry, upload. A hand plays the worker."""

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from playwright.sync_api import Page, expect

from producer.inputs.source import BytesSource
from producer.services import Services
from producer.submission.request import Request
from producer.submission.submit import submit
from producer.web.live.serve import Server
from shared.contract import JobState
from tests.browser.conftest import Open
from tests.browser.contrast import too_pale
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


@pytest.fixture
def live(services: Services) -> Iterator[Server]:
    """The page, served by a thread of the test."""
    with Server(services, "127.0.0.1", 0) as server:
        thread = Thread(target=server.run)
        thread.start()
        yield server
        server.stop()
        thread.join()


@pytest.fixture
def open_page(live: Server, open_page: Open) -> Open:
    """Pages are closed before the server ends: one that asks it once more would complain."""
    return open_page


@pytest.fixture
def job(services: Services, worker: ScriptedWorker) -> str:
    """Six pictures in three chunks, the second of them broken."""
    names = [f"picture-{number}{'-broken' if number == 1 else ''}.png" for number in range(6)]
    sources = [BytesSource(name, picture()[:50] if "broken" in name else picture()) for name in names]
    small = Services(msgspec.structs.replace(services.settings, chunk_size=2))
    with small:
        return submit(small, sources, Request(name="by hand"))


def visit(open_page: Open, live: Server, job: str, **options: object) -> Page:
    """The job's page, by the link and a click."""
    page = open_page(live.link, **options)
    page.locator(f'a[href="/jobs/{job}"]').click()
    page.wait_for_url(f"**/jobs/{job}")
    return page


def step(worker: ScriptedWorker, job: str) -> None:
    """One chunk more is done."""
    claim = worker.claim_next(job)
    assert claim is not None
    worker.finish(claim)


def test_the_link_opens_the_page_without_keeping_the_token(open_page: Open, live: Server, job: str) -> None:
    """The address bar has no secret in it, and neither has the page."""
    page = open_page(live.link)
    token = live.link.partition("=")[2]

    expect(page.locator(".job")).to_contain_text("by hand")
    expect(page.get_by_role("table")).to_contain_text("cpu")
    assert token not in page.url
    assert token not in page.content()
    assert page.evaluate("() => document.cookie") == ""


def test_a_job_is_seen_as_it_runs(open_page: Open, live: Server, job: str, worker: ScriptedWorker) -> None:
    """Counts, failures and pictures appear by themselves; what is open stays open."""
    page = visit(open_page, live, job)
    expect(page.locator(".state")).to_contain_text("queued")
    expect(page.locator(".facts")).to_contain_text("Waiting for")
    expect(page.locator(".summary .waits")).to_be_hidden()
    expect(page.locator(".card")).to_have_count(6)
    page.get_by_text("All options").click()

    step(worker, job)
    expect(page.locator(".counts")).to_contain_text("1 succeeded")
    expect(page.locator("#failures")).to_contain_text("picture-1-broken.png")
    expect(page.locator("#failures")).to_contain_text("the bytes are not a picture")
    expect(page.locator(".card").first).to_contain_text("tench")
    expect(page.locator(".card").nth(1)).to_contain_text("no preview")
    expect(page.locator(".options dl")).to_be_visible()
    worker.leave()
    expect(page.locator(".summary .waits")).to_be_visible()
    expect(page.locator(".options dl")).to_be_visible()
    worker.beat()

    worker.work_off(job)
    expect(page.locator(".state")).to_contain_text("partial")
    expect(page.locator(".card .ranks li")).to_have_count(15)
    page.locator("#found").scroll_into_view_if_needed()
    overlay = page.locator(".card").first.locator(".overlay")
    assert overlay.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8


def test_a_picture_that_was_just_dropped_is_soon_looked_for(open_page: Open, live: Server, job: str) -> None:
    """It is done in a fraction of a second: the page waits less than the usual second before its first look."""
    page = visit(open_page, live, job)
    begun = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('?live')).map(e => e.startTime)"
    wait_until(lambda: page.evaluate(begun), "the page looked once")

    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
    assert page.evaluate(begun)[0] - loaded < 1000


def test_a_job_is_cancelled(
    open_page: Open, live: Server, job: str, services: Services, worker: ScriptedWorker
) -> None:
    """After a question, and the page says so; before, that nobody serves it when its worker has left."""
    page = visit(open_page, live, job)
    worker.leave()
    expect(page.locator(".summary .waits")).to_contain_text(f"No worker serves {worker.card.model} now; the job waits")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel the job").click()

    expect(page.locator(".state")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Cancel the job")).to_have_count(0)
    assert services.ledger.status(job).state is JobState.CANCELLED


def test_failed_images_are_run_again(
    open_page: Open, live: Server, job: str, worker: ScriptedWorker, services: Services
) -> None:
    """Only they, and the message for them is sent."""
    worker.work_off(job)
    page = visit(open_page, live, job)
    expect(page.get_by_role("button", name="Retry 1 failed image")).not_to_have_class(re.compile("main"))
    before = sum(services.sender.depth(worker.card.model, priority) for priority in ("high", "bulk"))
    page.get_by_role("button", name="Retry").click()

    expect(page.locator(".counts")).to_contain_text("1 queued")
    expect(page.locator("#failures")).to_have_count(0)
    assert services.ledger.status(job).succeeded == 5
    assert sum(services.sender.depth(worker.card.model, p) for p in ("high", "bulk")) == before + 1


def test_pictures_are_submitted_from_the_browser(
    open_page: Open, live: Server, worker: ScriptedWorker, services: Services, tmp_path: Path
) -> None:
    """Chosen files become a job with the options beside them, and its page opens."""
    names = ["eins.png", "zwei 🐈 & <b>drei.png"]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(picture(colour=(number, 9, 9)))
    page = open_page(live.link)
    page.locator("[name=name]").fill("dropped")
    page.locator("[name=top_k]").select_option("2")
    page.locator("#pictures").set_input_files([tmp_path / name for name in names])
    page.wait_for_url("**/jobs/*")

    expect(page.get_by_role("heading", level=1)).to_have_text("dropped")
    expect(page.locator(".card h3")).to_have_text(names)
    expect(page.locator(".card h3").nth(1)).to_have_attribute("title", names[1])
    job = page.url.rpartition("/")[2]
    assert services.ledger.options(job).top_k == 2
    worker.work_off(job)
    expect(page.locator(".state")).to_contain_text("succeeded")
    expect(page.locator(".card").first.locator(".rank")).to_have_count(2)


def test_pictures_are_asked_for_once_a_worker_serves_a_model(
    open_page: Open, live: Server, services: Services, tmp_path: Path
) -> None:
    """Until then the page tells how to start one; then it follows by itself. Too many pictures are not even sent."""
    page = open_page(live.link)
    expect(page.locator(".drop-zone")).to_contain_text("No worker serves a model now Start one with camq worker")
    expect(page.locator("#pictures")).to_be_disabled()
    expect(page.locator("[name=method]")).to_be_hidden()

    worker = ScriptedWorker(services.ledger, services.store)
    expect(page.locator(".drop-zone")).to_contain_text("Drop pictures here")
    expect(page.locator("#pictures")).to_be_enabled()
    expect(page.locator("[name=method] option")).to_have_text(["cam", "gradcam"])

    (tmp_path / "a.png").write_bytes(picture())
    page.locator("#drop").evaluate("form => { form.dataset.mostFiles = 1; }")
    page.locator("#pictures").set_input_files([tmp_path / "a.png"] * 2)
    expect(page.locator("#drop-hint")).to_contain_text("2 pictures are more than the 1 of one upload: `camq submit")
    assert services.ledger.jobs(1) == []
    worker.leave()


def test_a_page_whose_server_ended_says_so(open_page: Open, live: Server, job: str) -> None:
    """It goes on asking; nothing is lost."""
    page = visit(open_page, live, job, expected="Failed to load resource")
    page.route("**/*", lambda route: route.abort())

    expect(page.locator("#notice")).to_contain_text("The connection is lost")
    page.unroute_all()
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_live_page_fits_and_is_readable(
    open_page: Open, live: Server, job: str, worker: ScriptedWorker, theme: str
) -> None:
    """At three widths nothing sticks out, and every text has enough contrast, with and without pictures."""

    def fits() -> None:
        for width in (1440, 800, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
            assert too_pale(page) == []

    step(worker, job)
    page = open_page(live.link, color_scheme=theme)
    expect(page.locator(".job")).to_be_visible()
    fits()

    page.locator(".job").click()
    page.locator(".card .ranks li").first.wait_for()
    fits()


def test_a_second_look_at_failed_images_is_seen(
    open_page: Open, live: Server, job: str, worker: ScriptedWorker, services: Services
) -> None:
    """Also when it takes less time than the page takes to look: the picture is there afterwards."""
    worker.work_off(job)
    page = visit(open_page, live, job)
    expect(page.locator(".card .reason")).to_have_count(1)
    services.ledger.retry(job, [1])
    worker.broken = None
    worker.work_off(job)

    expect(page.locator(".state")).to_contain_text("succeeded")
    expect(page.locator(".card .reason")).to_have_count(0)
    expect(page.locator(".card").nth(1)).to_contain_text("tench")


def test_the_summary_comes_with_the_results(
    open_page: Open, live: Server, services: Services, worker: ScriptedWorker
) -> None:
    """Where there is ground truth: it grows as the job runs, what was opened stays open, and it leads to pictures."""
    small = Services(msgspec.structs.replace(services.settings, chunk_size=2))
    with small:
        labels = ("tench", "goldfish", "tench", "tabby", "goldfish", "tench")
        job = submit(small, [(picture(), label) for label in labels], Request())
    step(worker, job)
    page = visit(open_page, live, job)
    expect(page.locator("#answers .headline")).to_contain_text("2 pictures with ground truth")
    expect(page.locator("#answers .scores")).to_contain_text("50.0%")
    page.locator("#answers summary").filter(has_text="Classes").click()

    worker.work_off(job)
    expect(page.locator("#answers .headline")).to_contain_text("6 pictures with ground truth", timeout=15_000)
    expect(page.locator("#answers details[open] > summary")).to_contain_text("Classes 3")
    page.locator("#answers tbody tr").filter(has_text="goldfish").locator("a").last.click()

    expect(page.locator("#found")).to_have_text("2 of 6 pictures")
    expect(page.locator("#filter-truth")).to_have_value("goldfish")
