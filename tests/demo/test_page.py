"""The demo's front page in a real Chromium, without a window. Its tests leave the page as it is."""

import itertools
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from demo_asgi.processes import running
from tests.demo import visits
from tests.demo.page import PageClient, bearer, until
from tests.demo.processes import ROOT
from tests.demo.visits import Browser, Page, Visit, expect, focused, visiting

# Starts a browser.
pytestmark = pytest.mark.slow

SWITCHES = ("down", "slow", "rotate-keep", "rotate-remove")

chromium, client = visits.chromium, visits.client


@pytest.fixture(scope="module")
def shared(chromium: Browser, demo: str, client: PageClient) -> Iterator[Visit]:
    with visiting(chromium, demo, client) as visit:
        yield visit


@pytest.fixture
def visit(shared: Visit) -> Iterator[Visit]:
    """The page that these tests share, because a demo needs seconds for a new one. It has its usual size and colors."""
    shared.page.set_viewport_size(visits.VIEWPORT)
    shared.page.emulate_media(color_scheme="light", forced_colors="none")
    yield shared
    assert shared.errors == []


# --- The grid ---------------------------------------------------------------------------------------------------------


def test_each_result_is_the_same_without_a_browser(visit: Visit, client: PageClient) -> None:
    """Statuses, challenges and reasons of the grid are those of the same requests without a browser."""
    tokens = client.tokens()
    paths = [view["path"] for view in client.views() if view["grid"] == "tokens"]
    expected = [client.present(path, token) for token in tokens.values() for path in paths]
    cells = visit.page.locator("#tokens button")
    data: list[dict[str, str]] = cells.evaluate_all("cells => cells.map(({dataset}) => ({...dataset}))")
    assert [(int(cell["status"]), cell["reason"] or None) for cell in data] == expected
    assert visit.until_done() == Counter(status for status, _ in expected)


def test_the_whole_challenge_of_a_result_is_shown(visit: Visit, client: PageClient) -> None:
    """Pointing at a result, or moving the focus to it, shows the challenge as it was sent."""
    challenge = client.http.get("/contact", headers=bearer("demo-robot")).headers["WWW-Authenticate"]
    visit.cell("Rows of the database, A machine", "/contact").focus()
    assert challenge in visit.page.locator("#tokens-detail").inner_text()
    visit.cell("Rows of the database, Expired", "/me").hover()
    assert "expired" in visit.page.locator("#tokens-detail dd").last.inner_text()


def test_the_details_of_a_result_are_visible_with_it(visit: Visit) -> None:
    """The details are visible from the first row and from the last, and the table's description explains its keys."""
    detail = visit.page.locator("#tokens-detail dl")
    for token in ("Nothing, No token", "JWTs, For others"):
        visit.cell(token, "/me").hover()
        expect(detail).to_contain_text(token.partition(", ")[0])
        expect(detail).to_be_in_viewport(ratio=1)
    assert "arrow keys" in visit.page.locator("#tokens").evaluate(
        "grid => document.getElementById(grid.getAttribute('aria-describedby')).textContent"
    )


def test_the_grid_is_a_table_with_headings(visit: Visit) -> None:
    """A screen reader announces the view, the token and the result of each cell."""
    snapshot = visit.page.locator("#tokens").aria_snapshot()
    assert '- columnheader "/jwt/async async · profile"' in snapshot
    assert '- rowheader "Carol her account is deactivated"' in snapshot
    name = "Rows of the database, Carol, on /profile: 401, refused; challenge: invalid token; reason: inactive user"
    assert visit.page.get_by_role("button", name=name, exact=True).count() == 1


# --- One request ------------------------------------------------------------------------------------------------------


def test_request_response_and_steps(visit: Visit, client: PageClient) -> None:
    """The page shows the request, the response, and the rule that failed."""
    visit.choose("GET /profile", "row-expired")
    page = visit.page
    lines = page.locator("#raw-request").inner_text().splitlines()
    assert (lines[0], lines[-1]) == ("GET /profile HTTP/1.1", "Authorization: Bearer demo-alice-expired")
    response = client.http.get("/profile", headers=bearer("demo-alice-expired"))
    shown = page.locator("#raw-response").inner_text()
    assert shown.startswith("HTTP/1.1 401 Unauthorized\n")
    assert f"www-authenticate: {response.headers['WWW-Authenticate']}" in shown
    assert shown.endswith(response.text)
    assert page.locator("#sent").inner_text() == "✕ 401, refused"
    assert "401 refused: expired" in page.locator("#steps").inner_text()
    failed = page.get_by_role("listitem").filter(has_text=", failed")
    assert failed.inner_text().split() == ["✕", "not", "expired", "expired", ",", "failed"]
    assert page.locator("#steps .step.tone-good").count() > 5


def test_the_users_own_token(visit: Visit) -> None:
    """Any token can be sent. If the browser refuses it in a header field, the page says so."""
    page = visit.page
    page.get_by_label("Token", exact=True).select_option("own")
    page.get_by_label("Your own token").fill("demo-bob-reports")
    page.get_by_label("View", exact=True).select_option("GET /reports/daily")
    page.get_by_role("button", name="Send the request").click()
    page.wait_for_selector("#sent:has-text('200, let in')")
    page.get_by_label("Your own token").fill("döner\u2026")
    page.get_by_role("button", name="Send the request").click()
    expect(page.locator("#sent")).to_have_text("It could not be sent: a header field cannot contain this token.")
    assert page.locator("#raw-response").inner_text() == "No response."


# --- The load ---------------------------------------------------------------------------------------------------------


def test_the_load_is_drawn(visit: Visit) -> None:
    """Both loads are drawn on one scale, with a bar for each query, and with their figures."""
    page = visit.page
    page.wait_for_selector(".figures")
    guarded, plain = page.locator(".chart").all()
    queries = [chart.locator("rect.query").count() for chart in (guarded, plain)]
    row = page.locator(".figures tbody tr").first.locator("td").all_inner_texts()
    assert (row, queries[1]) == ([str(count) for count in queries], 200)
    assert queries[0] < 20
    assert [cell.inner_text() for cell in page.locator(".figures tr").last.locator("td").all()] == ["200", "200"]
    marks = [chart.locator("svg text:not(.bar-label)").all_text_contents() for chart in (guarded, plain)]
    assert marks[0] == marks[1]
    assert page.get_by_role("img", name=f"{queries[0]} queries on").count() == 1
    assert f"became {queries[0]} queries" in page.locator("#load-summary").inner_text()


# --- A demo that stops ------------------------------------------------------------------------------------------------


def test_a_demo_that_is_stopped_and_started_again(
    chromium: Browser, client: PageClient, authority: str, tmp_path: Path
) -> None:
    """The page says that the demo does not run, and continues by itself when it runs again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    arguments = ("--port", port, "--database", str(tmp_path / "demo.sqlite3"), "--authority", authority)
    with ExitStack() as stack:
        page = chromium.new_page()
        stack.callback(page.close)
        with running("demo_asgi", *arguments) as origin:
            visit = Visit(page, origin)
            alert = page.get_by_role("alert")
            assert alert.count() == 0 or alert.inner_text() == ""
        page.get_by_role("button", name="Send the request").click()
        page.wait_for_selector("#gone:not(:empty)")
        assert "The demo is not running any more." in page.get_by_role("alert").inner_text()
        assert page.locator("#sent").inner_text() == "No response."
        page.get_by_role("button", name="Send again").click()
        expect(page.locator("#tokens-summary")).to_have_text("No response.")
        assert page.locator("#server-state").inner_text() == "Not known"
        assert page.locator("#keys").inner_text() == "Keys: not known."
        for name in SWITCHES:
            expect(page.locator(f"#{name}")).to_be_disabled()
        cell = visit.cell("Rows of the database, Bob", "/contact")
        cell.focus()
        with running("demo_asgi", *arguments):
            page.wait_for_selector("#gone:empty", state="attached")
            assert visit.until_done()[200] > 0
            for name in SWITCHES:
                expect(page.locator(f"#{name}")).to_be_enabled()
            expect(cell).to_be_focused()
            visit.choose("GET /profile", "row")
            assert page.locator("#sent").inner_text() == "✓ 200, let in"
            page.close()
        assert visit.errors == []


# --- Accessibility ----------------------------------------------------------------------------------------------------


IS_FREE = """() => {
  const { x, y, right, bottom } = document.activeElement.getBoundingClientRect();
  const corners = [[x + 4, y + 4], [right - 4, y + 4], [x + 4, bottom - 4], [right - 4, bottom - 4]];
  return corners.every((at) => document.activeElement.contains(document.elementFromPoint(...at)));
}"""


def test_nothing_covers_the_focused_cell(visit: Visit) -> None:
    """WCAG 2.2, 2.4.11: neither sticky headings nor the details of a result cover the focused cell."""
    page = visit.page
    for width in (390, 1000, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        until(partial(page.evaluate, "(width) => innerWidth === width", width))
        visit.cell("No tokens at all, Two at once", "/any/sync").focus()
        for key in ("ArrowUp", "ArrowLeft", "ArrowDown", "ArrowRight"):
            for _ in range(7):
                page.keyboard.press(key)
                assert page.evaluate(IS_FREE), (width, key, focused(page))


KNOB = "knob => [null, '::after'].map((part) => getComputedStyle(knob, part).backgroundColor)"


def test_switches_are_visible_with_forced_colors(visit: Visit, client: PageClient) -> None:
    """With forced system colors, a switch and its state are visible against their background."""
    page = visit.page
    page.emulate_media(forced_colors="active", color_scheme="dark")
    with client.fault("slow"):
        expect(page.locator("#slow")).to_have_attribute("aria-checked", "true")
        colors: list[list[str]] = [page.locator(f"#{name} .knob").evaluate(KNOB) for name in ("down", "slow")]
    assert [ground != knob for ground, knob in colors] == [True, True]
    assert colors[0][0] != colors[1][0]


def test_changes_are_announced(visit: Visit) -> None:
    """Results are in live regions. No level of headings is skipped."""
    page = visit.page
    for name in ("server-state", "tokens-summary", "bound-summary", "sent", "load-summary"):
        assert page.locator(f"#{name}").get_attribute("role") == "status"
    assert page.locator("#gone").get_attribute("role") == "alert"
    visit.choose("GET /any/sync", "jwt")
    levels: list[int] = page.locator("h1, h2, h3, h4, h5").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(level - before <= 1 for before, level in itertools.pairwise(levels))
    unnamed = page.locator("button, select, textarea, a").evaluate_all(
        "all => all.filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).length"
    )
    assert unnamed == 0


IS_DRAWN_FOR = """(width) => innerWidth === width && [...document.querySelectorAll(".chart")].every((chart) => {
  const { paddingLeft, paddingRight } = getComputedStyle(chart);
  const room = chart.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  return Number(chart.querySelector("svg").getAttribute("width")) === room;
})"""


def test_the_page_fits_every_width(visit: Visit) -> None:
    """Nothing is wider than the screen. The grid scrolls, and the load is drawn again."""
    page = visit.page
    visit.choose("GET /any/sync", "jwt")
    page.wait_for_selector(".figures")
    for width in (320, 360, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        until(partial(page.evaluate, IS_DRAWN_FOR, width))
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for scroll in page.locator(".scroll").all():
            frame = scroll.bounding_box()
            assert frame is not None
            assert frame["x"] + frame["width"] <= width


CONTRASTS = (ROOT / "tests" / "demo" / "contrasts.js").read_text()


def test_texts_have_enough_contrast(visit: Visit) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for every text on the page, in both themes."""
    page = visit.page
    visit.choose("GET /any/sync", "jwt-audience")
    page.wait_for_selector(".figures")
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_css("background-color", "rgb(245, 246, 250)")
    assert low_contrasts(page) == []
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(17, 20, 29)")
    assert low_contrasts(page) == []


def low_contrasts(page: Page) -> list[tuple[float, str]]:
    contrasts: list[tuple[float, str]] = page.evaluate(CONTRASTS)
    assert len(contrasts) > 500
    return [(ratio, text) for ratio, text in contrasts if ratio < 4.5]
