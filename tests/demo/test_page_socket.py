"""The WebSocket of the demo's front page, opened with a token that expires, and without one."""

import re

import pytest

from tests.demo import visits
from tests.demo.visits import Visit, expect

# Starts a browser.
pytestmark = pytest.mark.slow

chromium, client, visit = visits.chromium, visits.client, visits.visit


WATCH = """() => {
  window.seen = [];
  new MutationObserver(() => seen.push(document.querySelector("#socket-left").textContent))
    .observe(document.querySelector("#socket-left"), { childList: true });
}"""


def test_it_counts_down_and_is_closed(visit: Visit) -> None:
    """The page shows what the server sends each second, and the code with which the guard ends it."""
    page = visit.page
    page.evaluate(WATCH)
    state = page.locator("#socket-state")
    page.get_by_role("button", name="Open with a short token").click()
    expect(state).to_have_text("✓ Open: the guard has accepted the token.")
    expect(page.locator("#socket-left")).to_have_text(re.compile(r"^[1-6] seconds? left$"))
    expect(state).to_have_text("✕ Closed with code 3000: the token has expired.")
    seen = [int(words.split()[0]) for words in page.evaluate("seen") if words]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) >= 4
    assert seen[-1] == 0
    expect(page.locator("#socket-code")).to_have_text('new WebSocket("/countdown", ["bearer", token])')


def test_without_a_token_it_never_opens(visit: Visit) -> None:
    """The browser's console shows the reason. The page says that scripts see only a code."""
    page = visit.page
    with page.expect_console_message(lambda message: "countdown" in message.text) as message:
        page.get_by_role("button", name="Open without a token").click()
    # Chromium's message for a 401.
    assert "HTTP Authentication failed" in message.value.text
    expect(page.locator("#socket-state")).to_have_text(
        "✕ Refused before the handshake with status 401. Scripts see only the code 1006."
    )
    assert page.locator("#socket-left").inner_text() == ""
    expect(page.locator("#socket-code")).to_have_text('new WebSocket("/countdown")')


def test_one_at_a_time(visit: Visit) -> None:
    """While one is open, neither button opens another. They keep the focus and say that they are not available."""
    page = visit.page
    buttons = page.locator("#socket button")
    held = visit.hold("**/page/short")
    buttons.first.focus()
    with page.expect_request("**/page/short"):
        page.keyboard.press("Enter")
    for one in buttons.all():
        expect(one).to_have_attribute("aria-disabled", "true")
    buttons.last.click(force=True)
    expect(page.locator("#socket-state")).to_have_text("Opening…")
    expect(page.locator("#socket-bare")).to_be_focused()
    # The button stays readable under the mouse.
    buttons.first.hover()
    expect(buttons.first).to_have_css("color", "rgb(255, 255, 255)")
    expect(buttons.first).to_have_css("background-color", "rgb(61, 79, 196)")
    held[0].abort()
    expect(page.locator("#socket-state")).to_have_text("The demo does not respond.")
    expect(buttons.first).to_have_attribute("aria-disabled", "false")
    # The page notices by itself that the demo runs.
    visit.until_polled()
    expect(page.locator("#gone")).to_be_empty()
    visit.until_done()


def test_it_is_announced_politely(visit: Visit) -> None:
    """Screen readers announce the state, but not the remaining seconds, which change each second."""
    state, left = visit.page.locator("#socket-state"), visit.page.locator("#socket-left")
    live = "one => one.closest('[aria-live], [role=status]')?.getAttribute('aria-live') ?? null"
    assert state.evaluate(live) == "polite"
    assert left.evaluate(live) is None
