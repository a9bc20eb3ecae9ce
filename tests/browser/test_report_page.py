"""What the page from disk says around its pictures: failures, times, themes, names, and that it fits."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.contrast import LOOKS, too_pale
from tests.browser.galleries import gallery, status_of, write
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a gallery of ten pictures."""
    return write(tmp_path_factory.mktemp("reports") / "report.html", gallery(10)).as_uri()


def test_failures_are_text_without_a_click_or_a_script(open_page: Open, ten: str) -> None:
    """The page says what failed and why before anything runs; each name leads to its picture."""
    page = open_page(ten, java_script_enabled=False)
    assert page.locator("#failures a").get_attribute("href") == "#image=4"

    expect(page.locator("#failures")).to_contain_text("the data of photos/picture.jpg ends early")
    expect(page.locator("#failures code")).to_have_text("truncated")
    expect(page.locator("noscript")).to_be_attached()


@LOOKS
def test_the_page_fits_and_is_readable(open_page: Open, ten: str, width: int, theme: str) -> None:
    """At three widths and in both themes nothing sticks out, and every text has a contrast of 4.5 or more."""
    page = open_page(ten, width=width, color_scheme=theme)
    page.locator(".card").first.wait_for()

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert too_pale(page) == []


def test_the_theme_can_be_changed(open_page: Open, ten: str) -> None:
    """By button or key, and it is remembered."""
    page = open_page(ten, color_scheme="light")
    light = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("t")

    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != light

    def is_dark_after_a_reload() -> bool:
        page.reload()
        return page.locator("html").get_attribute("data-theme") == "dark"

    # Chromium hands what a page stores to its other processes a moment later.
    wait_until(is_dark_after_a_reload, "the theme is remembered")


def test_hostile_names_are_shown_as_they_are(open_page: Open, tmp_path: Path) -> None:
    """Markup, quotes and emoji in names and labels are letters and nothing more; what moves text is an escape."""
    name = "</script><img src=x onerror=alert(1)>\"'\n\u202e🐈\u200d⬛.jpg"
    seen = name.replace("\n", "\\n").replace("\u202e", "\\u202e")
    page = open_page(write(tmp_path / "a #1 %41?.html", gallery(10, source=name, label=f"{name}!")).as_uri())

    expect(page.locator(".card h3").first).to_have_attribute("title", seen)
    expect(page.locator(".label-name").first).to_have_text(f"{seen}!")
    expect(page.locator("#failures")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("img[src=x]").count() == 0


def test_a_page_of_some_pictures_names_every_failure(open_page: Open, tmp_path: Path) -> None:
    """The page says how much of the job it shows; failures are counted whole, by code, and only cards are linked."""
    images = gallery(45)
    names = [f"photos/{word}.jpg" for word in ("one", "two", "three", "four", "five")]
    for image, name in zip((image for image in images if image["error"]), names, strict=False):
        image["source"], image["error"] = name, {"code": "empty", "message": "the file has no bytes"}
    failed = [image for image in images if image["error"]]
    page = open_page(write(tmp_path / "report.html", images, status_of(images), shown=20).as_uri())

    expect(page.locator("#failures-title")).to_have_text(f"✕ {len(failed)} images failed")
    expect(page.locator("#failures .code")).to_contain_text(f" {len(failed)}")
    expect(page.locator("#cut")).to_contain_text("shows the first 20 of 45 pictures")
    expect(page.locator("#found")).to_have_text("20 pictures")
    expect(page.locator("#failures a")).to_have_text([f"{image['source']} ({image['id']})" for image in failed[:2]])
    expect(page.locator("#failures")).to_contain_text("and 1 more")
    page.get_by_text("and 1 more").click()
    expect(page.get_by_text(names[4])).to_be_visible()


def test_a_phone_shows_a_reason_of_two_lines_whole(open_page: Open, tmp_path: Path) -> None:
    """Nothing can be pointed at there to see the rest of a line that is cut."""
    images = gallery(60)
    for place, image in enumerate(image for image in images if image["error"]):
        code = ("not_an_image", "too_large", "unsupported")[place % 3]
        image["error"] = {"code": code, "message": "a sentence that is longer than a phone is wide, but no page"}
    page = open_page(write(tmp_path / "report.html", images, status_of(images)).as_uri(), width=390)
    page.locator(".card").first.wait_for()

    cut = (
        "(all) => all.filter((one) => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight).length"
    )
    assert page.locator("#failures .why").count() == 3
    assert page.locator("#failures .why").evaluate_all(cut) == 0


@pytest.mark.parametrize(("width", "most"), [(1440, 420), (390, 760)])
def test_many_failures_leave_the_pictures_in_sight(open_page: Open, tmp_path: Path, width: int, most: int) -> None:
    """Three codes, long reasons and long paths take a few lines; each file's own name is not what is cut."""
    images = gallery(60)
    for place, image in enumerate(image for image in images if image["error"]):
        image["source"] = f"photographs/2026/november/a-long-holiday-in-the-mountains-{image['index']:04}.jpeg"
        code = ("not_an_image", "too_large", "unsupported")[place % 3]
        image["error"] = {"code": code, "message": "a sentence that is longer than any page is wide, " * 4}
    page = open_page(write(tmp_path / "report.html", images, status_of(images)).as_uri(), width=width)
    page.locator(".card").first.wait_for()

    assert page.locator("#grid").bounding_box()["y"] <= most  # type: ignore[index]
    file = page.locator("#failures .file").first
    expect(file).to_have_css("direction", "rtl")
    expect(file).to_have_text(images[4]["source"] + " (key-4)")


def test_times_are_the_readers_own(open_page: Open, ten: str) -> None:
    """A clock in Tokyo; the tooltip keeps UTC."""
    page = open_page(ten, timezone_id="Asia/Tokyo")

    expect(page.locator("time")).to_have_text("23 Nov 2026, 17:15")
    expect(page.locator("time")).to_have_attribute("title", "23 Nov 2026, 08:15 UTC")


def test_a_gallery_without_pictures_says_so(open_page: Open, tmp_path: Path) -> None:
    """An empty job is no error."""
    page = open_page(write(tmp_path / "report.html", []).as_uri())

    expect(page.locator("#empty")).to_contain_text("Nothing to show yet")
