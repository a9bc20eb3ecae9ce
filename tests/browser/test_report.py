"""The gallery in a browser, from disk: with ten pictures and with five thousand."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.galleries import LABELS, gallery, write
from tests.support.waiting import wait_until

PAGE = 60
#: For tests whose subject is the same at any size, and for those that are harder with many pictures.
FEW = pytest.mark.parametrize("number", [10])
MANY = pytest.mark.parametrize("number", [5_000])
Report = Callable[..., Page]


@pytest.fixture(params=[10, pytest.param(5_000, marks=pytest.mark.slow)])
def number(request: pytest.FixtureRequest) -> int:
    """How many pictures the gallery has."""
    return int(request.param)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Addresses of the galleries, by their number of pictures."""
    folder = tmp_path_factory.mktemp("reports")
    return {n: write(folder / f"report-{n}.html", gallery(n)).as_uri() for n in (10, 5_000)}


@pytest.fixture
def report(open_page: Open, reports: dict[int, str], number: int) -> Report:
    """Opens the gallery and waits for its first card."""

    def opened(**options: object) -> Page:
        page = open_page(reports[number], **options)
        page.locator(".card").first.wait_for()
        return page

    return opened


def indices(page: Page) -> list[int]:
    """The indices of the cards, as they stand."""
    return [int(text) for text in page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.index)")]


def focused(page: Page) -> str | None:
    """The index of the card that has the keyboard."""
    return page.evaluate("() => document.activeElement.dataset.index ?? null")


def test_the_gallery_opens_from_disk(report: Report, number: int) -> None:
    """The job in words, a page of cards, pictures with a name, and nothing from a network."""
    page = report()

    expect(page.get_by_role("heading", level=1)).to_have_text("Holiday photographs")
    expect(page.locator("#found")).to_have_text(f"{number:,} pictures")
    expect(page.locator(".card")).to_have_count(min(number, PAGE))
    expect(page.locator(".card img").first).to_have_attribute("alt", "photos/picture-0.jpg")
    expect(page.locator(".card").first).to_contain_text("tabby")
    expect(page.locator(".card").first).to_contain_text("60.0%")
    assert page.locator(".card img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 40


@MANY
def test_searching_finds_names_and_labels(report: Report, number: int) -> None:
    """Every word must be found, in the name or in a label."""
    page = report()
    page.keyboard.press("/")
    page.keyboard.type("MOPED picture-2.")

    expect(page.locator("#found")).to_have_text(f"1 of {number:,} pictures")
    assert indices(page) == [2]

    page.locator("#search").fill("nothing is called so")
    expect(page.locator("#empty")).to_be_visible()

    page.keyboard.press("Escape")
    expect(page.locator("#found")).to_have_text(f"{number:,} pictures")


@MANY
def test_a_label_filters_by_a_click(report: Report, number: int) -> None:
    """The list counts best labels and names the usual runner-up; a second click takes the filter away."""
    page = report()
    label = page.locator(".label").filter(has=page.get_by_text("moped", exact=True)).first
    expect(label).to_contain_text(f"{number // 5:,}")
    expect(label).to_contain_text("runner-up crane")
    label.click()

    expect(page.locator("#found")).to_have_text(f"{number // 5:,} of {number:,} pictures")
    assert indices(page)[:2] == [3, 8]

    page.locator(".label[aria-pressed=true]").click()
    expect(page.locator("#found")).to_have_text(f"{number:,} pictures")


@MANY
def test_a_state_filters(report: Report, number: int) -> None:
    """Failed images alone, each with its reason."""
    page = report()
    page.locator("#filter-state").select_option("failed")

    expect(page.locator("#found")).to_have_text(f"{number // 10:,} of {number:,} pictures")
    expect(page.locator(".card .reason").first).to_contain_text("truncated")


@pytest.mark.parametrize(
    ("order", "best"),
    [
        ("confident", lambda n: 0),
        ("unsure", lambda n: n - 1),
        ("close", lambda n: 0),
        ("clear", lambda n: n - 1),
        ("label", lambda n: 9),
        ("index", lambda n: 0),
    ],
)
def test_pictures_are_sorted(report: Report, number: int, order: str, best: Callable[[int], int]) -> None:
    """By confidence, by the margin between the first two, by label, by index; what failed comes last."""
    page = report()
    page.locator("#sort").select_option(order)

    assert indices(page)[0] == best(number)
    if number == 10 and order != "index":
        assert indices(page)[-1] == 4


@MANY
def test_the_keyboard_steps_through_the_pictures(report: Report, number: int) -> None:
    """Arrows step, digits show overlays with their box, and the same digit takes them away."""
    page = report()
    page.keyboard.press("ArrowRight")
    assert focused(page) == "0"
    page.keyboard.press("ArrowRight")
    assert focused(page) == "1"
    page.keyboard.press("ArrowDown")
    columns = page.evaluate(
        "() => getComputedStyle(document.getElementById('grid')).gridTemplateColumns.split(' ').length"
    )
    assert focused(page) == str(1 + columns)
    page.keyboard.press("ArrowUp")

    page.keyboard.press("2")
    card = page.locator(".card:focus")
    expect(card.locator(".overlay")).to_have_attribute("alt", f"Where the network looked for {LABELS[2]}")
    expect(card.locator(".box")).to_be_visible()
    inside = card.locator(".box").evaluate(
        "box => [box.offsetLeft, box.offsetTop].map((x) => x / box.offsetParent.offsetWidth)"
    )
    assert inside == [pytest.approx(0.1, abs=0.01), pytest.approx(0.075, abs=0.01)]
    expect(card.locator(".rank[aria-pressed=true]")).to_have_count(1)
    page.keyboard.press("2")
    expect(card.locator(".overlay")).to_have_count(0)

    page.keyboard.press("End")
    assert focused(page) == str(number - 1)
    page.keyboard.press("Home")
    assert focused(page) == "0"


def test_pages_turn_with_the_keyboard_and_the_pager(report: Report, number: int) -> None:
    """A step over the edge of a page turns it; few pictures need no pager."""
    page = report()
    if number <= PAGE:
        expect(page.locator("#pager")).to_be_hidden()
        return
    page.get_by_role("button", name="Next →").click()
    assert indices(page)[0] == PAGE
    page.keyboard.press("ArrowLeft")
    assert focused(page) == str(PAGE - 1)
    page.get_by_role("button", name="Last").click()
    assert indices(page)[-1] == number - 1


@FEW
def test_hovering_shows_the_overlay(report: Report) -> None:
    """The page opens with the best one; its original over the picture, another one over its bar, then the best again.

    Without an overlay the picture shows its best one, and a control of the overlays brings it to all.
    """
    page = report()
    card = page.locator(".card").first
    overlay = card.locator(".overlay")
    expect(overlay).to_have_attribute("src", "pictures/1.webp")
    card.locator(".stage").hover()
    expect(overlay).to_have_count(0)
    card.locator(".rank").nth(2).hover()
    expect(overlay).to_have_attribute("src", "pictures/3.webp")
    page.locator("h1").hover()
    expect(overlay).to_have_attribute("src", "pictures/1.webp")

    page.get_by_role("radio", name="No overlay").check()
    expect(overlay).to_have_count(0)
    expect(page.locator("#hint")).to_contain_text("press 1 to see the heat")
    card.locator(".stage").hover()
    expect(overlay).to_have_attribute("src", "pictures/1.webp")
    page.locator("h1").hover()
    page.locator("#heat").fill("50")
    expect(page.get_by_role("radio", name="Overlay of prediction 1")).to_be_checked()
    expect(overlay).to_have_count(1)


@FEW
def test_the_slider_fades_the_heat(report: Report) -> None:
    """The original shines through as the overlay goes; the box can be taken away."""
    page = report(reduced_motion="reduce")
    page.keyboard.press("1")
    overlay = page.locator(".overlay").first
    expect(overlay).to_have_css("opacity", "1")
    page.locator("#heat").fill("30")
    expect(overlay).to_have_css("opacity", "0.3")
    page.locator("h1").click()
    page.keyboard.press("[")
    expect(overlay).to_have_css("opacity", "0.2")
    page.keyboard.press("b")
    expect(page.locator(".box").first).to_be_hidden()


@FEW
def test_a_picture_opens_large(report: Report, number: int) -> None:
    """Enter opens it, arrows step, Esc comes back to the picture that was seen last."""
    page = report()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    viewer = page.locator("#viewer")
    expect(viewer).to_contain_text("300 px · box 40, 30 to 200, 150")
    page.keyboard.press("ArrowRight")
    expect(viewer).to_contain_text(f"2 of {number:,}")
    page.keyboard.press("3")
    expect(viewer.locator(".overlay")).to_have_attribute("src", "pictures/3.webp")
    expect(viewer.locator(".rank").nth(2)).to_contain_text("flat map")
    viewer.get_by_role("slider").fill("40")
    expect(viewer.locator("output")).to_have_text("40%")
    viewer.get_by_label("Box").uncheck()
    expect(viewer.locator(".box")).to_be_hidden()
    expect(page.locator("#boxes")).not_to_be_checked()
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    wait_until(lambda: focused(page) == "1", "its card has the keyboard")  # a dialog tells of its end later


def test_an_id_of_the_users_own_is_found_and_shown(open_page: Open, reports: dict[int, str]) -> None:
    """By the search, in the viewer, beside a failure; tags stand at the head of the page."""
    page = open_page(reports[10])
    page.locator("#search").fill("KEY-7")

    expect(page.locator("#found")).to_have_text("1 of 10 pictures")
    page.locator(".card .stage").click()
    expect(page.locator("#viewer-facts")).to_contain_text("#7 · id key-7 · ")
    expect(page.locator("#viewer-facts")).to_contain_text(" · the TIFF has 5 bands")
    expect(page.locator("#failures")).to_contain_text("key-4")
    expect(page.locator(".summary .facts")).to_contain_text("nightly, cats")


def test_the_address_holds_the_view(open_page: Open, reports: dict[int, str]) -> None:
    """Filters, order and overlay stand in it; opened again it shows the same, and a failure's link its picture."""
    page = open_page(reports[10])
    page.locator("#search").fill("moped")
    page.locator("#sort").select_option("unsure")
    page.keyboard.press("Enter")
    page.get_by_role("radio", name="Overlay of prediction 2").check()
    assert page.url.endswith("#q=moped&sort=unsure&rank=2")
    shown = indices(page)

    page.reload()
    expect(page.locator("#search")).to_have_value("moped")
    expect(page.locator(".card .overlay").first).to_have_attribute("src", "pictures/2.webp")
    assert indices(page) == shown

    page.locator("#failures a").first.click()
    expect(page.locator("#viewer")).to_contain_text("truncated")
    assert page.url.endswith("image=4")
    page.keyboard.press("Escape")
    expect(page.locator(".card[data-index='4']")).to_be_focused()


@FEW
def test_help_lists_the_keys(report: Report) -> None:
    """And goes away by Esc."""
    page = report()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_contain_text("step from picture to picture")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
