"""Details of the demo's front page. All tests share one page. Some replace responses of the demo."""

import json
import re
import shlex
from typing import Any

import pytest

from tests.demo import visits
from tests.demo.page import PageClient
from tests.demo.visits import UNAVAILABLE, WITHOUT_503, Locator, Visit, expect

# Starts a browser.
pytestmark = pytest.mark.slow

chromium, client, visit = visits.chromium, visits.client, visits.visit


def spoken(code: str) -> str:
    return code.replace("_", " ")


# --- The grid ---------------------------------------------------------------------------------------------------------

LABEL = "document.activeElement.getAttribute('aria-label').split(':')[0]"


def test_each_arrow_key_moves_to_the_next_cell(visit: Visit) -> None:
    """The arrow keys move in the directions of the screen."""
    page = visit.page
    visit.cell("Rows of the database, Bob", "/contact").focus()
    for key, token, path in (
        ("ArrowUp", "Alice", "/contact"),
        ("ArrowLeft", "Alice", "/profile"),
        ("ArrowDown", "Bob", "/profile"),
        ("ArrowRight", "Bob", "/contact"),
    ):
        page.keyboard.press(key)
        assert page.evaluate(LABEL) == f"Rows of the database, {token}, on {path}"


def test_only_the_last_round_counts(visit: Visit) -> None:
    """After a second click on "Send again", late responses to the first one are ignored."""
    page = visit.page
    before = visit.until_done()
    held = visit.hold("**/page/reasons")
    with visit.responding("**/profile", status=500), page.expect_request("**/page/reasons"):
        page.get_by_role("button", name="Send again").click()
    page.get_by_role("button", name="Send again").click()
    assert visit.until_done() == before
    with page.expect_request_finished(lambda request: request.url.endswith("/page/reasons")):
        held[0].continue_()
    page.evaluate("new Promise((done) => setTimeout(done))")
    assert visit.until_done() == before
    assert visit.cell("Rows of the database, Alice", "/profile").get_attribute("data-status") == "200"


def test_the_page_retries_by_itself(visit: Visit, client: PageClient) -> None:
    """While results or tokens are missing, the page sends its requests again, without a click."""
    page = visit.page
    before = visit.until_done()
    with visit.responding("**/introspection/fresh", status=503):
        page.get_by_role("button", name="Send again").click()
        visit.until_done(UNAVAILABLE)
    visit.until_polled()
    assert visit.until_done(WITHOUT_503) == before
    with visit.responding("**/page/tokens", json=client.post("tokens") | {"error": "It rains."}):
        page.get_by_role("button", name="Fetch new tokens").click()
        visit.until_done(re.compile(r"\. It rains\. So no new tokens were fetched\.$"))
    visit.until_polled()
    assert visit.until_done(WITHOUT_503) == before


# --- One request ------------------------------------------------------------------------------------------------------


def test_schemes_and_methods(visit: Visit) -> None:
    """No validator serves another scheme. One view may require something else for another method."""
    visit.choose("GET /profile", "row", scheme="Basic")
    assert "unsupported scheme" in visit.page.locator("#steps").inner_text()
    visit.choose("POST /notes", "row")
    assert visit.page.locator("#sent").inner_text() == "⊘ 403, forbidden"
    assert 'scope="notes:write"' in visit.page.locator("#raw-response").inner_text()
    visit.choose("GET /health", "none")
    assert visit.page.locator("#steps").inner_text() == "Nothing guards this view, so there is no decision."


def test_changing_the_request_removes_the_response(visit: Visit) -> None:
    """When the user changes the request, the page removes the response to the previous one."""
    page = visit.page
    visit.choose("GET /profile", "row-expired")
    page.get_by_label("Scheme", exact=True).select_option("Basic")
    assert page.locator("#raw-request").inner_text().splitlines()[-1] == "Authorization: Basic demo-alice-expired"
    parts = ("sent", "raw-response", "steps")
    assert [page.locator(f"#{part}").inner_text() for part in parts] == ["", *["Not sent yet."] * 2]


def test_what_a_view_and_a_token_are(visit: Visit, client: PageClient) -> None:
    """Below the choice, the page says what the view requires, which validators check it, and what the token is."""
    page = visit.page
    views = {f"{view['method']} {view['path']}": view for view in client.views()}
    for name in ("GET /contact", "GET /jwt/async"):
        visit.prepare(name, "row-robot")
        view = views[name]
        called = "async" if view["is_async"] else "sync"
        expected = f"{called}; requires: {view['requirement']}. Validated by {view['validators']}."
        assert page.locator("#view-about").inner_text() == expected
    assert page.locator("#token-about").inner_text() == "no user; scope “profile reports:read”"
    visit.prepare("GET /health", "own")
    assert page.locator("#view-about").inner_text() == "async; nothing guards it."
    assert page.locator("#token-about").inner_text() == "as you write it below"


def test_the_same_for_a_shell(visit: Visit) -> None:
    """The `curl` line sends this request and does nothing else, even if the token contains shell syntax."""
    page = visit.page
    origin = page.url.rstrip("/")
    curl = page.locator("#curl")
    visit.prepare("POST /notes", "own")
    page.get_by_label("Your own token").fill("it's; $(touch x) `touch y`")
    header = "Authorization: Bearer it's; $(touch x) `touch y`"
    assert shlex.split(curl.text_content() or "") == ["curl", "-i", "-X", "POST", "-H", header, f"{origin}/notes"]
    visit.prepare("GET /profile", "none")
    assert curl.text_content() == f"curl -i {origin}/profile"


def test_no_cookie_goes_with_a_request(visit: Visit) -> None:
    """Only the token decides, even if a user is logged in with this browser."""
    page = visit.page
    page.context.add_cookies([{"name": "sessionid", "value": "somebody", "url": page.url}])
    with page.expect_request("**/profile") as presented, page.expect_request("**/page/explain") as explained:
        visit.choose("GET /profile", "row")
    assert "authorization" in presented.value.all_headers()
    assert [request.value.all_headers().get("cookie") for request in (presented, explained)] == [None, None]
    page.context.clear_cookies()


@pytest.mark.parametrize(
    ("view", "token", "badges"),
    [
        ("GET /any/sync", "jwt", ["not tried; would be refused", "accepted", "not tried"]),
        ("GET /any/sync", "opaque", ["refused", "not tried; would be refused", "accepted"]),
        ("GET /profile", "row-expired", ["refused"]),
    ],
)
def test_the_steps_show_the_whole_explanation(visit: Visit, view: str, token: str, badges: list[str]) -> None:
    """For each validator the page shows its result, its rules, its outgoing calls, and the claims of the token."""
    with visit.page.expect_response("**/page/explain") as explained:
        visit.choose(view, token)
    [guard] = explained.value.json()["guards"]
    _, *panels = visit.page.locator("#steps .panel").all()
    assert [panel.locator(".badge").inner_text() for panel in panels] == badges
    for panel, validator in zip(panels, guard["validators"], strict=True):
        assert panel.locator(".rule").all_text_contents() == [rule_in_words(step) for step in validator["steps"]]
        assert panel.locator("li:not(.step)").all_inner_texts() == validator["calls"]
        claims = zip(*(panel.locator(part).all_inner_texts() for part in ("dt", "dd")), strict=True)
        assert dict(claims) == (claims_in_words(validator["claims"]) if validator["asked"] else {})


def rule_in_words(step: dict[str, Any]) -> str:
    detail = f" ({step['detail']})" if step["detail"] else ""
    reason = f" {spoken(step['reason'])}" if step["reason"] else ""
    return f"{step['rule']}{detail}{reason}, {spoken(step['outcome'])}"


def claims_in_words(claims: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in claims.items()}


def test_the_steps_say_what_to_do(visit: Visit) -> None:
    """For a refusal, the page shows the remedy. Code in it is marked up as code."""
    visit.choose("GET /profile", "row-expired")
    remedy = visit.page.locator("#steps .remedy")
    assert remedy.inner_text().startswith("Get a new token.")
    assert remedy.locator("code").all_inner_texts() == ["leeway"]
    visit.choose("GET /profile", "row")
    assert remedy.count() == 0


def test_a_failure_of_the_demo_is_shown(visit: Visit) -> None:
    """The response stays visible. In place of the steps, the page says that the demo has failed."""
    with visit.responding("**/page/explain", status=500, body="<h1>Server Error (500)</h1>"):
        visit.choose("GET /profile", "row")
    assert visit.page.locator("#sent").inner_text() == "✓ 200, let in"
    assert visit.page.locator("#steps").inner_text() == "The demo failed with status 500."


# --- The load ---------------------------------------------------------------------------------------------------------

MADE_UP: dict[str, Any] = {
    "requests": 200,
    "guarded": {
        "seconds": 0.2,
        "queries": [
            {"began": 0, "ended": 0.02, "tokens": 100},
            {"began": 0.05, "ended": 0.1, "tokens": 60},
            {"began": 0.15, "ended": 0.16, "tokens": 40},
        ],
        "threads": 3,
        "connections": 2,
        "response_times": [0.05] * 50 + [0.15] * 149 + [0.2],
        "statuses": {"200": 198, "401": 2},
    },
    "plain": {
        "seconds": 0.15,
        "queries": [{"began": 0.1, "ended": 0.1, "tokens": 1}],
        "threads": 5,
        "connections": 4,
        "response_times": [0.1] * 199 + [0.15],
        "statuses": {"401": 200},
    },
}


@pytest.fixture(scope="module")
def charts(visit: Visit) -> list[Locator]:
    """The charts of `MADE_UP`."""
    with visit.responding("**/page/load", json=MADE_UP):
        visit.page.get_by_role("button", name="Send 200 requests").click()
        expect(visit.page.locator("#load-summary")).to_contain_text("became 3 queries")
    return visit.page.locator(".chart").all()


def numbers(chart: Locator, selector: str, *names: str) -> list[list[float]]:
    """These attributes of all matching elements."""
    read = "(all, names) => all.map((one) => names.map((name) => Number(one.getAttribute(name))))"
    drawn: list[list[float]] = chart.locator(selector).evaluate_all(read, list(names))
    return drawn


class Scale:
    """The scale of a chart, from its axes."""

    def __init__(self, chart: Locator) -> None:
        milliseconds = chart.locator("text[text-anchor=middle]").all_text_contents()
        self.start, *_, self.end = [x for [x] in numbers(chart, ".tick", "x1")]
        self.extent = float(milliseconds[-1]) / 1000
        self.none, _, self.all = [y for [y] in numbers(chart, ".line", "y1")]

    def x(self, seconds: float) -> float:
        return self.start + (self.end - self.start) * seconds / self.extent

    def y(self, count: int) -> float:
        return self.none + (self.all - self.none) * count / MADE_UP["requests"]


def test_the_figures_are_those_of_the_load(visit: Visit, charts: list[Locator]) -> None:
    """Each figure is what the demo has measured."""
    rows = visit.page.locator(".figures tr").all()
    assert [[cell.inner_text().replace("\xa0", " ") for cell in row.locator("td, th").all()] for row in rows] == [
        ["", "Guarded", "Plain"],
        ["Queries", "3", "1"],
        ["Lookups in the largest query", "100", "1"],
        ["Database connections opened", "2", "4"],
        ["Threads that queried", "3", "5"],
        ["Time until half of the responses", "150 ms", "100 ms"],
        ["Time until the last response", "200 ms", "150 ms"],
        ["Responses with 200", "198", "0"],
    ]
    assert visit.page.locator("#load-summary").inner_text().replace("\xa0", " ") == (
        "200 requests on the guarded view became 3 queries and took 200 ms; on the plain view, 1 query and 150 ms."
    )


def test_queries_and_responses_are_drawn_to_scale(charts: list[Locator]) -> None:
    """A bar shows the start, end and lookups of its query. The line counts the responses."""
    for chart, load in zip(charts, (MADE_UP["guarded"], MADE_UP["plain"]), strict=True):
        scale = Scale(chart)
        below = 0
        for query, (x, y, width) in zip(load["queries"], numbers(chart, ".query", "x", "y", "width"), strict=True):
            below += query["tokens"]
            assert (x, y) == pytest.approx((scale.x(query["began"]), scale.y(below)))
            # Each bar has a minimal width.
            assert width == pytest.approx(max(2.5, scale.x(query["ended"]) - x))
        line = re.findall(r"H([\d.]+)V([\d.]+)", chart.locator(".responses").get_attribute("d") or "")
        expected = [(scale.x(seconds), scale.y(count)) for count, seconds in enumerate(load["response_times"], 1)]
        assert [float(x) for x, _ in line] == pytest.approx([x for x, _ in expected], abs=0.1)
        assert [float(y) for _, y in line] == pytest.approx([y for _, y in expected], abs=0.1)


def test_labels_of_bars_are_readable(charts: list[Locator]) -> None:
    """A label is before its bar, or behind it without room. The line of the responses does not cross it."""
    labels = charts[0].locator(".bar-label")
    assert labels.all_text_contents() == ["100 lookups", "60 lookups", "40 lookups"]
    edges = [[edges_of(one) for one in kind.all()] for kind in (charts[0].locator(".query"), labels)]
    axis, _ = edges_of(charts[0].locator(".line").first)
    for number, ((start, end), (left, right)) in enumerate(zip(*edges, strict=True)):
        assert axis < left
        assert end < left if number == 0 else right < start


def edges_of(drawn: Locator) -> tuple[float, float]:
    box = drawn.bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"]


def test_one_load_at_a_time(visit: Visit) -> None:
    """Pressing the button twice sends one load."""
    button = visit.page.get_by_role("button", name="Send 200 requests")
    twice = "button => { button.click(); button.click(); return button.getAttribute('aria-disabled'); }"
    with visit.responding("**/page/load", json=MADE_UP) as urls:
        assert button.evaluate(twice) == "true"
        expect(button).to_be_enabled()
    assert len(urls) == 1


# --- Accessibility ----------------------------------------------------------------------------------------------------

SHOW = """() => {
  document.querySelector("details").open = true;
  const focused = new Set();
  const unseen = [];
  for (const one of document.querySelectorAll("a, button, select, textarea, summary, [tabindex='0']")) {
    one.focus();
    if (document.activeElement !== one) continue;
    focused.add(one.localName);
    const { outlineStyle, outlineWidth } = getComputedStyle(one);
    if (outlineStyle !== "solid" || parseFloat(outlineWidth) < 2) unseen.push(one.id || one.textContent);
  }
  return [[...focused].sort(), unseen];
}"""


def test_the_focus_is_visible(visit: Visit) -> None:
    """WCAG 2.2, 2.4.7: each element that the keyboard reaches has a focus ring."""
    visit.prepare("GET /profile", "own")
    # Browsers show focus rings after a key was pressed.
    visit.page.keyboard.press("Tab")
    kinds, unseen = visit.page.evaluate(SHOW)
    assert kinds == ["a", "button", "pre", "select", "summary", "textarea"]
    assert unseen == []


MOVING = """() => [document.documentElement, ...document.querySelectorAll("body, body *")].filter((one) =>
  getComputedStyle(one).scrollBehavior === "smooth"
  || [null, "::before", "::after"].some((part) => parseFloat(getComputedStyle(one, part).transitionDuration) > 0)
).map((one) => one.className || one.localName)"""


def test_nothing_moves_with_reduced_motion(visit: Visit) -> None:
    """If the system asks for less motion, there are no transitions."""
    page = visit.page
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(MOVING) == ["html", "knob", "knob"]
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(MOVING) == []
