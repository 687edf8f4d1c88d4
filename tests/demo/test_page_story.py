"""The load in slow motion, the tour, and the contents of tokens."""

import base64
import json
import re
from collections import Counter
from typing import Any

import pytest

from tests.demo import visits
from tests.demo.page import PageClient, until
from tests.demo.test_page_details import MADE_UP
from tests.demo.visits import Browser, Visit, expect, visiting

# Starts a browser.
pytestmark = pytest.mark.slow

chromium, client, visit = visits.chromium, visits.client, visits.visit

NEXT = "2030-01-01T00:00:00"
"""Later than any time that the clock of a page shows by itself."""


# --- The load in slow motion ------------------------------------------------------------------------------------------


def lane(visit: Visit, name: str) -> tuple[list[str], Counter[str]]:
    """The figures of one load, and how many requests are in each state."""
    holder = visit.page.locator(f"#replay-{name}")
    states: list[str] = holder.locator("circle").evaluate_all("dots => dots.map((dot) => dot.getAttribute('class'))")
    return holder.locator("dd").all_inner_texts(), Counter(states)


def test_it_plays_by_itself(chromium: Browser, demo: str, client: PageClient) -> None:
    """Without a click, a new page measures the load and shows it to its end."""
    with visiting(chromium, demo, client) as visit:
        guarded, plain = (lane(visit, name) for name in ("guarded", "plain"))
        assert guarded[1] == plain[1] == Counter({"dot done": 200})
        assert (plain[0][0], plain[0][2], guarded[0][2]) == ("200", "200", "200")
        assert int(guarded[0][0]) < 20
        assert int(guarded[0][1]) < int(plain[0][1])


def test_each_request_is_shown_to_scale(visit: Visit) -> None:
    """The figures and dots show the queries and responses of that time."""
    page = visit.page
    page.emulate_media(reduced_motion="no-preference")
    page.clock.pause_at(NEXT)
    with visit.responding("**/page/load", json=MADE_UP):
        page.get_by_role("button", name="Send 200 requests").click()
        expect(page.locator("#load-summary")).to_contain_text("became 3 queries")
    page.clock.run_for(3_000)
    # 0.2 s are shown in 4.8 s.
    assert lane(visit, "guarded") == (["2", "3", "50"], Counter({"dot done": 50, "dot querying": 110, "dot": 40}))
    assert lane(visit, "plain") == (["1", "5", "199"], Counter({"dot done": 199, "dot": 1}))
    page.clock.run_for(2_000)
    assert lane(visit, "guarded") == (["3", "3", "200"], Counter({"dot done": 200}))
    page.clock.resume()
    page.emulate_media(reduced_motion="reduce")


def test_it_does_not_move_with_reduced_motion(visit: Visit) -> None:
    """If the system asks for less motion, the page shows the end at once."""
    page = visit.page
    page.clock.pause_at("2031-01-01T00:00:00")
    with visit.responding("**/page/load", json=MADE_UP):
        page.get_by_role("button", name="Send 200 requests").click()
        expect(page.locator("#replay-guarded dd").first).to_have_text("3")
    assert lane(visit, "guarded")[1] == Counter({"dot done": 200})
    page.clock.resume()


# --- The tour ---------------------------------------------------------------------------------------------------------

STEPS = (
    ["✓ 200 let in", "✓ 200 let in"],
    ["⊘ 403 insufficient_scope"],
    ["✓ 200 let in", "✕ 401 invalid_token"],
    ["✓ 200 let in", "✓ 200 let in", "↻ 503 unavailable"],
)


def test_the_tour(visit: Visit, client: PageClient) -> None:
    """Each step has its results, the server runs again afterwards, and the tour can be taken again."""
    page = visit.page
    button, steps = page.locator("#tour-next"), page.locator("#tour-steps > li")
    for _ in range(2):
        for number, expected in enumerate(STEPS):
            button.click()
            expect(button).to_be_enabled()
            step = steps.nth(number)
            assert step.locator(".chip").all_inner_texts() == expected
            assert step.get_attribute("aria-current") == "step"
        assert 'scope="profile"' in steps.nth(1).inner_text()
        assert re.search(r"retry after \d+ s", steps.nth(3).inner_text())
        assert page.locator("#server-state").inner_text() == "Running"
        until(client.has_recovered)


def test_the_tour_stays_visible(visit: Visit) -> None:
    """On a narrow screen, the step that was taken and the button for the next one are both visible."""
    page = visit.page
    page.set_viewport_size({"width": 390, "height": 800})
    button, steps = page.locator("#tour-next"), page.locator("#tour-steps > li")
    for number in range(len(STEPS)):
        button.click()
        expect(button).to_be_enabled()
        expect(steps.nth(number)).to_be_in_viewport(ratio=1)
        expect(button).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_tour_without_a_server(visit: Visit, client: PageClient) -> None:
    """If the authorization server issues no tokens, the step says so, and can be tried again."""
    page = visit.page
    button, step = page.locator("#tour-next"), page.locator("#tour-steps > li").first
    with client.fault("down"):
        button.click()
        expect(step.locator("ul")).to_have_text("The authorization server responds with status 503.")
    button.click()
    expect(step.locator(".chip")).to_have_count(2)


# --- Inside a token ---------------------------------------------------------------------------------------------------


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_jwt_is_decoded(visit: Visit) -> None:
    """The header and the claims of the chosen token are those that are in it; times are also dates."""
    visit.prepare("GET /jwt/async", "jwt")
    token = visit.page.locator("#raw-request").inner_text().rpartition(" ")[2].strip()
    inside = visit.page.locator("#inside")
    for part, text in zip(inside.locator(".panel").all(), token.split(".")[:2], strict=True):
        members = json.loads(base64.urlsafe_b64decode(text + "=="))
        assert part.locator("dt").all_inner_texts() == [*members]
        for value, shown in zip(members.values(), part.locator("dd").all_inner_texts(), strict=True):
            assert shown.splitlines()[0] == (value if isinstance(value, str) else json.dumps(value))
    assert inside.locator(".time").count() == 2
    assert "The view verifies" in inside.inner_text()


def test_a_proof_is_decoded(visit: Visit) -> None:
    """The proof that was sent with a token is decoded too."""
    visit.choose("GET /dpop/sync", "bound", scheme="DPoP")
    titles = visit.page.locator("#inside h4")
    assert titles.all_inner_texts() == ["Token: header", "Token: claims", "Proof: header", "Proof: claims"]
    assert "htu" in visit.page.locator("#inside").inner_text()


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b.c",
        "..",
        "a.b",
        f"{segment([])}.{segment({})}.x",
        f"{segment({})}.{segment(None)}.x",
        f"{segment({})}.gA.x",
    ],
)
def test_invalid_jwts(visit: Visit, token: str) -> None:
    """The page says that the token is not a JWT."""
    visit.prepare("GET /jwt/async", "own")
    visit.page.get_by_label("Your own token").fill(token)
    assert "This is not a JWT" in visit.page.locator("#inside").inner_text()
    assert visit.page.locator("#inside .panel").count() == 0


def test_claims_of_any_kind_are_shown(visit: Visit) -> None:
    """Unusual values are shown as text."""
    claims = {"exp": 1e300, "iat": "now", "aud": ["<b>", 1], "nested": {"a": None}}
    visit.prepare("GET /jwt/async", "own")
    visit.page.get_by_label("Your own token").fill(f"{segment({'alg': 'none'})}.{segment(claims)}.")
    values = visit.page.locator("#inside .panel").nth(1).locator("dd").all_inner_texts()
    assert values == ["1e+300", "now", '["<b>",1]', '{"a":null}']


# --- Scrolling --------------------------------------------------------------------------------------------------------

MASKED = "box => getComputedStyle(box).maskImage !== 'none'"


def test_content_that_is_cut_off_fades_out(visit: Visit) -> None:
    """On a narrow screen, the table fades out at its edge until it is scrolled to its end."""
    page = visit.page
    box = page.locator(".scroll").first
    for width, is_cut in ((390, True), (1280, False)):
        page.set_viewport_size({"width": width, "height": 800})
        expect(box).to_have_class(re.compile("more-right" if is_cut else "^card scroll$"))
        assert box.evaluate(MASKED) is is_cut
        assert page.locator(".sideways").first.is_visible() is is_cut
    page.set_viewport_size({"width": 390, "height": 800})
    box.evaluate("box => box.scrollTo(box.scrollWidth, 0)")
    expect(box).to_have_class("card scroll")
    visit.choose("GET /dpop/sync", "bound", scheme="DPoP")
    expect(page.locator("#raw-request")).to_have_class("more-below")
    page.set_viewport_size({"width": 1280, "height": 900})
