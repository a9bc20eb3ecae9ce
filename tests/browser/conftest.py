"""A real headless Chromium; a page that complains fails its test."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import redis
from playwright.sync_api import Browser, Page, sync_playwright

from producer.services import Services
from shared.config import Settings
from tests.support.jobs.scripted_worker import ScriptedWorker
from tests.support.servers.live_page import Ask, live_page

#: Nothing of the browser's own goes to a network.
_QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
_QUIET += " --disable-component-update --disable-sync"

Open = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder that asks for a page is a browser test."""
    for item in items:
        if "open_page" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Without one the tests are skipped, but in CI they fail.

    It ends with this folder's tests: Playwright keeps an event loop in this thread, which others may want to run.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "there is no chromium on the PATH (Debian: apt-get install chromium)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=_QUIET.split())
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """`open_page(address, width=390)` opens a page; errors and requests to anywhere else fail the test."""
    complaints: list[str] = []
    contexts = []

    def open_one(address: str, *, width: int = 1440, expected: str | None = None, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        home = address.partition("://")[0] if address.startswith("file:") else "/".join(address.split("/")[:3])

        def heard(kind: str, text: str) -> None:
            if kind in ("error", "warning") and (expected is None or expected not in text):
                complaints.append(f"{kind}: {text}")

        page.on("console", lambda message: heard(message.type, message.text))
        page.on("pageerror", lambda error: heard("error", str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((home, "data:")) else complaints.append(f"request to {request.url}")
            ),
        )
        page.goto(address)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def services(settings: Settings, empty_redis: redis.Redis) -> Iterator[Services]:
    """A producer's way to the session's servers; Redis is empty. A worker's hand beats once and lives for the test."""
    with Services(msgspec.structs.replace(settings, lease_s=320)) as found:
        yield found


@pytest.fixture
def worker(services: Services) -> Iterator[ScriptedWorker]:
    """A hand that serves a tiny model."""
    found = ScriptedWorker(services.ledger, services.store)
    yield found
    found.leave()


@pytest.fixture
def ask(services: Services) -> Iterator[Ask]:
    """The live page's answers, as its script asks for them."""
    with live_page(services) as found:
        yield found
