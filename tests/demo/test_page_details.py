"""What the demo's front page says and draws in detail: one page for all tests, and answers made up for some."""

import json
import re
import shlex
from typing import Any

import pytest

from tests.demo import visits
from tests.demo.page import PageClient
from tests.demo.visits import UNAVAILABLE, WITHOUT_TROUBLE, Locator, Visit, expect

# Starts a browser.
pytestmark = pytest.mark.slow

chromium, client, visit = visits.chromium, visits.client, visits.visit


def spoken(code: str) -> str:
    return code.replace("_", " ")


# --- The grid ---------------------------------------------------------------------------------------------------------

LABEL = "document.activeElement.getAttribute('aria-label').split(':')[0]"


def test_each_arrow_leads_to_the_next_verdict(visit: Visit) -> None:
    """Up, down, left and right are where they are on the screen."""
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
    """After a second click on "Ask again", late answers to the first one are ignored."""
    page = visit.page
    before = visit.until_asked()
    held = visit.hold("**/page/reasons")
    with visit.answering("**/profile", status=500), page.expect_request("**/page/reasons"):
        page.get_by_role("button", name="Ask again").click()
    page.get_by_role("button", name="Ask again").click()
    assert visit.until_asked() == before
    with page.expect_request_finished(lambda request: request.url.endswith("/page/reasons")):
        held[0].continue_()
    page.evaluate("new Promise((done) => setTimeout(done))")
    assert visit.until_asked() == before
    assert visit.cell("Rows of the database, Alice", "/profile").get_attribute("data-status") == "200"


def test_verdicts_come_by_themselves(visit: Visit, client: PageClient) -> None:
    """While some are missing, or tokens are, the page asks again, and nothing has to be pressed."""
    page = visit.page
    before = visit.until_asked()
    with visit.answering("**/introspection/fresh", status=503):
        page.get_by_role("button", name="Ask again").click()
        visit.until_asked(UNAVAILABLE)
    visit.until_polled()
    assert visit.until_asked(WITHOUT_TROUBLE) == before
    with visit.answering("**/page/tokens", json=client.call("tokens") | {"trouble": "It rains."}):
        page.get_by_role("button", name="Fetch new tokens").click()
        visit.until_asked(re.compile(r"\. It rains\. So no new tokens were fetched\.$"))
    visit.until_polled()
    assert visit.until_asked(WITHOUT_TROUBLE) == before


# --- One request ------------------------------------------------------------------------------------------------------


def test_schemes_and_methods(visit: Visit) -> None:
    """No validator serves another scheme. One view may require something else for another method."""
    visit.choose("GET /profile", "row", scheme="Basic")
    assert "unsupported scheme" in visit.page.locator("#steps").inner_text()
    visit.choose("POST /notes", "row")
    assert visit.page.locator("#sent").inner_text() == "⊘ 403, forbidden"
    assert 'scope="notes:write"' in visit.page.locator("#raw-answer").inner_text()
    visit.choose("GET /health", "none")
    assert visit.page.locator("#steps").inner_text() == "Nothing guards this view, so there is no decision."


def test_no_answer_stands_beside_another_request(visit: Visit) -> None:
    """When the user changes the request, the page removes the answer to the previous one."""
    page = visit.page
    visit.choose("GET /profile", "row-expired")
    page.get_by_label("Scheme", exact=True).select_option("Basic")
    assert page.locator("#raw-request").inner_text().splitlines()[-1] == "Authorization: Basic demo-alice-expired"
    parts = ("sent", "raw-answer", "steps")
    assert [page.locator(f"#{part}").inner_text() for part in parts] == ["", *["Nothing was sent yet."] * 2]


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
    """To paste the line of `curl` sends this request and does nothing else, whatever is in the token."""
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
    assert [asked.value.all_headers().get("cookie") for asked in (presented, explained)] == [None, None]
    page.context.clear_cookies()


@pytest.mark.parametrize(
    ("view", "token", "verdicts"),
    [
        ("GET /any/sync", "jwt", ["not asked; its result would be: refused", "accepted", "not asked"]),
        ("GET /any/sync", "opaque", ["refused", "not asked; its result would be: refused", "accepted"]),
        ("GET /profile", "row-expired", ["refused"]),
    ],
)
def test_the_steps_tell_all_that_the_guard_tells(visit: Visit, view: str, token: str, verdicts: list[str]) -> None:
    """For each validator the page shows its result, its rules, its outgoing calls, and the claims of the token."""
    with visit.page.expect_response("**/page/explain") as answered:
        visit.choose(view, token)
    [guard] = answered.value.json()["guards"]
    _, *judges = visit.page.locator("#steps .judge").all()
    assert [judge.locator(".badge").inner_text() for judge in judges] == verdicts
    for judge, told in zip(judges, guard["validators"], strict=True):
        assert judge.locator(".rule").all_text_contents() == [rule_in_words(step) for step in told["steps"]]
        assert judge.locator("li:not(.step)").all_inner_texts() == told["calls"]
        claims = zip(*(judge.locator(part).all_inner_texts() for part in ("dt", "dd")), strict=True)
        assert dict(claims) == (claims_in_words(told["claims"]) if told["asked"] else {})


def rule_in_words(step: dict[str, Any]) -> str:
    detail = f" ({step['detail']})" if step["detail"] else ""
    reason = f" {spoken(step['reason'])}" if step["reason"] else ""
    return f"{step['rule']}{detail}{reason}, {spoken(step['outcome'])}"


def claims_in_words(claims: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in claims.items()}


def test_the_steps_say_what_to_do(visit: Visit) -> None:
    """Who is refused reads the remedy, with code set as code."""
    visit.choose("GET /profile", "row-expired")
    remedy = visit.page.locator("#steps .remedy")
    assert remedy.inner_text().startswith("Get a new token.")
    assert remedy.locator("code").all_inner_texts() == ["leeway"]
    visit.choose("GET /profile", "row")
    assert remedy.count() == 0


def test_a_failure_of_the_demo_is_told(visit: Visit) -> None:
    """The answer stays visible. In place of the steps, the page says that the demo has failed."""
    with visit.answering("**/page/explain", status=500, body="<h1>Server Error (500)</h1>"):
        visit.choose("GET /profile", "row")
    assert visit.page.locator("#sent").inner_text() == "✓ 200, let in"
    assert visit.page.locator("#steps").inner_text() == "The demo itself has failed, with status 500."


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
        "answered": [0.05] * 50 + [0.15] * 149 + [0.2],
        "statuses": {"200": 198, "401": 2},
    },
    "plain": {
        "seconds": 0.15,
        "queries": [{"began": 0.1, "ended": 0.1, "tokens": 1}],
        "threads": 5,
        "connections": 4,
        "answered": [0.1] * 199 + [0.15],
        "statuses": {"401": 200},
    },
}


@pytest.fixture(scope="module")
def charts(visit: Visit) -> list[Locator]:
    """What the page draws of a load that is made up."""
    with visit.answering("**/page/load", json=MADE_UP):
        visit.page.get_by_role("button", name="Send 200 requests").click()
        expect(visit.page.locator("#load-summary")).to_contain_text("became 3 queries")
    return visit.page.locator(".chart").all()


def numbers(chart: Locator, selector: str, *names: str) -> list[list[float]]:
    """Of all that are drawn, these attributes."""
    read = "(all, names) => all.map((one) => names.map((name) => Number(one.getAttribute(name))))"
    drawn: list[list[float]] = chart.locator(selector).evaluate_all(read, list(names))
    return drawn


class Scale:
    """Where the axes of a chart say that seconds and counts are."""

    def __init__(self, chart: Locator) -> None:
        milliseconds = chart.locator("text[text-anchor=middle]").all_text_contents()
        self.start, *_, self.end = [x for [x] in numbers(chart, ".tick", "x1")]
        self.extent = float(milliseconds[-1]) / 1000
        self.none, _, self.all = [y for [y] in numbers(chart, ".line", "y1")]

    def x(self, seconds: float) -> float:
        return self.start + (self.end - self.start) * seconds / self.extent

    def y(self, count: int) -> float:
        return self.none + (self.all - self.none) * count / MADE_UP["requests"]


def test_the_figures_are_those_of_the_answer(visit: Visit, charts: list[Locator]) -> None:
    """Each figure is what the demo measured, of the load above it."""
    rows = visit.page.locator(".figures tr").all()
    assert [[cell.inner_text().replace("\xa0", " ") for cell in row.locator("td, th").all()] for row in rows] == [
        ["", "Guarded", "Plain"],
        ["Queries", "3", "1"],
        ["Lookups in the largest query", "100", "1"],
        ["Database connections opened", "2", "4"],
        ["Threads that queried", "3", "5"],
        ["Half of the requests answered after", "150 ms", "100 ms"],
        ["All answered after", "200 ms", "150 ms"],
        ["Answered with 200", "198", "0"],
    ]
    assert visit.page.locator("#load-summary").inner_text().replace("\xa0", " ") == (
        "200 requests on the guarded view became 3 queries and took 200 ms; on the plain view, 1 query and 150 ms."
    )


def test_queries_and_answers_are_where_they_were(charts: list[Locator]) -> None:
    """A bar lasts from the start of its query to the end and is as high as its lookups; the line counts the answers."""
    for chart, load in zip(charts, (MADE_UP["guarded"], MADE_UP["plain"]), strict=True):
        scale = Scale(chart)
        below = 0
        for query, (x, y, width) in zip(load["queries"], numbers(chart, ".query", "x", "y", "width"), strict=True):
            below += query["tokens"]
            assert (x, y) == pytest.approx((scale.x(query["began"]), scale.y(below)))
            # None is too thin to be seen.
            assert width == pytest.approx(max(2.5, scale.x(query["ended"]) - x))
        line = re.findall(r"H([\d.]+)V([\d.]+)", chart.locator(".answered").get_attribute("d") or "")
        expected = [(scale.x(seconds), scale.y(count)) for count, seconds in enumerate(load["answered"], 1)]
        assert [float(x) for x, _ in line] == pytest.approx([x for x, _ in expected], abs=0.1)
        assert [float(y) for _, y in line] == pytest.approx([y for _, y in expected], abs=0.1)


def test_no_line_goes_through_a_number(charts: list[Locator]) -> None:
    """What a bar is of stands before it, as the answers come after their query; behind it where there is no room."""
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
    """Who presses twice has asked once."""
    button = visit.page.get_by_role("button", name="Send 200 requests")
    twice = "button => { button.click(); button.click(); return button.getAttribute('aria-disabled'); }"
    with visit.answering("**/page/load", json=MADE_UP) as asked:
        assert button.evaluate(twice) == "true"
        expect(button).to_be_enabled()
    assert len(asked) == 1


# --- For everybody ----------------------------------------------------------------------------------------------------

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


def test_what_has_the_focus_shows_it(visit: Visit) -> None:
    """WCAG 2.2, 2.4.7: a ring around whatever the Tab key and the arrows lead to."""
    visit.prepare("GET /profile", "own")
    # Rings are for those who use the keyboard.
    visit.page.keyboard.press("Tab")
    kinds, unseen = visit.page.evaluate(SHOW)
    assert kinds == ["a", "button", "pre", "select", "summary", "textarea"]
    assert unseen == []


MOVING = """() => [document.documentElement, ...document.querySelectorAll("body, body *")].filter((one) =>
  getComputedStyle(one).scrollBehavior === "smooth"
  || [null, "::before", "::after"].some((part) => parseFloat(getComputedStyle(one, part).transitionDuration) > 0)
).map((one) => one.className || one.localName)"""


def test_nothing_moves_for_who_wants_it_so(visit: Visit) -> None:
    """Where the system asks for less motion, nothing glides."""
    page = visit.page
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(MOVING) == ["html", "knob", "knob"]
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(MOVING) == []
