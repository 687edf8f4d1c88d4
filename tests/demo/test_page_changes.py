"""The demo's front page, when it or the authorization server is changed. Each test has a page of its own."""

import re
from collections.abc import Iterator

import pytest

from tests.demo import visits
from tests.demo.page import PageClient, until
from tests.demo.visits import UNAVAILABLE, WITHOUT_503, Browser, Page, Visit, expect, focused, visiting

# Starts a browser.
pytestmark = pytest.mark.slow

MANY_TABS = 40

chromium, client = visits.chromium, visits.client


@pytest.fixture
def visit(chromium: Browser, demo: str, client: PageClient) -> Iterator[Visit]:
    with visiting(chromium, demo, client) as visit:
        yield visit


def test_new_results_keep_their_place(visit: Visit, client: PageClient) -> None:
    """New responses replace the old ones. The focused cell keeps the focus, and its details are updated."""
    page = visit.page
    cell = visit.cell("Opaque tokens, Alice", "/introspection/fresh")
    cell.focus()
    expect(page.locator("#tokens-detail")).to_contain_text("200 OK")
    with client.fault("down"):
        page.evaluate("document.getElementById('send-again').click()")
        expect(page.locator("#tokens-detail")).to_contain_text("503")
        expect(page.locator("#tokens-detail")).to_contain_text(re.compile(r"Retry-After\d+ s"))
        assert "The page retries each 503" in page.locator("#tokens-summary").inner_text()
    page.evaluate("document.getElementById('renew').click()")
    expect(cell).to_have_attribute("data-status", "200")
    expect(page.locator("#tokens-detail")).to_contain_text("200 OK")
    expect(cell).to_be_focused()


def test_down_and_up_again(visit: Visit, client: PageClient) -> None:
    """The page shows the server's state. Only what needs the server is 503, and results return when the server does."""
    page = visit.page
    down = page.get_by_role("switch", name="Down")
    before = visit.until_done()
    down.click()
    during = visit.until_done(UNAVAILABLE)
    assert down.get_attribute("aria-checked") == "true"
    assert page.locator("#server-state").inner_text() == "Down"
    assert visit.cell("Opaque tokens, Alice", "/introspection/fresh").get_attribute("data-status") == "503"
    assert visit.cell("Rows of the database, Alice", "/profile").get_attribute("data-status") == "200"
    assert during[503] > 0
    page.get_by_role("button", name="Fetch new tokens").click()
    summary = page.locator("#tokens-summary")
    expect(summary).to_contain_text("responds with status 503. So no new tokens were fetched.")
    down.click()
    until(client.has_recovered)
    visit.until_polled()
    assert visit.until_done(WITHOUT_503) == before
    assert page.locator("#server-state").inner_text() == "Running"


def test_slow(visit: Visit, client: PageClient) -> None:
    """While the switch is on, requests that wait too long get 503."""
    page = visit.page
    slow = page.get_by_role("switch", name="Slow")
    slow.click()
    visit.until_done(UNAVAILABLE)
    assert page.locator("#server-state").inner_text() == "Slow"
    slow.click()
    page.wait_for_selector("#server-state:has-text('Running')")
    assert slow.get_attribute("aria-checked") == "false"
    until(client.has_recovered)


def test_rotation(visit: Visit) -> None:
    """JWTs signed with a removed key are refused. New JWTs are let in."""
    page = visit.page
    page.get_by_role("button", name="New key, keep the old").click()
    page.wait_for_selector("#keys:has-text('2 keys are published')")
    page.get_by_role("button", name="New key, remove the old").click()
    page.wait_for_selector("#keys:has-text('its only key')")
    cell = visit.cell("JWTs, Alice", "/jwt/async")
    # The page sends its requests again by itself. The guard notices when it fetches keys.
    expect(cell).to_have_attribute("data-reason", "unknown_key")
    page.get_by_role("button", name="Fetch new tokens").click()
    # If the guard has just fetched the keys, it fetches them again a moment later.
    while cell.get_attribute("data-status") != "200":
        page.get_by_role("button", name="Send again").click()
        page.wait_for_selector("#tokens:not([aria-busy])")
    assert cell.get_attribute("data-reason") == ""


def tab_to(page: Page, target: str) -> None:
    for _ in range(MANY_TABS):
        page.keyboard.press("Tab")
        if focused(page) == target:
            return
    raise AssertionError(f"the Tab key does not reach {target}")


def test_everything_can_be_done_from_the_keyboard(visit: Visit, client: PageClient) -> None:
    """The load, the tour, switches, the grid and the builder work without a mouse, with a visible focus."""
    page = visit.page
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    expect(page.locator(".skip")).to_be_in_viewport(ratio=1)
    page.keyboard.press("Enter")
    tab_to(page, "run-load")
    page.keyboard.press("Enter")
    expect(page.locator("#run-load")).to_be_enabled()
    assert focused(page) == "run-load"
    tab_to(page, "tour-next")
    page.keyboard.press("Enter")
    expect(page.locator("#tour-steps li.done .chip")).to_have_count(2)
    assert focused(page) == "tour-next"
    tab_to(page, "down")
    expect(page.locator(".skip")).not_to_be_in_viewport()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Space")
    page.wait_for_selector("#down[aria-checked=true]")
    page.keyboard.press("Space")
    page.wait_for_selector("#down[aria-checked=false]")
    until(client.has_recovered)
    page.wait_for_selector("#tokens:not([aria-busy])")
    tab_to(page, "renew")
    page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowDown", "End", "Home", "ArrowRight"):
        page.keyboard.press(key)
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label.startswith("Rows of the database, Bob, on /contact: 200")
    page.keyboard.press("Enter")
    assert focused(page) == "request-title"
    page.wait_for_selector("#sent:has-text('200, let in')")
    tab_to(page, "view")
    page.keyboard.type("GET /me")
    assert page.get_by_label("View", exact=True).input_value() == "GET /me"
